import numpy as np
import pytest
from scipy import ndimage

from gamix_keras.metrics import laplacian_power

pytestmark = pytest.mark.backend_free


def test_power_equals_that_of_scipy_s_laplacian():
    images = np.random.default_rng(0).integers(0, 256, (3, 9, 7, 3)).astype(np.uint8)
    expected = [np.mean(ndimage.laplace(grey)[1:-1, 1:-1] ** 2) for grey in images.mean(-1)]
    np.testing.assert_allclose(laplacian_power(images), expected)
    np.testing.assert_allclose(laplacian_power(images.astype("float32") / 127.5 - 1), expected)


def test_a_ramp_has_none_and_stripes_have_most():
    ramp = np.arange(0, 160, 10, dtype=np.uint8).reshape(1, 1, 16, 1).repeat(8, 1)
    stripes = np.tile(np.uint8([0, 255]), 8).reshape(1, 1, 16, 1).repeat(8, 1)
    assert laplacian_power(ramp)[0] == 0.0
    assert laplacian_power(stripes)[0] == 510.0**2


def test_tiny_images_are_refused():
    with pytest.raises(ValueError, match="^images: expected at least 3 x 3 pixels, got 2 x 5$"):
        laplacian_power(np.zeros((1, 2, 5, 3), np.uint8))
