import numpy as np
import pytest
from harness import numpy, round_trip
from scipy import ndimage

from gamix_keras.layers.blur import BlurResample2D, blur_matrix

X = np.random.default_rng(0).normal(size=(2, 8, 12, 3)).astype("float32")


@pytest.mark.parametrize(("scale", "taps"), [(0.5, [1, 3, 3, 1]), (1, [1, 2, 1])])
def test_is_the_convolution_with_the_binomial_filter(scale, taps):
    step = 2 if scale == 0.5 else 1
    kernel = np.array(taps) / sum(taps)
    expected = X
    for axis in (1, 2):
        # An even kernel is centred between two pixels: SciPy puts its origin on the second of them.
        expected = ndimage.correlate1d(expected, kernel, axis=axis, mode="nearest", origin=-1 if step == 2 else 0)
        expected = expected.take(range(0, expected.shape[axis], step), axis=axis)
    np.testing.assert_allclose(numpy(BlurResample2D(scale)(X)), expected, rtol=1e-4, atol=1e-5)


def test_doubling_is_linear_interpolation():
    ramp = np.arange(8.0, dtype="float32")[None, :, None, None] * np.ones((1, 1, 4, 1), "float32")
    doubled = numpy(BlurResample2D(2)(ramp))
    assert doubled.shape == (1, 16, 8, 1)
    np.testing.assert_allclose(doubled[0, 1:-1, 0, 0], np.arange(14) / 2 + 0.25, rtol=1e-6)


@pytest.mark.backend_free
@pytest.mark.parametrize("scale", [0.5, 1, 2])
@pytest.mark.parametrize("size", [2, 4, 10])
def test_a_flat_image_stays_flat(scale, size):
    np.testing.assert_allclose(blur_matrix(size, scale).sum(1), 1.0)


def test_removes_what_would_alias():
    stripes = (-1.0) ** np.arange(16)[:, None] * np.ones((1, 4, 16, 1))
    assert np.all(stripes[:, ::2, ::2] == 1.0)
    filtered = numpy(BlurResample2D(0.5)(stripes.astype("float32")))
    np.testing.assert_allclose(filtered[:, :, 1:-1], 0.0, atol=1e-7)


@pytest.mark.backend_free
@pytest.mark.parametrize("frequency", [0.0, 0.1, 0.25, 0.4, 0.5])
def test_frequency_response(frequency):
    wave = np.exp(2j * np.pi * frequency * np.arange(32))
    response = (blur_matrix(32, 0.5) @ wave)[4:-4] / np.exp(2j * np.pi * frequency * (2 * np.arange(16) + 0.5))[4:-4]
    np.testing.assert_allclose(response, np.cos(np.pi * frequency) ** 3, atol=1e-7)


def test_a_shift_by_one_pixel_changes_less_than_in_plain_subsampling():
    x = np.random.default_rng(1).normal(size=(1, 65, 65, 1)).astype("float32")
    filtered, plain = [], []
    for offset in (0, 1):
        crop = x[:, offset : offset + 64, :64]
        filtered.append(numpy(BlurResample2D(0.5)(crop)))
        plain.append(crop[:, ::2, ::2])
    change = [np.mean((a - b) ** 2) / np.var(a) for a, b in (filtered, plain)]
    assert change[0] < 0.5 * change[1]


def test_saving_and_errors():
    assert round_trip(BlurResample2D(2)).scale == 2
    assert BlurResample2D(0.5).compute_output_shape((None, 8, 6, 3)) == (None, 4, 3, 3)
    with pytest.raises(ValueError, match="scale: expected 0.5, 1 or 2, got 3"):
        BlurResample2D(3)
    with pytest.raises(ValueError, match="expected even height and width, got 5x4"):
        BlurResample2D(0.5)(X[:, :5, :4])
