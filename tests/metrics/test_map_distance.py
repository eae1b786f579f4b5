import numpy as np
import pytest

from gamix_keras.metrics import feature_extractor, map_distance


def maps(*vectors):
    """Maps of one place for each vector."""
    return [np.array(vector, "float32").reshape(1, 1, 1, -1) for vector in vectors]


@pytest.mark.backend_free
def test_only_directions_count_and_maps_are_summed():
    assert map_distance(maps([1, 0], [0, 3]), maps([5, 0], [0, 1])) == pytest.approx(0.0)
    assert map_distance(maps([1, 0], [0, 3]), maps([0, 7], [0, 1])) == pytest.approx(2.0)
    assert map_distance(maps([1, 0], [0, 3]), maps([-1, 0], [0, -1])) == pytest.approx(8.0)
    # An angle t apart: 2 - 2 cos t.
    assert map_distance(maps([1, 0]), maps([np.cos(0.3), np.sin(0.3)])) == pytest.approx(2 - 2 * np.cos(0.3), rel=1e-5)


@pytest.mark.backend_free
def test_places_are_averaged_and_a_map_of_zeros_is_finite():
    x = np.zeros((1, 2, 2, 2), "float32")
    x[..., 0] = 1.0
    y = x.copy()
    y[0, 0, 0] = [0.0, 1.0]
    assert map_distance([x], [y]) == pytest.approx(2.0 / 4)
    assert map_distance([0 * x], [0 * x]) == 0.0
    with pytest.raises(ValueError, match="^second: expected maps of shapes"):
        map_distance([x], [x[:, :1]])


@pytest.mark.parametrize("name", ["efficientnet_lite0", "onet"])
def test_blur_is_farther_than_a_change_of_brightness(name):
    """As people see it: PSNR says the opposite."""
    from scipy import ndimage
    from skimage import data

    image = data.astronaut()[20:212:3, 120:312:3]
    blurred = ndimage.gaussian_filter(image.astype("float32"), (1.0, 1.0, 0.0)).round().astype(np.uint8)
    brighter = np.clip(image.astype(int) + 25, 0, 255).astype(np.uint8)
    original, *others = (feature_extractor(name).maps(pixels[None]) for pixels in (image, blurred, brighter))
    blur, brightness = (map_distance(original, other)[0] for other in others)
    assert np.square(blurred - 1.0 * image).mean() < np.square(brighter - 1.0 * image).mean()
    assert 0.0 < brightness < blur
    assert map_distance(original, original) == 0.0
