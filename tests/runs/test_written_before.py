"""A run that version 0.1.0 wrote, before modules moved to where they are now: it loads, agrees and trains on."""

import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from harness import numpy

from gamix_keras.runs import Run, session

WRITTEN = Path(__file__).parent / "written_before_wings"
EXPECTED = json.loads((WRITTEN / "expected.json").read_text(encoding="utf-8"))


@pytest.fixture
def run(tmp_path):
    shutil.copytree(WRITTEN, tmp_path / "run")
    return Run.open(tmp_path / "run")


def test_it_computes_what_it_did(run):
    model = run.load_model()
    z = np.asarray(EXPECTED["latents"], "float32")
    images = np.linspace(-1, 1, 256, dtype="float32").reshape(1, 16, 16, 1)
    np.testing.assert_allclose(numpy(model.stage1.decoder(z))[:, ::5, ::5, 0], EXPECTED["decoded"], atol=1e-5)
    np.testing.assert_allclose(numpy(model.second_stage.decoder(z)), EXPECTED["second_stage"], atol=1e-5)
    for found, wanted in zip(model.stage1.encoder(images), EXPECTED["encoded"], strict=True):
        np.testing.assert_allclose(numpy(found), wanted, atol=1e-5)


def test_its_file_loads_by_keras_alone(run):
    model = keras.saving.load_model(run.checkpoint().file)
    # Adam's two moments, the step count and the rate, of both phases.
    total = sum(float(np.abs(numpy(variable)).sum()) for variable in model.optimizer.variables)
    assert total == pytest.approx(EXPECTED["optimizers"], rel=1e-5)


def test_it_trains_on(run):
    session.train(run.changed({"training.epochs": 2}), verbose=0)
    rows = Run.open(run.path).history()
    assert [row["epoch"] for row in rows] == [1, 2] and all(np.isfinite(row["loss"]) for row in rows)
