"""The batches that JAX and torch train on where TensorFlow is not installed."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from tiny import ASSIGNMENTS

from gamix_keras.data import BatchReader, batches, pipeline, to_unit_range
from gamix_keras.data.arrays import ArraySource
from gamix_keras.data.base import Options

ROOT = Path(__file__).parents[2]


def source(count=20, size=8):
    images = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)
    return ArraySource("test", [str(number) for number in range(count)], images, Options(size))


@pytest.fixture
def _no_tensorflow(monkeypatch):
    monkeypatch.setattr(pipeline, "has_tensorflow", lambda: False)


@pytest.mark.backend_free
@pytest.mark.usefixtures("_no_tensorflow")
def test_they_are_the_readers_from_any_start():
    found = batches(source(), 6, training=True, seed=3, epochs=3, start_epoch=1, start_step=2)
    reader = BatchReader(source(), 6, training=True, seed=3)
    wanted = [to_unit_range(reader.batch(epoch, step)) for epoch, step in ((1, 2), (2, 0), (2, 1), (2, 2))]
    assert len(found) == 4
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.backend_free
@pytest.mark.usefixtures("_no_tensorflow")
def test_each_pass_is_the_next_epoch_of_fit():
    found = batches(source(), 6, training=True, seed=3, start_epoch=4)
    reader = BatchReader(source(), 6, training=True, seed=3)
    found.on_epoch_end()
    np.testing.assert_array_equal(found[1], to_unit_range(reader.batch(5, 1)))


@pytest.mark.usefixtures("_no_tensorflow")
def test_augmentations_are_called_in_training_and_clipped():
    found = batches(source(), 6, training=True, augment=[lambda images: images + 300.0])
    np.testing.assert_array_equal(found[0], np.ones((6, 8, 8, 3), "float32"))
    assert found[0].dtype == np.float32


@pytest.mark.skipif(keras.config.backend() == "tensorflow", reason="trains without TensorFlow")
def test_a_run_trains_where_tensorflow_cannot_be_imported(tmp_path):
    code = f"""
import sys
sys.modules["tensorflow"] = None
from gamix_keras.cli.main import main
code = main(["train", "--debug", "--out", {str(tmp_path / "run")!r}, "--set", *{ASSIGNMENTS!r}])
sys.exit(code)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "KERAS_BACKEND": keras.config.backend()}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "held-out PSNR" in done.stdout
