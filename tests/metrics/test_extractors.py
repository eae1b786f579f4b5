import contextlib
import functools
import sys
import types

import keras
import numpy as np
import pytest

from gamix_keras.metrics import extractors


def pixels(count=3, side=16, channels=3):
    return np.random.default_rng(0).integers(0, 256, (count, side, side, channels)).astype(np.uint8)


def test_unknown_names_list_the_known():
    with pytest.raises(ValueError, match="lite0, onet, inception, keras:NAME or a Keras model, got 'vgg'"):
        extractors.feature_extractor("vgg")
    with pytest.raises(ValueError, match="^extractor: expected keras:NAME with one of .*, got 'keras:VGG'$"):
        extractors.feature_extractor("keras:VGG")
    with pytest.raises(ValueError, match="^size: expected at least 1, got 0$"):
        extractors.feature_extractor("inception", size=0)


def test_efficientnet_scores_floats_as_their_8_bit_pixels():
    extractor = extractors.feature_extractor("efficientnet_lite0", size=32, batch_size=4)
    images = pixels()
    found = extractor(images)
    assert found.shape == (3, 1280) and found.dtype == np.float32 and np.ptp(found, axis=0).max() > 0.1
    np.testing.assert_array_equal(extractor(images.astype("float32") / 127.5 - 1), found)
    assert extractor.frechet_name == "fd_efflite0_32"
    assert extractor.protocol()["resize"] == "bilinear, anti-aliased, to 32 x 32"


def test_any_keras_model_serves_and_its_weights_are_identified():
    def make(seed):
        inputs = keras.Input((8, 8, 1))
        kernel = keras.initializers.RandomNormal(seed=seed)
        return keras.Model(inputs, keras.layers.Conv2D(5, 3, kernel_initializer=kernel)(inputs), name="small")

    first, same, other = (extractors.feature_extractor(make(seed)) for seed in (1, 1, 2))
    assert first(pixels(channels=1)).shape == (3, 5) and first.frechet_name == "fd_small"
    np.testing.assert_allclose(first(pixels(channels=1)), same(pixels(channels=1)))
    assert first.weights == same.weights != other.weights
    assert first.protocol()["resize"] == "bilinear, anti-aliased, to 8 x 8"


def test_models_with_two_outputs_are_refused():
    inputs = keras.Input((8, 8, 3))
    with pytest.raises(ValueError, match="^model: expected one output"):
        extractors.feature_extractor(keras.Model(inputs, [keras.layers.Flatten()(inputs)] * 2))


def test_keras_applications_by_name(monkeypatch):
    original = keras.applications.MobileNet

    @functools.wraps(original)
    def small(weights, include_top, pooling, input_shape):
        assert (weights, include_top, pooling) == ("imagenet", False, "avg")
        inputs = keras.Input(input_shape)
        return keras.Model(inputs, keras.layers.GlobalMaxPooling2D()(inputs))

    monkeypatch.setattr(keras.applications, "MobileNet", small)
    extractor = extractors.feature_extractor("keras:MobileNet", size=16)
    # MobileNet's own scaling is to [-1, 1].
    np.testing.assert_allclose(extractor(pixels()), pixels().max((1, 2)) / 127.5 - 1, atol=1e-5)
    assert (extractor.name, extractor.frechet_name) == ("keras:MobileNet", "fd_mobilenet_16")


def test_a_failed_download_is_one_plain_sentence(monkeypatch):
    def offline(**arguments):
        raise Exception("URL fetch failure on https://host/file: no network")

    monkeypatch.setattr(keras.applications, "MobileNet", offline)
    with pytest.raises(ValueError, match="keras:MobileNet': expected .*downloads once, got .*no network"):
        extractors.feature_extractor("keras:MobileNet")


class FakeInception:
    """Stands in for torch-fidelity's extractor: features are the mean pixel of each channel, offset by one."""

    def __init__(self, name, features_list):
        assert (name, features_list) == ("inception-v3-compat", ["2048"])

    def __call__(self, batch):
        assert batch.shape[1] == 3 and batch.dtype == np.uint8
        answer = types.SimpleNamespace(cpu=lambda: answer, numpy=lambda: batch.mean((2, 3)) + 1)
        return (answer,)


def plant(monkeypatch, inception):
    torch = types.SimpleNamespace(no_grad=contextlib.nullcontext, from_numpy=lambda array: array)
    module = types.SimpleNamespace(FeatureExtractorInceptionV3=inception, torch=torch)
    monkeypatch.setitem(sys.modules, "torch_fidelity", types.ModuleType("torch_fidelity"))
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", module)


def test_inception_hands_channels_first_pixels_to_torch_fidelity(monkeypatch):
    plant(monkeypatch, FakeInception)
    extractor = extractors.feature_extractor("inception")
    np.testing.assert_allclose(extractor(pixels()), pixels().mean((1, 2)) + 1, rtol=1e-6)
    assert extractor.frechet_name == "fid" and extractor.protocol()["backend"] == "torch"


def test_inception_refuses_clearly(monkeypatch):
    with pytest.raises(ValueError, match="^size: expected 299, which is fixed for extractor 'inception', got 128$"):
        extractors.feature_extractor("inception", size=128)
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(ValueError, match="pip install torch torchvision torch-fidelity"):
        extractors.feature_extractor("inception")

    def offline(*arguments):
        raise OSError("Name or service not known")

    plant(monkeypatch, offline)
    with pytest.raises(ValueError, match="Name or service not known; offline, use efficientnet_lite0"):
        extractors.feature_extractor("inception")
