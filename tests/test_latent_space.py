"""Walks through the latent space."""

import keras
import numpy as np
import pytest

from gamix_keras import latent_space
from gamix_keras.latent_space import linear, norm_corrected, spherical
from gamix_keras.samplers import PrincipalAxes, PriorSampler

T = np.linspace(0, 1, 5)
A, B = np.array([3.0, 0.0, 0.0], "float32"), np.array([0.0, 3.0, 0.0], "float32")


class Identity:
    """A VAE whose images are its latents: mean = pixels, sigma = 0.1."""

    latent_dim = 4

    def encode(self, images):
        mean = keras.ops.reshape(keras.ops.convert_to_tensor(images), (-1, 4))
        return mean, keras.ops.full_like(mean, 2 * np.log(0.1))

    def decode(self, latents):
        return keras.ops.reshape(keras.ops.convert_to_tensor(latents), (-1, 2, 2, 1))


IMAGE, OTHER = np.zeros((2, 2, 1), "float32"), np.ones((2, 2, 1), "float32")


@pytest.mark.parametrize("path", [linear, spherical, norm_corrected])
def test_a_path_starts_and_ends_where_it_should(path):
    points = path(A, B, T)
    np.testing.assert_allclose(points[[0, -1]], [A, B], atol=1e-6)


def test_linear_is_convex():
    np.testing.assert_allclose(linear(A, B, T)[2], [1.5, 1.5, 0])


@pytest.mark.parametrize("path", [spherical, norm_corrected])
def test_equal_norms_are_kept(path):
    np.testing.assert_allclose(np.linalg.norm(path(A, B, T), axis=-1), 3.0, rtol=1e-5)


def test_spherical_turns_evenly():
    x, y, _ = spherical(A, B, T).T
    np.testing.assert_allclose(np.arctan2(y, x), np.linspace(0, np.pi / 2, 5), atol=1e-5)


@pytest.mark.parametrize("b", [[0.1, 0.2, 0.0], [0.0, 40.0, 3.0], [-3.0, 1e-5, 0.0], [-6.0, 0.0, 0.0], [5.0, 0.0, 0.0]])
def test_spherical_turns_evenly_between_unequal_norms(b):
    """Equal angles between successive steps, their sum the angle of the ends, and norms from |a| to |b|."""
    b = np.array(b, "float32")
    points = spherical(A, b, np.linspace(0, 1, 9))
    norms = np.linalg.norm(points, axis=-1)
    np.testing.assert_allclose(norms, np.linspace(3, np.linalg.norm(b), 9), rtol=1e-6)
    cosines = (points[1:] * points[:-1]).sum(axis=-1) / (norms[1:] * norms[:-1])
    steps = np.arccos(np.clip(cosines, -1, 1))
    whole = np.arccos(np.clip(b[0] / np.linalg.norm(b), -1, 1))
    np.testing.assert_allclose(steps, whole / 8, atol=1e-6)
    np.testing.assert_allclose(points[[0, -1]], [A, b], atol=1e-5)


def test_spherical_from_the_origin_is_straight():
    np.testing.assert_allclose(spherical(np.zeros(3), B, T), linear(np.zeros(3), B, T))


def test_norm_corrected_goes_evenly_from_norm_to_norm():
    np.testing.assert_allclose(np.linalg.norm(norm_corrected(A, 2 * B, T), axis=-1), np.linspace(3, 6, 5), rtol=1e-6)


def test_norm_corrected_survives_the_origin():
    assert np.isfinite(norm_corrected(A, -A, T)).all()


def test_interpolate_decodes_the_path():
    walk = latent_space.interpolate(Identity(), IMAGE, OTHER, steps=3)
    np.testing.assert_allclose(walk[:, 0, 0, 0], [0, 0.5, 1])


def test_traverse_moves_one_latent_by_sigmas_of_its_own_posterior():
    variants = latent_space.traverse(Identity(), OTHER, dims=(1, 3), deltas=(-20, 0, 20))
    assert variants.shape == (2, 3, 2, 2, 1)
    np.testing.assert_allclose(variants[0, :, 0, 1, 0], [-1, 1, 3], atol=1e-5)
    np.testing.assert_allclose(variants[1, :, 1, 1, 0], [-1, 1, 3], atol=1e-5)
    np.testing.assert_allclose(variants[0, :, 0, 0, 0], 1)


def test_traverse_axes_moves_along_an_axis_of_the_whole_distribution():
    axes = np.array([[0.6, 0.8, 0, 0], [0, 0, 1, 0], [0.8, -0.6, 0, 0], [0, 0, 0, 1]], "float32")
    principal = PrincipalAxes(np.full(4, 9.0, "float32"), axes, np.array([5, 2, 1, 0.5], "float32"))
    walks = latent_space.traverse_axes(Identity(), OTHER, principal, axes=(1, 0), deltas=(-1, 0, 2))
    assert walks.shape == (2, 3, 2, 2, 1)
    np.testing.assert_allclose(walks[0, 2].ravel(), [1, 1, 5, 1])
    np.testing.assert_allclose(walks[1].reshape(3, 4), [[-2, -3, 1, 1], [1, 1, 1, 1], [7, 9, 1, 1]], atol=1e-6)


def test_draws_come_from_the_sampler_that_is_given():
    drawn = latent_space.draw(Identity(), 5, seed=3, sampler=PriorSampler(4), temperature=2.0, truncation=0.5)
    expected = PriorSampler(4).sample(5, seed=3, temperature=2.0, truncation=0.5)
    np.testing.assert_array_equal(drawn.reshape(5, 4), expected)


def test_draws_are_those_of_the_model_whatever_the_batch():
    few, many = (latent_space.draw(Identity(), 5, seed=3, batch_size=size) for size in (2, 64))
    np.testing.assert_array_equal(few, many)
    noise = np.random.default_rng(3).standard_normal((5, 4), dtype="float32")
    np.testing.assert_array_equal(few.reshape(5, 4), noise)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: latent_space.interpolate(Identity(), IMAGE, OTHER, steps=1),
            "steps: expected at least 2, got 1",
        ),
        (
            lambda: latent_space.interpolate(Identity(), IMAGE, OTHER, path="x"),
            "path: expected one of linear",
        ),
        (
            lambda: latent_space.traverse(Identity(), IMAGE, dims=(4,)),
            "dims: expected latents from 0 to 3, got",
        ),
        (
            lambda: latent_space.traverse_axes(Identity(), IMAGE, PrincipalAxes(*np.eye(3, 4, dtype="float32")), (9,)),
            "axes: expected axes from 0 to 3, got",
        ),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
