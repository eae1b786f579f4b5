"""From a model and its data to a sampler, and to a file and back."""

import re
import types

import harness
import keras
import numpy as np
import pytest
from sampler_cases import MAKERS, D

from gamix_keras.samplers import SAMPLERS, SecondStageSampler, collect_posteriors, fit_sampler, load_sampler
from gamix_keras.samplers import save_sampler as save


class Batches(keras.utils.PyDataset):
    """Batches of 5, each a tuple with labels."""

    def __init__(self, images):
        super().__init__()
        self.images = images

    def __len__(self):
        return -(-len(self.images) // 5)

    def __getitem__(self, index):
        rows = slice(5 * index, 5 * index + 5)
        return self.images[rows], np.zeros(len(self.images[rows]))


class Endless(Batches):
    """The first batch for ever."""

    num_batches = None

    def __getitem__(self, index):
        return self.images[:5]


@pytest.fixture(scope="module")
def model():
    return harness.vae()


IMAGES = harness.images(23)


def kinds():
    import tensorflow as tf

    return {
        "array": IMAGES,
        "tf.data": tf.data.Dataset.from_tensor_slices(IMAGES).batch(4),
        "PyDataset": Batches(IMAGES),
        "list": [IMAGES[:20], IMAGES[20:]],
    }


@pytest.mark.parametrize("kind", ["array", "tf.data", "PyDataset", "list"])
def test_posteriors_come_in_order_from_every_kind_of_data_set(model, kind):
    expected = [harness.numpy(part) for part in model.encode(IMAGES)]
    for limit, count in ((None, 23), (7, 7), (100, 23)):
        collected = collect_posteriors(model, kinds()[kind], limit)
        for part, whole in zip(collected, expected, strict=True):
            assert part.dtype == np.float32
            np.testing.assert_allclose(part, whole[:count], rtol=1e-5, atol=1e-6)


def test_an_endless_data_set_needs_a_limit(model):
    import tensorflow as tf

    for endless in (Endless(IMAGES), tf.data.Dataset.from_tensors(IMAGES[:5]).repeat()):
        assert len(collect_posteriors(model, endless, 12).mean) == 12
        with pytest.raises(ValueError, match="limit: expected a number of images"):
            collect_posteriors(model, endless)


@pytest.mark.parametrize(
    ("dataset", "limit", "message"),
    [
        ([], None, "dataset: expected at least one image, found none"),
        (IMAGES, 0, "limit: expected at least 1, or None, got 0"),
        ([IMAGES[0]], None, "dataset: expected batches (B, H, W, C) of float images in [-1, 1], got shape (8, 8, 3)"),
        (IMAGES.astype("uint8"), None, "got shape (23, 8, 8, 3) of uint8"),
    ],
)
def test_bad_data_sets_are_named(model, dataset, limit, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        collect_posteriors(model, dataset, limit)


@pytest.mark.parametrize("name", ["prior", "gaussian", "mixture"])
def test_a_fitted_sampler_makes_images(model, name):
    sampler = fit_sampler(name, model, IMAGES, components=2, covariance="diag", seed=1)
    assert type(sampler) is SAMPLERS[name]
    assert harness.numpy(model.decode(sampler.sample(3, seed=0))).shape == (3, *harness.SHAPE)


def test_collected_posteriors_spare_the_pass(model):
    collected = collect_posteriors(model, IMAGES)
    first, second = fit_sampler("gaussian", model, collected), fit_sampler("gaussian", model, IMAGES)
    np.testing.assert_array_equal(first.get_weights()[1], second.get_weights()[1])


def test_a_second_stage_is_taken_from_the_model(model):
    stage = types.SimpleNamespace(decoder=MAKERS["second_stage"]().decoder, log_scale=-1.0)
    held = types.SimpleNamespace(log_scale=keras.Variable(-2.0))
    for scale, value in ((-1.0, -1.0), (held, -2.0)):
        stage.log_scale = scale
        sampler = fit_sampler("second_stage", types.SimpleNamespace(second_stage=stage))
        assert isinstance(sampler, SecondStageSampler) and sampler.get_config()["log_scale"] == value


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"name": "x"}, "sampler: expected one of prior, gaussian, mixture, second_stage, got 'x'"),
        ({"name": "second_stage"}, "expected a model with a second stage for 'second_stage', got a VAE"),
        ({"name": "mixture", "components": 24}, "components: expected at most the number of images, 23, got 24"),
    ],
)
def test_what_cannot_be_fitted_is_named(model, kwargs, message):
    with pytest.raises(ValueError, match=message):
        fit_sampler(model=model, dataset=IMAGES, **kwargs)


@pytest.mark.parametrize("kind", MAKERS)
def test_a_saved_sampler_is_the_same_bit_for_bit(tmp_path, kind):
    sampler = MAKERS[kind]()
    before = sampler.sample(6, seed=0)
    save(sampler, tmp_path / "samplers" / "one.keras")
    again = load_sampler(tmp_path / "samplers" / "one.keras")
    assert type(again) is type(sampler) and [file.name for file in tmp_path.rglob("*.*")] == ["one.keras"]
    for left, right in zip(sampler.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)
    np.testing.assert_array_equal(again.sample(6, seed=0), before)
    np.testing.assert_array_equal(sampler.sample(6, seed=0), before)


def test_a_shared_scale_is_saved_with_its_value(tmp_path):
    scale = keras.Variable(-1.5, name="scale")
    save(SecondStageSampler(MAKERS["second_stage"]().decoder, scale), tmp_path / "s.keras")
    assert float(load_sampler(tmp_path / "s.keras").log_scale) == -1.5


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "s.keras"
    save(MAKERS["prior"](), path)
    before = path.read_bytes()

    def half(model, target, **kwargs):
        target.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(keras.Model, "save", half)
    with pytest.raises(OSError, match="disk full"):
        save(MAKERS["prior"](), path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_files_that_hold_no_sampler_are_named(tmp_path):
    with pytest.raises(ValueError, match="which does not exist"):
        load_sampler(tmp_path / "none.keras")
    (tmp_path / "damaged.keras").write_bytes(b"no archive")
    with pytest.raises(ValueError, match="which cannot be read"):
        load_sampler(tmp_path / "damaged.keras")
    harness.decoder().save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="which holds a Functional"):
        load_sampler(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="a file that ends in .keras, got a.npz"):
        save(MAKERS["prior"](), "a.npz")


def test_the_dimension_is_that_of_the_model(model):
    assert fit_sampler("prior", model).latent_dim == harness.LATENT
    assert MAKERS["mixture"]().noise_dim == D + 1
