"""The sampler of a run: which one, fitted when, kept where."""

import json
import os

import numpy as np
import pytest
from harness import numpy
from tiny import TINY

from gamix_keras.config import Config, UserError
from gamix_keras.runs import Run, sampling, session
from gamix_keras.samplers import SAMPLERS, total_moments


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = Run.create(tmp_path_factory.mktemp("runs") / "run", Config().updated({**TINY, "model.name": "vae"}))
    session.train(run, verbose=0)
    return run


@pytest.fixture
def lines():
    return []


def measured(path, **distances):
    scores = {name: {"frechet": {"value": value}} for name, value in distances.items()}
    (path / "evaluation.json").write_text(json.dumps({"samplers": scores}))


@pytest.fixture
def bare(tmp_path):
    """A run of which nothing but its configuration is there."""
    run = Run.create(tmp_path / "bare", Config())
    run.begin_session(0)
    return run


@pytest.mark.backend_free
def test_the_best_that_was_measured_is_chosen(bare):
    assert sampling.choose(bare).name == "prior"
    assert "none was measured" in sampling.choose(bare).reason
    measured(bare.path, prior=61.0, mixture=48.25, gaussian=50.0, unheard_of=1.0, second_stage=2.0)
    name, reason = sampling.choose(bare)
    assert name == "mixture"
    assert reason == "the lowest Frechet distance of mixture 48.25, gaussian 50.00, prior 61.00"
    measured(bare.path, prior=float("nan"))
    assert sampling.choose(bare).name == "prior"


@pytest.mark.backend_free
@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"samplers": 1}', '{"samplers": {"prior": 3}}', "\x00"])
def test_an_evaluation_that_cannot_be_read_is_told(bare, text):
    (bare.path / "evaluation.json").write_text(text)
    with pytest.raises(UserError, match="RUN: .*evaluation.json: expected samplers with a Frechet distance each, got"):
        sampling.choose(bare)
    with pytest.raises(UserError, match="`gamix-keras evaluate` writes it anew"):
        bare.evaluation()


def test_a_measurement_before_the_checkpoint_is_marked(run):
    measured(run.path, gaussian=1.0)
    os.utime(run.path / "evaluation.json", (1, 1))
    assert sampling.choose(run).reason.endswith("measured before that checkpoint")
    (run.path / "evaluation.json").unlink()


def test_a_sampler_is_fitted_once_to_the_training_images_and_kept(run, lines):
    model = run.load_model()
    first = sampling.sampler_of(run, model, "gaussian", say=lines.append)
    source = sampling.assembly.open_source(run.config, "train")
    images = source.load(np.arange(len(source))) / np.float32(127.5) - 1.0
    expected, _ = total_moments(tuple(numpy(part) for part in model.encode(images)))
    np.testing.assert_allclose(numpy(first.mean), expected, atol=1e-4)
    again = sampling.sampler_of(run, model, "gaussian", say=lines.append)
    np.testing.assert_array_equal(first.sample(3, seed=0), again.sample(3, seed=0))
    assert lines == ["latents of 24 training images", "fitting the sampler gaussian to 24 training images"]
    assert (run.path / "samplers" / "gaussian.keras").exists()


def test_a_newer_checkpoint_and_other_components_want_a_new_fit(run, lines):
    model, path = run.load_model(), run.path / "samplers" / "mixture.keras"
    posteriors = sampling.training_posteriors(run, model, say=lambda line: None)
    fit = lambda components=None: sampling.sampler_of(  # noqa: E731
        run, model, "mixture", components, say=lines.append, posteriors=lambda: posteriors
    )
    assert fit(2).components == fit().components == fit(2).components == 2
    assert lines == ["fitting the sampler mixture to 24 training images, components 2, covariance full"]
    assert fit(3).components == 3 and len(lines) == 2
    os.utime(path, (1, 1))  # as a copy may have it: the checksum beside it still is that of the checkpoint
    assert fit().components == 3 and len(lines) == 2
    path.with_name("mixture.keras.checkpoint").write_text("that of another")
    assert fit().components == 10 and len(lines) == 3
    assert lines[-1].endswith("components 10, covariance diag")
    path.write_bytes(b"damaged")
    assert fit(2).components == 2 and len(lines) == 4


def test_without_a_checksum_time_decides(run):
    sampling.sampler_of(run, run.load_model(), "gaussian", say=lambda line: None)
    path = run.path / "samplers" / "gaussian.keras"
    path.with_name("gaussian.keras.checkpoint").write_text("")
    assert sampling.is_fitted(run, "gaussian")
    os.utime(path, (1, 1))
    assert not sampling.is_fitted(run, "gaussian")


def test_a_sampler_belongs_to_its_checkpoint(run, lines):
    """One fitted to the newest is not taken for another, and each is kept."""
    first = sampling.sampler_of(run, run.load_model(), "gaussian", say=lines.append)
    later = run.load_checkpoint(compile=True)
    later.set_weights([1.5 * weight for weight in later.get_weights()])
    run.save_checkpoint(later, 2)
    earlier = run.at(1)
    again = sampling.sampler_of(earlier, earlier.load_model(), "gaussian", say=lines.append)
    np.testing.assert_array_equal(first.sample(3, seed=0), again.sample(3, seed=0))
    newest = sampling.sampler_of(run, run.load_model(), "gaussian", say=lines.append)
    assert np.any(first.sample(3, seed=0) != newest.sample(3, seed=0))
    assert sampling.is_fitted(run, "gaussian") and sampling.is_fitted(earlier, "gaussian")
    assert (run.path / "samplers" / "epoch-0001" / "gaussian.keras").is_file()


def test_the_prior_is_not_written(run):
    sampling.sampler_of(run, run.load_model(), "prior")
    assert not (run.path / "samplers" / "prior.keras").exists()


@pytest.mark.parametrize(
    ("name", "components", "message"),
    [
        ("second_stage", None, "--sampler: expected a run with a second stage, got .*, which has none"),
        ("gaussian", 3, "--components: expected the sampler mixture with it, got gaussian"),
        ("mixture", 25, "components: expected at most the number of images, 24, got 25"),
    ],
)
def test_what_a_run_cannot_give_is_told(run, name, components, message):
    with pytest.raises(ValueError, match=message):
        sampling.sampler_of(run, run.load_model(), name, components, say=lambda line: None)


@pytest.mark.backend_free
def test_the_command_line_knows_every_sampler():
    from gamix_keras.cli import sample

    assert tuple(sample.SAMPLERS) == tuple(SAMPLERS)
