"""The model that comes with the package: it loads, draws and scores as its card says, and can be rebuilt."""

import importlib.util
import json
import re
from pathlib import Path

import keras
import numpy as np
import pytest
from tiny import ASSIGNMENTS

import gamix_keras
from gamix_keras import assembly, data
from gamix_keras.metrics import peak_signal_to_noise

FOLDER = Path(__file__).parent.parent / "saved_models"
MEBIBYTE = 2**20
PRIVATE = re.compile(r"/(home|root|tmp|work|Users|usr)/|\\Users\\")


@pytest.fixture(scope="module")
def faces():
    return gamix_keras.load("faces")


def files_of(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_it_is_small_and_tells_of_no_machine():
    files = files_of(FOLDER / "faces")
    assert sum(path.stat().st_size for path in files) < 20 * MEBIBYTE
    texts = [path for path in files if path.suffix in (".md", ".json", ".jsonl")]
    assert len(texts) >= 5
    assert not [path for path in texts if PRIVATE.search(path.read_text(encoding="utf-8"))]


def test_it_draws_at_once_with_the_sampler_that_its_card_praises(faces):
    images = faces.sample(4, seed=0)
    assert images.shape == (4, *faces.image_shape) and -1.0 <= images.min() < images.max() <= 1.0
    np.testing.assert_array_equal(images, faces.sample(4, seed=0))
    distances = {name: scores["frechet"]["value"] for name, scores in faces.evaluation["samplers"].items()}
    best = min(distances, key=distances.get)
    assert type(faces.sampler).__name__.lower().endswith(f"{best}sampler")
    assert f"sampler {best}" in (FOLDER / "faces" / "README.md").read_text(encoding="utf-8")


def test_it_draws_the_same_if_keras_json_says_channels_first(faces):
    keras.config.set_image_data_format("channels_first")
    try:
        images = gamix_keras.load("faces").sample(2, seed=0)
    finally:
        keras.config.set_image_data_format("channels_last")
    np.testing.assert_allclose(images, faces.sample(2, seed=0), atol=1e-5)


def test_it_scores_what_its_card_says(faces):
    source = assembly.open_source(faces.config, "validation")
    images = data.to_unit_range(source.load(np.arange(len(source))))
    parts = [images[start : start + 100] for start in range(0, len(images), 100)]
    found = np.concatenate([peak_signal_to_noise(part, faces.reconstruct(part)) for part in parts])
    card = (FOLDER / "faces" / "README.md").read_text(encoding="utf-8")
    said = float(re.search(r"PSNR ([\d.]+) dB", card)[1])
    assert abs(float(np.mean(found)) - said) < 0.02
    assert f"{len(images):,} held-out images" in card


@pytest.mark.backend_free
def test_its_saved_model_answers_as_the_model_does(faces):
    import tensorflow as tf

    served = tf.saved_model.load(str(FOLDER / "faces" / "1")).signatures
    z = faces.sampler.sample(3, seed=1)
    decoded = served["decode_float"](z=tf.constant(z))["image"].numpy()
    np.testing.assert_allclose(decoded, faces.decode(z), atol=1e-4)


@pytest.mark.backend_free
def test_the_same_command_rebuilds_a_short_version(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    spec = importlib.util.spec_from_file_location("rebuild", FOLDER / "rebuild.py")
    rebuild = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rebuild)
    rebuild.main(["--out", str(tmp_path / "faces"), "--set", *ASSIGNMENTS, "data.count=210", "--count", "21"])
    names = {path.relative_to(tmp_path / "faces").as_posix() for path in files_of(tmp_path / "faces")}
    shipped = {path.relative_to(FOLDER / "faces").as_posix() for path in files_of(FOLDER / "faces")}
    assert {re.sub(r"epoch-\d+", "epoch", name) for name in names} == {
        re.sub(r"epoch-\d+", "epoch", name) for name in shipped
    }
    assert gamix_keras.load(tmp_path / "faces").sample(2, seed=0).shape == (2, 16, 16, 3)
    told = json.loads((tmp_path / "faces" / "config.json").read_text(encoding="utf-8"))
    assert {"command", "platform", "git"}.isdisjoint(told["sessions"][0])
