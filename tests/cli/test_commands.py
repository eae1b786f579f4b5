"""`sample`, `interpolate` and `traverse` on a trained run."""

import numpy as np
import pytest
from PIL import Image


def size(path):
    return Image.open(path).size


def test_a_sheet_of_samples(cli, trained, tmp_path):
    code, out, err = cli("sample", trained, "--count", 4, "--out", tmp_path / "s.png")
    assert (code, err, out) == (0, "", f"4 images: {tmp_path}/s.png\n")
    assert size(tmp_path / "s.png") == (2 * 66 + 2, 2 * 66 + 2)


def test_a_folder_of_samples_that_the_seed_fixes(cli, trained, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert cli("sample", trained, "--count", 3, "--seed", seed, "--out", tmp_path / name)[0] == 0
    names = ["000000.png", "000001.png", "000002.png"]
    assert sorted(file.name for file in (tmp_path / "a").iterdir()) == names
    first, same, other = (np.asarray(Image.open(tmp_path / name / names[0])) for name in "abc")
    assert first.shape == (16, 16, 3)
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("along", ["linear", "spherical", "norm"])
def test_a_walk(cli, trained, tmp_path, along):
    out = tmp_path / "walk.png"
    arguments = ("held-out:0", "held-out:1", "--steps", 4, "--along", along, "--out", out)
    assert cli("interpolate", trained, *arguments)[0] == 0
    assert size(out)[0] > 6 * 66


def test_variants(cli, trained, tmp_path):
    out = tmp_path / "variants.png"
    code, text, _ = cli("traverse", trained, "held-out:0", "--dims", "0,2", "--scale", 5, "--out", out)
    assert (code, text) == (0, f"latents 0, 2: {out}\n")
    assert size(out)[0] > 3 * 66


def test_pictures_go_to_the_run_unless_told(cli, trained):
    assert cli("traverse", trained, "held-out:0")[0] == 0
    assert (trained / "traversal.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("traverse", "held-out:0", "--dims", "0,99"), "dims: expected latents from 0 to 2, got [99]"),
        (("traverse", "no-such.png"), "no-such.png"),
        (("interpolate", "held-out:0", "held-out:77"), "held-out:N with N from 0 to 1, got held-out:77"),
    ],
)
def test_mistakes(cli, trained, arguments, message):
    code, _, err = cli(arguments[0], trained, *arguments[1:])
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
