"""Every recipe trains: two epochs of small data with small networks, the objective and the remedies as they are."""

import numpy as np
import pytest
from harness import numpy

from gamix_keras.config.presets import load_preset, preset_names
from gamix_keras.runs import Run, session

# In so few steps a critic that starts at a share of the training never sets in, which is said.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:loss.adversarial_start")]
SMALL = {
    "data.source": "faces",
    "data.image_size": 16,
    "data.count": 24,
    "model.latent_dim": 4,
    "model.width": 8,
    "model.units": 16,
    "model.stages": 2,
    "model.patch": 8,
    "model.critic_width": 4,
    "training.epochs": 2,
    "training.batch_size": 8,
    "training.sample_every": 0,
    "second_stage.width": 16,
}
GREY = {"data.image_size": 28, "data.channels": 1, "model.patch": 4}
# The wae networks halve three times.
WAE = {"data.image_size": 32}


def small(name, **values):
    """The recipe on small data; a second stage of two epochs where it has one."""
    config = load_preset(name).config.updated({**SMALL, **{key.replace("__", "."): v for key, v in values.items()}})
    return config.updated({"second_stage.epochs": 2}) if config.second_stage.epochs else config


@pytest.mark.parametrize("name", [name for name in preset_names() if name != "paper-256"])
def test_a_recipe_trains_two_epochs(name, tmp_path):
    run = Run.create(tmp_path / "run", small(name))
    session.train(run, verbose=0)
    rows = run.history()
    assert [row["epoch"] for row in rows] == [1, 2]
    assert np.isfinite([list(row.values()) for row in rows]).all()
    assert run.has_second_stage() == (run.config.second_stage.epochs > 0)
    assert np.isfinite(numpy(run.load_model().sample(2, seed=0))).all()


@pytest.mark.parametrize("name", ["beta-vae", "gamix", "two-stage-infogan", "two-stage-wae", "transformer-vae"])
def test_a_recipe_trains_on_grey_images_of_fashion_mnist_s_size(name, tmp_path):
    values = {**GREY, **(WAE if name == "two-stage-wae" else {})}
    run = Run.create(tmp_path / "run", small(name).updated(values))
    session.train(run, verbose=0)
    assert np.isfinite(list(run.history()[0].values())).all()
