"""The evaluation of a run: what is written, that it repeats, and that planted faults are told apart."""

import json
import shutil

import keras
import numpy as np
import pytest
from PIL import Image
from tiny import TINY

from gamix_keras import assembly, evaluation
from gamix_keras.config import Config, UserError
from gamix_keras.evaluation import Settings
from gamix_keras.runs import Run, session


def extractor(size=16):
    """Mean colours of a 4 x 4 grid as features: 48 of them."""
    inputs = keras.Input((size, size, 3))
    pooled = keras.layers.AveragePooling2D(size // 4)(inputs)
    return keras.Model(inputs, keras.layers.Flatten()(pooled), name="grid")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """An untrained run with a checkpoint and 40 held-out images."""
    config = Config().updated({**TINY, "data.count": 80, "data.validation_fraction": 0.5, "model.critic": False})
    run = Run.create(tmp_path_factory.mktemp("evaluation") / "run", config)
    run.begin_session(0)
    run.save_checkpoint(assembly.build_model(config), 3)
    return run


@pytest.fixture
def evaluate(run, tmp_path):
    """Evaluates that run with small features, and returns the result."""

    def call(**changes):
        values = {"extractor": extractor(), "count": 30, "cache": tmp_path / "cache", **changes}
        return evaluation.evaluate(run, Settings(**values))

    return call


def test_what_is_written(run, evaluate):
    result = evaluate()
    assert json.loads((run.path / "evaluation.json").read_text()) == result
    parts = {"reconstruction", "latents", "samplers", "real", "diagnosis", "protocol", "warnings"}
    assert set(result) == {*parts, "further_extractors"} and result["further_extractors"] == {}
    assert list(result["samplers"]) == ["prior", "gaussian", "mixture"]
    for scores in (result["reconstruction"], *result["samplers"].values()):
        assert scores["frechet"]["name"] == "FD-grid" and scores["frechet"]["value"] > 0
        assert len(scores["kid"]["interval"]) == 2
        assert scores["frechet"]["floor"] == result["real"]["frechet"]["value"] > 0
        assert {"precision", "recall", "density", "coverage"} < set(scores)
    assert {"mae", "mse", "psnr", "ssim", "ms_ssim"} < set(result["reconstruction"])
    assert {"mutual_information", "mmd", "aggregate_kl", "interpolation", "log_likelihood"} < set(result["latents"])
    assert result["protocol"]["samplers"]["gaussian"] == "FullGaussianSampler, fitted to 80 images"
    protocol = {"extractor": "grid", "real_images": 30, "seed": 0, "checkpoint_epoch": 3, "data": "faces"}
    assert protocol.items() <= result["protocol"].items()
    folder = run.path / "evaluation"
    assert len((folder / "scores.csv").read_text().splitlines()) == 31
    sheets = {"originals", "reconstructions", "prior", "gaussian", "mixture"}
    assert {file.stem for file in folder.glob("*.png")} == sheets
    assert Image.open(folder / "mixture.png").size == (6 * 130 + 2, 4 * 130 + 2)


def other_extractor():
    """Mean colours of the whole image: 3 features."""
    inputs = keras.Input((16, 16, 3))
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs), name="colours")


def test_several_extractors_each_say_what_they_would_alone(evaluate):
    both = evaluate(extractor=[extractor(), other_extractor()])
    first, second = evaluate(), evaluate(extractor=other_extractor())
    for name in ("reconstruction", "samplers", "real"):
        assert both[name] == first[name]
    found = both["further_extractors"]["colours"]
    assert found["samplers"] == second["samplers"] and found["real"] == second["real"]
    assert found["reconstruction"].items() <= second["reconstruction"].items()
    assert both["protocol"]["asked_extractors"] == ["grid", "colours"] and not found["protocol"]["trained_on"]
    warned = [line for line in both["warnings"] if "fewer than" in line]
    assert len(warned) == 1 and "48 features" in warned[0]


def test_features_that_were_trained_on_are_marked_and_decide_nothing(evaluate, run, monkeypatch):
    monkeypatch.setattr(evaluation.evaluator, "trained_extractors", lambda config: frozenset({"grid"}))
    alone = evaluate()
    assert alone["protocol"]["trained_on"]
    assert any("trained on the features of grid, so these distances flatter it" in line for line in alone["warnings"])
    both = evaluate(extractor=[extractor(), other_extractor()])
    assert (both["protocol"]["extractor"], both["protocol"]["trained_on"]) == ("colours", False)
    assert both["further_extractors"]["grid"]["protocol"]["trained_on"]
    assert both["further_extractors"]["grid"]["samplers"] == alone["samplers"]
    assert not any("flatter" in line for line in both["warnings"])
    assert run.evaluation() == both  # what chooses the sampler reads the deciding distances


def test_same_seed_same_file_and_another_seed_another(run, evaluate, tmp_path):
    written = []
    for changes in ({}, {}, {"cache": tmp_path / "other"}, {"seed": 1}):
        evaluate(**changes)
        written.append((run.path / "evaluation.json").read_bytes())
    assert written[0] == written[1] == written[2] != written[3]


def test_few_images_are_warned_of_beside_their_floor(evaluate):
    """30 images, 48 features: the distance is mostly bias, and a neighbourhood is a sixth of all images."""
    result = evaluate()
    first, second = result["warnings"]
    assert first.startswith("30 images are fewer than the 48 features: FD-grid of real images alone is")
    assert second.startswith("precision, recall, density and coverage were not computed: they need 100")
    assert (result["real"]["images"], result["real"]["against"]) == (30, "training images")
    assert {result["samplers"]["prior"][name] for name in ("precision", "recall", "density", "coverage")} == {None}


def test_the_bound_and_the_walks_are_measured_on_drawn_images(evaluate, tmp_path, monkeypatch):
    """Held-out images sorted by brightness: the first ones alone would be dark."""
    monkeypatch.setattr(evaluation.evaluator, "_BOUND_IMAGES", 10)
    monkeypatch.setattr(evaluation.evaluator, "_WALKS", 2)
    seen = {}
    for name in ("log_likelihood", "smoothness"):
        monkeypatch.setattr(evaluation.measures, name, lambda _, images, *__, name=name: seen.update({name: images}))
    shades = np.repeat(np.arange(25, dtype=np.uint8) * 10, 16 * 16 * 3).reshape(25, 16, 16, 3)
    np.savez(tmp_path / "sorted.npz", images=shades)
    drawn = []
    for seed in (0, 0, 1):
        evaluate(data=str(tmp_path / "sorted.npz"), samplers=("prior",), seed=seed)
        drawn.append(seen["log_likelihood"][:, 0, 0, 0])
        np.testing.assert_array_equal(seen["smoothness"], seen["log_likelihood"][:4])
    assert np.array_equal(drawn[0], drawn[1]) and not np.array_equal(drawn[0], drawn[2])
    assert drawn[0].max() > 0  # brighter than the ten darkest


def test_only_what_is_asked_for(evaluate):
    result = evaluate(samplers=("prior",))
    assert list(result["samplers"]) == ["prior"]
    assert result["protocol"]["samplers"] == {"prior": "PriorSampler"}


def test_other_images_are_taken_whole(evaluate, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (25, 16, 16, 3), dtype=np.uint8)
    np.savez(tmp_path / "noise.npz", images=pixels)
    result = evaluate(data=str(tmp_path / "noise.npz"), samplers=("prior",))
    assert result["protocol"]["real_images"] == 25
    assert result["reconstruction"]["psnr"] < 15


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"samplers": ("prior", "magic")}, "--samplers: expected names of prior, .*, got magic"),
        ({"count": 19}, "--count: expected at least 20 images, got 19"),
        ({"extractor": "vgg"}, "extractor: expected one of"),
        ({"data": "nowhere"}, "data source: expected faces"),
        ({"samplers": ("second_stage",)}, "expected a run with a second stage"),
    ],
)
def test_mistakes_are_named(evaluate, changes, message):
    with pytest.raises(ValueError, match=message):
        evaluate(**changes)


def test_too_few_held_out_images(tmp_path):
    run = Run.create(tmp_path / "run", Config().updated(TINY))
    with pytest.raises(UserError, match="at least 20 held-out images, got 2; name a source with more"):
        evaluation.evaluate(run, Settings(extractor=extractor()))


def test_a_run_without_a_checkpoint(tmp_path):
    run = Run.create(tmp_path / "run", Config().updated({**TINY, "data.count": 300}))
    run.begin_session(0)
    with pytest.raises(UserError, match="has none yet"):
        evaluation.evaluate(run, Settings(extractor=extractor(), samplers=("prior",)))


def test_a_configuration_that_is_not_the_checkpoints_is_told_before_anything_is_read(run, tmp_path):
    file = shutil.copytree(run.path, tmp_path / "edited") / "config.json"
    file.write_text(file.read_text().replace('"image_size": 16', '"image_size": 32'))
    with pytest.raises(UserError, match="data.image_size and data.channels"):
        evaluation.evaluate(Run.open(file.parent), Settings(extractor="keras:nothing", data="folder:nowhere"))


PLANTED = {
    "collapsed": {"model.name": "vae", "loss.scale": 1.0, "loss.beta": 100.0},
    "half-dead": {"model.name": "vae", "loss.scale": 1.0, "loss.beta": 8.0},
    None: {"model.name": "vae", "loss.scale": 0.2},
    "sigma-collapsed": {
        **{"model.name": "gamix", "model.critic": False, "loss.scale": 0.05, "loss.variance_weight": 0.0},
        **{"training.epochs": 40, "training.learning_rate": 1e-2},
    },
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:CollapseMonitor")
@pytest.mark.parametrize("kind", PLANTED)
def test_planted_faults_of_trained_models_are_told_apart(tmp_path, kind):
    values = {**TINY, "data.count": 600, "model.width": 16, "model.latent_dim": 16, "training.epochs": 15}
    values |= {"training.learning_rate": 3e-3, "training.sample_every": 0, "training.batch_size": 16}
    run = Run.create(tmp_path / "run", Config().updated({**values, **PLANTED[kind]}))
    session.train(run, verbose=0)
    settings = Settings(extractor=extractor(), samplers=("prior",), cache=tmp_path)
    result = evaluation.evaluate(run, settings)
    assert [found["kind"] for found in result["diagnosis"]] == ([kind] if kind else [])
