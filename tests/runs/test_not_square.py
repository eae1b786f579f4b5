"""A run of images that are not square, from the command line to pictures, numbers and files."""

import json

import numpy as np
import pytest
from PIL import Image
from tiny import ASSIGNMENTS

from gamix_keras import data, load
from gamix_keras.cli.main import main
from gamix_keras.runs import Run

SIZES = [*(word for word in ASSIGNMENTS if "image_size" not in word), "data.image_size=16x24"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "wide"
    assert main(["train", "--out", str(path), "--set", *SIZES, "data.validation_fraction=0.9"]) == 0
    return path


def test_it_samples_and_reconstructs(run, tmp_path):
    model = load(run)
    assert model.image_shape == (16, 24, 3)
    assert model.sample(2, seed=0).shape == (2, 16, 24, 3)
    images = data.to_unit_range(data.open_source("faces", image_size=(16, 24), count=3).load(np.arange(2)))
    assert model.reconstruct(images).shape == (2, 16, 24, 3)
    assert main(["sample", str(run), "--sampler", "prior", "--count", "1", "--out", str(tmp_path / "a")]) == 0
    (file,) = (tmp_path / "a").iterdir()
    assert Image.open(file).size == (24, 16)


def test_its_pictures_are_as_wide(run):
    picture = Image.open(run / "samples" / "epoch-0001.png")
    assert picture.width > picture.height


def test_a_file_is_cropped_to_its_proportions(run, tmp_path):
    from gamix_keras import assembly

    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8)).save(tmp_path / "a.png")
    assert assembly.open_image(Run.open(run).config, str(tmp_path / "a.png")).shape == (16, 24, 3)
    assert assembly.open_image(Run.open(run).config, "held-out:0").shape == (16, 24, 3)


def test_the_size_is_recorded_as_it_was_given(run, capsys):
    assert json.loads((run / "config.json").read_text())["config"]["data"]["image_size"] == "16x24"
    assert main(["train", "--resume", "--out", str(run), "--set", "data.image_size=24x16"]) == 2
    assert "data.image_size: expected 16x24, as the run was started with, got 24x16" in capsys.readouterr().err
