"""Principal axes of q(z)."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from gamix_keras.samplers import FullGaussianSampler, principal_axes

pytestmark = pytest.mark.backend_free
RNG = np.random.default_rng(0)
Z = (3.0 + RNG.normal(size=(500, 4)) @ RNG.normal(size=(4, 4))).astype("float32")


def test_axes_of_plain_latents_are_scikit_learns():
    theirs = PCA().fit(Z.astype("float64"))
    center, axes, std = principal_axes(Z)
    np.testing.assert_allclose(center, theirs.mean_, rtol=1e-5)
    np.testing.assert_allclose(np.abs(np.sum(axes * theirs.components_, axis=1)), 1, atol=1e-5)
    np.testing.assert_allclose(std**2, theirs.explained_variance_ * 499 / 500, rtol=1e-4)


def test_axes_are_orthonormal_rows_of_settled_sign_widest_first():
    _, axes, std = principal_axes(Z)
    np.testing.assert_allclose(axes @ axes.T, np.eye(4), atol=1e-5)
    assert np.all(np.diff(std) <= 0)
    assert np.all(axes.max(1) >= -axes.min(1))


def test_a_fitted_gaussian_knows_the_axes_of_what_it_was_fitted_to():
    log_var = np.full_like(Z, -1.0)
    fitted = FullGaussianSampler(4).fit((Z, log_var)).principal_axes()
    for found, expected in zip(fitted, principal_axes(Z, log_var), strict=True):
        np.testing.assert_allclose(found, expected, atol=2e-4)


def test_the_posterior_variance_turns_the_axes():
    # The means lie along the first latent, but the spread within posteriors along the second is wider.
    mean = np.array([[-1.0, 0.0], [1.0, 0.0]], "float32")
    log_var = np.tile(np.log([0.0625, 4.0]).astype("float32"), (2, 1))
    center, axes, std = principal_axes(mean, log_var)
    np.testing.assert_allclose(center, 0)
    np.testing.assert_allclose(axes, [[0, 1], [1, 0]], atol=1e-6)
    np.testing.assert_allclose(std, [2, np.sqrt(1.0625)], rtol=1e-6)
