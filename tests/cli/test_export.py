"""`gamix-keras export`: what it prints, and how it fails."""

import pytest

pytestmark = pytest.mark.backend_free


def test_versions_one_after_the_other(cli, trained, tmp_path):
    for number in (1, 2):
        code, out, err = cli("export", trained, "--out", tmp_path / "faces", "--sampler", "prior")
        assert (code, err) == (0, "")
        difference, place = out.splitlines()
        assert difference.startswith("SavedModel: at most ") and difference.endswith(" from Keras")
        assert place == f"saved_model: {tmp_path}/faces/{number}"
        assert (tmp_path / "faces" / str(number) / "saved_model.pb").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--format", "tflite"), "--format: invalid choice: 'tflite'"),
        (
            ("--format", "onnx", "--precision", "int8"),
            "--precision: expected one of float32, float16 for onnx",
        ),
        (("--version", "0"), "--version: expected a whole number of at least 1"),
    ],
)
def test_mistakes(cli, trained, tmp_path, arguments, message):
    code, _, err = cli("export", trained, "--out", tmp_path / "out", *arguments)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()
