"""The measure of stripes on images whose stripes are known."""

import numpy as np
import pytest

from gamix_keras.metrics import nyquist_ratio

pytestmark = pytest.mark.backend_free

RNG = np.random.default_rng(0)
ALTERNATING = (-1.0) ** np.arange(32)
NOISY = RNG.normal(0, 0.01, (64, 32, 32, 3))
RAMP = np.linspace(-0.05, 0.05, 32)


def test_noise_ramps_and_nothing_have_no_stripes():
    assert nyquist_ratio(NOISY) == pytest.approx(1.0, abs=0.1)
    assert nyquist_ratio(np.zeros((1, 32, 32, 3))) == pytest.approx(1.0)
    smooth = np.broadcast_to(RAMP[:, None], (1, 32, 32, 3))
    assert nyquist_ratio(smooth) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("axis", [1, 2])
def test_planted_stripes_stand_out_by_their_power(axis):
    """An amplitude a adds N^2 a^2 to the N s^2 of noise, and no more than that to one direction."""
    stripes = 0.005 * ALTERNATING.reshape((32, 1, 1) if axis == 1 else (1, 32, 1))
    expected = 1 + 32 * 0.005**2 / 0.01**2
    assert nyquist_ratio(NOISY + stripes) == pytest.approx(expected, rel=0.05)
    assert nyquist_ratio((NOISY + stripes)[:, :31, :31]) == pytest.approx(expected, rel=0.1)


def test_stripes_of_period_4_are_none_of_period_2():
    waves = 0.02 * np.cos(np.pi / 2 * np.arange(32))[None, :, None]
    assert nyquist_ratio(NOISY + waves) == pytest.approx(1.0, abs=0.1)


def test_only_flat_lines_count_and_the_reference_says_which():
    images = np.zeros((2, 32, 32, 3))
    images[0] += 0.3 * ALTERNATING[None, :, None]
    images[1] += 0.01 * RNG.normal(size=(32, 32, 3))
    assert nyquist_ratio(images) == pytest.approx(1.0, abs=0.3)
    assert nyquist_ratio(images, reference=np.zeros_like(images)) > 100
    assert np.isnan(nyquist_ratio(RNG.normal(size=(1, 32, 32, 3))))


@pytest.mark.parametrize("images", [np.zeros((32, 32, 3)), np.zeros((1, 8, 32, 3)), np.full((1, 32, 32, 3), np.nan)])
def test_wrong_images_are_named(images):
    with pytest.raises(ValueError, match="nyquist_ratio: images: expected finite images"):
        nyquist_ratio(images)
    with pytest.raises(ValueError, match="nyquist_ratio: reference: expected shape"):
        nyquist_ratio(NOISY, reference=NOISY[:1])
