"""`sample`, `interpolate` and `traverse` on a trained run."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image


def size(path):
    return Image.open(path).size


def test_a_sheet_of_samples(cli, trained, tmp_path):
    code, out, err = cli("sample", trained, "--sampler", "prior", "--count", 4, "--out", tmp_path / "s.png")
    assert (code, err, out) == (0, "", f"sampler: prior (as asked)\n4 images: {tmp_path}/s.png\n")
    assert size(tmp_path / "s.png") == (2 * 130 + 2, 2 * 130 + 2)


def test_a_folder_of_samples_that_the_seed_fixes(cli, trained, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert cli("sample", trained, "--count", 3, "--seed", seed, "--out", tmp_path / name)[0] == 0
    names = ["000000.png", "000001.png", "000002.png"]
    assert sorted(file.name for file in (tmp_path / "a").iterdir()) == names
    first, same, other = (np.asarray(Image.open(tmp_path / name / names[0])) for name in "abc")
    assert first.shape == (16, 16, 3)
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


def test_a_sampler_is_fitted_on_first_use_and_kept(cli, trained, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    arguments = ("sample", run, "--sampler", "mixture", "--components", 2, "--temperature", 0.7, "--count", 4)
    first, second = (cli(*arguments, "--truncation", 2, "--out", tmp_path / f"{n}.png") for n in (1, 2))
    assert (first[0], second[0]) == (0, 0)
    fitted = "fitting the sampler mixture to 24 training images, components 2, covariance full"
    assert first[1].splitlines()[:3] == ["sampler: mixture (as asked)", "latents of 24 training images", fitted]
    assert fitted not in second[1]
    assert (tmp_path / "1.png").read_bytes() == (tmp_path / "2.png").read_bytes()
    assert {file.name for file in (run / "samplers").iterdir()} == {"mixture.keras", "mixture.keras.checkpoint"}


def test_the_best_sampler_that_was_measured_is_used_and_named(cli, trained, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    scores = {name: {"frechet": {"value": value}} for name, value in {"prior": 9.0, "gaussian": 7.5}.items()}
    (run / "evaluation.json").write_text(json.dumps({"samplers": scores}))
    code, out, _ = cli("sample", run, "--count", 1)
    assert code == 0
    assert out.startswith("sampler: gaussian (the lowest Frechet distance of gaussian 7.50, prior 9.00)\n")


def test_a_second_stage_is_sampled(cli, trained, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    settings = ("second_stage.epochs=1", "second_stage.width=4", "second_stage.depth=1")
    code, out, _ = cli("train", "--resume", "--out", run, "--set", *settings)
    assert code == 0
    assert "second stage: epochs 1 to 1 on the latents of 24 training images\n" in out
    assert f"picture: {run}/second_stage/samples.png" in out
    code, out, _ = cli("sample", run, "--sampler", "second_stage", "--count", 2)
    assert (code, out) == (0, f"sampler: second_stage (as asked)\n2 images: {run}/sample.png\n")


@pytest.mark.parametrize("along", ["linear", "spherical", "norm"])
def test_a_walk(cli, trained, tmp_path, along):
    out = tmp_path / "walk.png"
    arguments = ("held-out:0", "held-out:1", "--steps", 4, "--path", along, "--out", out)
    assert cli("interpolate", trained, *arguments)[0] == 0
    assert size(out)[0] > 6 * 130


def test_variants(cli, trained, tmp_path):
    out = tmp_path / "variants.png"
    code, text, _ = cli("traverse", trained, "held-out:0", "--dims", "0,2", "--scale", 5, "--out", out)
    assert (code, text) == (0, f"z_0, z_2: {out}\n")
    assert size(out)[0] > 3 * 130


def test_principal_axes(cli, trained, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    code, text, _ = cli("traverse", run, "held-out:0", "--axes", "1,3", "--out", tmp_path / "axes.png")
    fitted = "latents of 24 training images\nfitting the sampler gaussian to 24 training images"
    assert (code, text) == (0, f"{fitted}\naxis 1, axis 3: {tmp_path}/axes.png\n")
    assert size(tmp_path / "axes.png")[0] > 3 * 130
    code, _, error = cli("traverse", run, "--axes", "0,4")
    assert (code, error) == (2, "gamix-keras: --axes: expected axes from 1 to 3, got 0, 4\n")


def test_pictures_go_to_the_run_unless_told(cli, trained, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    assert cli("traverse", run, "held-out:0", "--dims", 0)[0] == 0
    assert (run / "traversal.png").exists()


def test_walks_of_so_many_steps_start_from_the_mean_of_the_latents(cli, trained, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    code, text, _ = cli("traverse", run, "--steps", 7, "--out", tmp_path / "walks.png")
    assert (code, text.splitlines()[-1]) == (0, f"axis 1, axis 2, axis 3: {tmp_path}/walks.png")
    assert cli("traverse", run, "--steps", 2, "--out", tmp_path / "ends.png")[0] == 0
    (wide, high), ends = size(tmp_path / "walks.png"), size(tmp_path / "ends.png")
    assert ends[1] == high and wide - ends[0] > 4 * 128  # the note beneath may be wider than two tiles


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("traverse", "held-out:0", "--dims", "0,99"), "dims: expected latents from 0 to 2, got [99]"),
        (("traverse", "no-such.png"), "no-such.png"),
        (("sample", "--sampler", "second_stage"), "--sampler: expected a run with a second stage, got"),
        (
            ("sample", "--sampler", "prior", "--components", "3"),
            "--components: expected the sampler mixture with it, got prior",
        ),
        (("interpolate", "held-out:0", "held-out:77"), "held-out:N with N from 0 to 1, got held-out:77"),
    ],
)
def test_mistakes(cli, trained, arguments, message):
    code, _, err = cli(arguments[0], trained, *arguments[1:])
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
