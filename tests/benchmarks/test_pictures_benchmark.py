"""Pictures of runs side by side."""

import numpy as np
import pytest
from PIL import Image

from benchmarks import identity, pictures
from gamix_keras.config import UserError

pytestmark = pytest.mark.backend_free


def row(name="new", **changes):
    distances = {
        "efficientnet_lite0": {"real": 9.0, "reconstruction": 80.0, "prior": 300.0, "gaussian": 90.0, "mixture": 95.0},
        "onet": {"real": 20.0, "reconstruction": 160.0, "prior": 150.0, "gaussian": 175.0, "mixture": 168.4},
    }
    faces = {"real": 0.996, "reconstruction": 0.99, "prior": 0.5, "gaussian": 0.98, "mixture": 0.97}
    sharpness = {"reconstruction": 0.25, "prior": 1.5, "gaussian": 0.2, "mixture": 0.3}
    base = {"run": name, "psnr": 21.506, "images": 2000, "trained_on": [], "cpu_seconds": 181.7, "seconds": 400.0}
    stripes = {"real": 0.95, "reconstruction": 1.1, "prior": None, "gaussian": 0.9, "mixture": 4.5}
    return {**base, "distances": distances, "faces": faces, "sharpness": sharpness, "stripes": stripes, **changes}


SAMPLERS = ("prior", "gaussian", "mixture")


def test_the_table_has_a_column_for_each_judge_and_marks_features_that_were_trained_on():
    text = pictures.table([row("old", cpu_seconds=None), row(trained_on=["efficientnet_lite0"])], SAMPLERS)
    old, new = text.splitlines()[2:4]
    assert old.startswith("| old | 21.51 | 80.0 / 300 / 90.0 / 95.0 | 160 / 150 / 175 / 168 | 0.990 / 0.500 /")
    assert old.endswith("| 0.25 / 1.50 / 0.20 / 0.30 | 1.10 / - / 0.90 / 4.50 | - | 400 |")
    assert new.endswith("| 182 | 400 |")
    assert "95.0* |" in new and "168 |" in new
    assert "| real images of new |  | 9.00 | 20.0 | 0.996 |  | 0.95 |" in text
    assert "reconstructions / prior / gaussian / mixture; 2,000 images" in text


def test_the_best_sampler_is_fitted_and_judged_by_features_that_were_not_trained_on():
    assert pictures._best(row(), SAMPLERS) == "gaussian"
    assert pictures._best(row(trained_on=["efficientnet_lite0"]), SAMPLERS) == "mixture"
    assert pictures._best(row(), ["prior"]) == "prior"


def test_seconds_are_of_the_processor_if_every_epoch_has_them():
    epochs = [{"seconds": 5.0, "cpu_seconds": 3.0}, {"seconds": 6.0, "cpu_seconds": 4.0}]
    assert pictures.seconds(epochs) == {"cpu_seconds": 7.0, "seconds": 11.0}
    assert pictures.seconds([*epochs, {"seconds": 1.0}]) == {"cpu_seconds": None, "seconds": 12.0}


def test_stripes_are_found_in_flat_lines_of_what_a_model_made():
    """Reconstructions are asked where their originals are flat, as a lattice is not flat itself."""
    rng = np.random.default_rng(0)
    real = np.uint8(128 + rng.integers(-2, 3, (8, 32, 32, 3)))
    lattice = real + np.uint8(40) * (np.arange(32) % 2).astype(np.uint8)[:, None]
    busy = rng.integers(0, 256, (8, 32, 32, 3)).astype(np.uint8)
    found = pictures.stripes({"real": real, "reconstruction": lattice, "mixture": real, "prior": busy})
    assert 0.5 < found["real"] < 2.0 and found["mixture"] == found["real"] and found["prior"] is None
    assert found["reconstruction"] > 100.0


def test_pictures_show_every_run_at_a_size_to_judge(tmp_path):
    shade = {"real": 0, "reconstruction": 60, "prior": 120, "gaussian": 180, "mixture": 240}
    sets = {name: np.full((24, 32, 32, 3), value, np.uint8) for name, value in shade.items()}
    measured = pictures.Measured(row("old"), sets, "mixture"), pictures.Measured(row("new"), sets, "gaussian")
    pictures.sheet(measured[0], tmp_path / "old.png")
    pictures.side_by_side(measured, tmp_path / "both.png")
    one, both = (np.asarray(Image.open(tmp_path / name))[:, -70, 0] for name in ("old.png", "both.png"))
    assert {0, 60, 240, 120} <= set(one.tolist()) and {0, 60, 240, 180} <= set(both.tolist())
    # The originals, which the runs share, stand once: five rows of tiles and the gaps between them.
    assert len(both) == 5 * 130 + 2


def test_missing_dlib_is_one_sentence(monkeypatch):
    monkeypatch.setattr(identity, "_PACKAGE", "models_that_are_not_there")
    with pytest.raises(UserError, match="^--judges: expected dlib and its weights .* pip install dlib-bin && pip"):
        identity.extractor()


def test_a_chip_is_the_same_part_of_images_of_every_size():
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8).repeat(4, 0).repeat(4, 1)
    expected = np.asarray(Image.fromarray(image).crop((5, 8, 59, 62)).resize((150, 150), Image.Resampling.BILINEAR))
    assert np.abs(identity.chip(image).astype(int) - expected)[5:-5, 5:-5].max() <= 1
    wide = np.concatenate([image[:, :7], image, image[:, :7]], axis=1)
    np.testing.assert_array_equal(identity.chip(wide), identity.chip(image))


def test_unknown_names_are_one_line(capsys, tmp_path):
    with pytest.raises(SystemExit):
        pictures.main([str(tmp_path)])
    assert "RUN: expected a run directory" in capsys.readouterr().err
