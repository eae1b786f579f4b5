"""The report: one file, whole with and without an evaluation."""

import keras
import pytest
from test_html import parsed
from tiny import TINY

from gamix_keras import assembly, evaluation
from gamix_keras.config import Config, UserError
from gamix_keras.evaluation import report
from gamix_keras.runs import Run

SECTIONS = ("Diagnosis", "Samplers compared", "Reconstructions", "Variants", "Transitions", "Latents", "Curves")


@pytest.fixture
def run(tmp_path):
    """An untrained run with a history of two epochs."""
    config = Config().updated({**TINY, "data.count": 50, "data.validation_fraction": 0.5, "model.critic": False})
    run = Run.create(tmp_path / "a<b>&c", config)
    run.begin_session(0)
    run.save_checkpoint(assembly.build_model(config), 2)
    for epoch in (1, 2):
        run.record({"epoch": epoch, "seconds": 1.0, "loss": 3.0 / epoch, "val_loss": float("nan"), "kl": 1.0})
    return run


def written(run):
    path = report.write_report(run)
    assert path == run.path / "report.html"
    return parsed(path.read_text(encoding="utf-8"))


def test_without_an_evaluation(run):
    reader = written(run)
    assert "Not evaluated yet. `gamix-keras evaluate" in reader.text
    assert "Run a<b>&c" in reader.text
    assert all(name in reader.text for name in ("Reconstructions", "Variants", "Transitions", "Curves"))
    assert "Samplers compared" not in reader.text
    assert "principal axes of q(z) of 25 held-out images" in reader.text and "new images: from N(0, I)." in reader.text


def test_with_an_evaluation_everything_is_inside(run, tmp_path):
    inputs = keras.Input((16, 16, 3))
    grid = keras.Model(inputs, keras.layers.AveragePooling2D(8)(inputs), name="grid")
    settings = evaluation.Settings(extractor=grid, samplers=("prior", "gaussian"), cache=tmp_path / "cache")
    evaluation.evaluate(run, settings)
    reader = written(run)
    assert all(name in reader.text for name in (*SECTIONS, "Protocol", "Configuration", "FD-grid"))
    # Four sheets, three pictures, three charts of latents, two curves; nothing is loaded from elsewhere.
    assert len(reader.loaded) == 12
    assert all(link.startswith("data:image/png;base64,") for link in reader.loaded)
    # Axes and new images are those of the samplers that the evaluation fitted.
    assert "principal axes of q(z) of the training images" in reader.text
    best = min(("prior", "gaussian"), key=lambda name: run.evaluation()["samplers"][name]["frechet"]["value"])
    drawn = {"prior": "N(0, I)", "gaussian": "the sampler gaussian, below them from N(0, I)"}[best]
    assert f"new images: from {drawn}." in reader.text
    assert "Real images: 25 held-out images against" in reader.text


def test_an_evaluation_of_an_earlier_checkpoint_is_named(run, tmp_path):
    inputs = keras.Input((16, 16, 3))
    grid = keras.Model(inputs, keras.layers.AveragePooling2D(8)(inputs), name="grid")
    evaluation.evaluate(run, evaluation.Settings(extractor=grid, samplers=("prior",), cache=tmp_path / "cache"))
    run.save_checkpoint(run.load_model(), 5)
    assert "Evaluated after epoch 2, the newest checkpoint is 5" in written(run).text


def test_a_damaged_evaluation_is_named(run):
    (run.path / "evaluation.json").write_text("{")
    with pytest.raises(UserError, match=r"RUN: .*evaluation.json: expected samplers with a Frechet"):
        report.write_report(run)


def test_images_that_are_gone_leave_the_rest(run):
    gone = Run(run.path, run.config.updated({"data.source": "folder:/no/such/place"}))
    reader = written(gone)
    assert "held-out images could not be read" in reader.text and "Curves" in reader.text
