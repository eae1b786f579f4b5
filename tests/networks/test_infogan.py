import keras
import numpy as np
import pytest
from harness import gradient, numpy
from network_checks import fill, numbers, outputs

from gamix_keras.networks import InfoGANDecoder, InfoGANEncoder
from gamix_keras.networks.infogan import log_variance

SMALL = {"image_shape": (16, 16, 3), "latent_dim": 4, "width": 4, "units": 16}
LEARNED_SCALE = 1


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("shape", "expected"), [((28, 28, 1), 13_331_586), ((32, 32, 3), 17_273_604), ((64, 64, 3), 67_678_980)]
)
def test_published_trainable_counts(shape, expected):
    networks = InfoGANEncoder(shape), InfoGANDecoder(shape)
    found = sum(int(np.prod(v.shape)) for network in networks for v in network.trainable_variables)
    assert found + LEARNED_SCALE == expected


def test_deviation_is_a_softplus():
    encoder = InfoGANEncoder(**SMALL)
    fill(encoder)
    heads = keras.Model(encoder.input, encoder.get_layer("heads").output)
    images = numbers((3, 16, 16, 3))
    raw, (mean, log_var) = heads.predict_on_batch(images), outputs(encoder, images)
    np.testing.assert_allclose(mean, raw[:, :4], rtol=1e-5)
    np.testing.assert_allclose(np.exp(0.5 * log_var), np.log1p(np.exp(raw[:, 4:])) + 1e-6, rtol=1e-4)


def test_log_variance_holds_in_both_tails():
    heads = np.concatenate([np.linspace(-40, 30, 141), [-3.5066, -3.5065, 14.999, 15.001]]).astype("float32")
    exact = heads.astype("float64")
    expected = 2 * np.log(np.log1p(np.exp(exact)) + 1e-6)
    np.testing.assert_allclose(numpy(log_variance(heads)), expected, rtol=2e-6, atol=2e-6)
    slope = 2 / (np.log1p(np.exp(exact)) + 1e-6) / (1 + np.exp(-exact))
    found = gradient(lambda x: keras.ops.sum(log_variance(x)), heads)
    np.testing.assert_allclose(found, slope, rtol=1e-4, atol=1e-7)


def test_output_is_the_published_sigmoid_on_our_range():
    decoder = InfoGANDecoder(**SMALL)
    fill(decoder)
    logits = keras.Model(decoder.input, decoder.get_layer("location").output)
    z = 3 * numbers((3, 4))
    published = 1 / (1 + np.exp(-logits.predict_on_batch(z)))
    np.testing.assert_allclose(outputs(decoder, z)[0], 2 * published - 1, rtol=1e-4, atol=1e-5)


def test_four_encoder_kernels_have_norm_1_after_a_step():
    encoder = InfoGANEncoder(**SMALL)
    encoder.compile(keras.optimizers.Adam(1e-3), loss=["mse", "mse"])
    encoder.train_on_batch(numbers((8, 16, 16, 3)), [numbers((8, 4)), numbers((8, 4))])
    kernels = [v for v in encoder.trainable_variables if v.name == "kernel"]
    assert len(kernels) == 4
    for kernel in map(keras.ops.convert_to_numpy, kernels):
        assert np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]))[1][0] == pytest.approx(1.0, rel=1e-3)


def test_batch_normalisation_is_a_real_one():
    encoder = InfoGANEncoder(**SMALL)
    before = [keras.ops.convert_to_numpy(v) + 0.0 for v in encoder.non_trainable_variables]
    encoder.compile("sgd", loss=["mse", "mse"])
    encoder.train_on_batch(numbers((8, 16, 16, 3)), [numbers((8, 4)), numbers((8, 4))])
    for old, new in zip(before, encoder.non_trainable_variables, strict=True):
        assert np.any(old != keras.ops.convert_to_numpy(new))


@pytest.mark.backend_free
def test_starts_as_published():
    kernels = [v for v in InfoGANDecoder((64, 64, 3)).trainable_variables if v.name == "kernel"]
    for kernel in kernels:
        assert np.std(keras.ops.convert_to_numpy(kernel)) == pytest.approx(0.02, rel=0.05)


@pytest.mark.backend_free
def test_errors_name_the_argument():
    for kind in (InfoGANEncoder, InfoGANDecoder):
        with pytest.raises(ValueError, match="image_shape: expected .* divisible by .* = 4, got 30x28"):
            kind((30, 28, 1))
        with pytest.raises(ValueError, match="units: expected a positive integer, got 0"):
            kind((28, 28, 1), units=0)
