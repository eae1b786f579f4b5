"""One call to a model: by name, from a run, from a file; and what cannot be loaded."""

import json
from importlib import metadata
from pathlib import Path

import keras
import numpy as np
import pytest
from harness import numpy
from tiny import TINY

import gamix_keras
from gamix_keras.config import Config, UserError
from gamix_keras.models import SecondStageVAE, TwoStageVAE
from gamix_keras.networks import SecondStageDecoder, SecondStageEncoder
from gamix_keras.runs import Run, lookup, sampling, session


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = Run.create(tmp_path_factory.mktemp("runs") / "run", Config().updated({**TINY, "training.ema_decay": 0.5}))
    session.train(run, verbose=0)
    return run


def test_a_run_is_loaded_as_it_would_be_by_hand(run):
    loaded, model = gamix_keras.load(run.path), run.load_model()
    assert (loaded.latent_dim, loaded.image_shape, loaded.config) == (3, (16, 16, 3), run.config)
    images = np.random.default_rng(0).uniform(-1, 1, (4, 16, 16, 3)).astype("float32")
    for ours, theirs in zip(loaded.encode(images), model.encode(images), strict=True):
        np.testing.assert_array_equal(ours, numpy(theirs))
    np.testing.assert_array_equal(loaded.reconstruct(images), numpy(model.reconstruct(images)))
    np.testing.assert_array_equal(loaded.decode(np.ones((2, 3))), numpy(model.decode(np.ones((2, 3)))))


def test_a_run_that_was_not_measured_draws_from_what_it_has(run):
    bare = gamix_keras.load(run.path)
    np.testing.assert_allclose(bare.sample(3, seed=5), numpy(bare.model.sample(3, seed=5)), atol=1e-5)
    assert bare.evaluation is None and not np.array_equal(bare.sample(2), bare.sample(2))
    fitted = gamix_keras.load(str(run.path), sampler="gaussian")
    assert type(gamix_keras.load(run.path).sampler) is type(fitted.sampler) is sampling.SAMPLERS["gaussian"]
    np.testing.assert_array_equal(fitted.sample(3, seed=1), gamix_keras.load(run.path).sample(3, seed=1))


def test_the_sampler_that_was_measured_best_goes_first(run):
    scores = {"samplers": {"prior": {"frechet": {"value": 1.0}}, "gaussian": {"frechet": {"value": 2.0}}}}
    (run.path / "evaluation.json").write_text(json.dumps(scores))
    loaded = gamix_keras.load(run.path)
    (run.path / "evaluation.json").unlink()
    assert type(loaded.sampler) is sampling.SAMPLERS["prior"] and loaded.evaluation == scores


def test_a_single_file_is_loaded_with_its_average_and_another_sampler_can_be_fitted(run, tmp_path):
    model = run.load_model()
    model.save(tmp_path / "one.keras")
    loaded, z = gamix_keras.load(tmp_path / "one.keras"), np.ones((2, 3), "float32")
    np.testing.assert_allclose(loaded.decode(z), numpy(model.decode(z)), atol=1e-5)
    assert loaded.config is None and type(loaded.sampler) is sampling.SAMPLERS["prior"]
    images = np.random.default_rng(0).uniform(-1, 1, (8, 16, 16, 3)).astype("float32")
    assert type(loaded.with_sampler("gaussian", images).sampler) is sampling.SAMPLERS["gaussian"]
    with pytest.raises(UserError, match="load: expected sampler prior or second_stage for a single file, got mixture"):
        gamix_keras.load(tmp_path / "one.keras", sampler="mixture")


def test_a_two_stage_file_draws_from_its_second_stage(run, tmp_path):
    size = {"latent_dim": 3, "width": 4, "depth": 1}
    model = TwoStageVAE(run.load_model(), SecondStageVAE(SecondStageEncoder(**size), SecondStageDecoder(**size)))
    model.save(tmp_path / "two.keras")
    loaded = gamix_keras.load(tmp_path / "two.keras")
    assert type(loaded.sampler) is sampling.SAMPLERS["second_stage"]
    np.testing.assert_allclose(loaded.sample(3, seed=2), numpy(model.sample(3, seed=2)), atol=1e-5)


def test_what_cannot_be_loaded_is_told_in_one_line(tmp_path):
    (tmp_path / "broken.keras").write_bytes(b"no archive")
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(tmp_path / "other.keras")
    wrong = {
        "face": r"expected a run directory .*, a .keras file, or a model of the package .*, got 'face'",
        tmp_path: "expected a run directory",
        tmp_path / "broken.keras": "expected a file of a model, got .*broken.keras, which cannot be read",
        tmp_path / "other.keras": "expected a file of a VAE, got .*other.keras, which holds a Sequential",
    }
    for name, message in wrong.items():
        with pytest.raises(UserError, match=f"^load: {message}") as caught:
            gamix_keras.load(name)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="load: sampler: expected one of prior, .*, got 'best'"):
        gamix_keras.load("faces", sampler="best")


@pytest.mark.backend_free
def test_an_installed_model_is_found_by_the_record(tmp_path, monkeypatch):
    record = [
        "gamix_keras/loading.py",
        "../share/gamix_keras/saved_models/drawn/config.json",
        "../share/gamix_keras/saved_models/drawn/checkpoints/epoch-0001.keras",
    ]
    info = tmp_path / "site" / "gamix_keras-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Name: gamix_keras\nVersion: 0.1.0\n")
    (info / "RECORD").write_text("".join(f"{line},,\n" for line in record))
    for line in record:
        (tmp_path / "site" / line).resolve().parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "site" / line).resolve().touch()
    monkeypatch.setattr(metadata, "files", lambda name: metadata.Distribution.at(info).files)
    monkeypatch.setattr(lookup, "__file__", str(tmp_path / "site" / "gamix_keras" / "runs" / "lookup.py"))
    assert lookup.shipped() == {"drawn": Path(tmp_path, "share/gamix_keras/saved_models/drawn").resolve()}
    assert gamix_keras.shipped_names() == ("drawn",)
    monkeypatch.setattr(metadata, "files", lambda name: None)
    assert lookup.shipped() == {}


def test_a_model_is_printed_in_three_lines(run, tmp_path):
    scores = {"samplers": {"prior": {"frechet": {"value": 12.34, "name": "FD-efflite0"}}}, "noise": [0.0] * 10000}
    (run.path / "evaluation.json").write_text(json.dumps(scores))
    loaded = gamix_keras.load(run.path)
    (run.path / "evaluation.json").unlink()
    weights = sum(int(np.prod(variable.shape)) for variable in loaded.model.weights)
    assert str(loaded).splitlines() == [
        f"GAMIXVAE: images 16 x 16 x 3, 3 latents, {weights:,} weights",
        "trained on: faces (24 drawn), to epoch 1",
        "sampler: prior, FD-efflite0 12.3",
    ]
    loaded.model.save(tmp_path / "one.keras")
    single = repr(gamix_keras.load(tmp_path / "one.keras")).splitlines()
    assert single[1:] == ["trained on: unknown, for a single file was loaded", "sampler: prior, not measured yet"]


def test_a_checkpoint_of_a_run_can_be_named(run):
    assert gamix_keras.load(run.path, checkpoint=1).epochs == 1
    with pytest.raises(UserError, match="--checkpoint: expected latest, best or an epoch that is kept"):
        gamix_keras.load(run.path, checkpoint=7)
