"""`gamix-keras export`: what it prints, and how it fails."""

import pytest

from gamix_keras.config import Config
from gamix_keras.runs import Run

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


def test_a_used_version_and_a_run_without_weights(cli, trained, tmp_path):
    (tmp_path / "out" / "1").mkdir(parents=True)
    code, _, err = cli("export", trained, "--out", tmp_path / "out", "--version", "1", "--sampler", "prior")
    assert (code, err.count("\n")) == (2, 1)
    assert "--version: expected a number that is not used, got 1" in err
    assert [entry.name for entry in (tmp_path / "out").rglob("*")] == ["1"]
    empty = Run.create(tmp_path / "empty", Config())
    empty.begin_session(0)
    code, _, err = cli("export", empty.path, "--out", tmp_path / "none")
    assert (code, err.count("\n")) == (2, 1)
    assert "RUN: expected a run with a checkpoint" in err
    assert not (tmp_path / "none").exists()


def test_a_checkpoint_is_chosen(cli, trained, tmp_path):
    code, out, err = cli("export", trained, "--out", tmp_path / "out", "--sampler", "prior", "--checkpoint", "1")
    assert (code, err) == (0, "")
    code, _, err = cli("export", trained, "--out", tmp_path / "other", "--checkpoint", "best")
    assert (code, err.count("\n")) == (2, 1)
    assert "--checkpoint: expected a run with training.keep_best for best" in err
    assert not (tmp_path / "other").exists()
