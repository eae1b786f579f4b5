"""Compiled halves against the model that runs layer by layer."""

import numpy as np
import pytest
from harness import LATENT, SHAPE, compiled, decoder, encoder, gamix, images, numpy, vae

from gamix_keras.losses import GaussianNLL
from gamix_keras.models import VAE
from gamix_keras.models.compiled import CompiledVAE


def codes(count, seed=0):
    return np.random.default_rng(seed).standard_normal((count, LATENT)).astype("float32")


@pytest.mark.parametrize("dtype", [None, "mixed_bfloat16"])
def test_it_says_what_the_model_says(dtype):
    model = vae(dtype=dtype)
    networks, pictures = CompiledVAE(model), images(5)
    for mine, theirs in zip(networks.encode(pictures), model.encode(pictures), strict=True):
        assert mine.dtype == "float32"
        np.testing.assert_allclose(mine, numpy(theirs), atol=1e-2 if dtype else 1e-5)
    for count in (1, 5):
        decoded = networks.decode(codes(count))
        assert decoded.dtype == "float32"
        np.testing.assert_allclose(decoded, numpy(model.decode(codes(count))), atol=1e-2 if dtype else 1e-5)
    np.testing.assert_allclose(networks.reconstruct(pictures), numpy(model.reconstruct(pictures)), atol=2e-2)


def test_the_parameters_of_a_likelihood_are_all_there():
    model = VAE(encoder(), decoder(channels=2 * SHAPE[-1]), GaussianNLL("per_pixel"))
    networks, z = CompiledVAE(model), codes(3)
    np.testing.assert_allclose(networks.decode_parameters(z), numpy(model.decoder(z)), atol=1e-5)
    np.testing.assert_allclose(networks.decode(z), numpy(model.decode(z)), atol=1e-5)


def test_it_has_the_weights_of_the_moment():
    model = compiled(gamix(ema_decay=0.9))
    networks, pictures = CompiledVAE(model), images(32)
    before = networks.reconstruct(pictures[:4])
    model.fit(pictures, batch_size=16, epochs=1, verbose=0)
    after = networks.reconstruct(pictures[:4])
    assert np.abs(after - before).max() > 1e-4
    np.testing.assert_allclose(after, numpy(model.reconstruct(pictures[:4])), atol=1e-5)
    with model.averaged():
        averaged = networks.reconstruct(pictures[:4])
        np.testing.assert_allclose(averaged, numpy(model.reconstruct(pictures[:4])), atol=1e-5)
    assert np.abs(averaged - after).max() > 1e-5


def test_a_log_variance_is_clamped():
    model = vae()
    model.encoder.get_layer("log_var").bias.assign(np.full(LATENT, 1e3, "float32"))
    assert CompiledVAE(model).encode(images(2)).log_var.max() == 20.0
