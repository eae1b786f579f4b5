import keras
import numpy as np
import pytest
from keras import ops
from PIL import Image

from gamix_keras.metrics import features


def mean_colour(pixels):
    """A network whose features are the mean pixel of each channel."""
    return pixels.astype("float32").mean((1, 2))


def extractor(**arguments):
    settings = dict(name="mean", label="mean", network=mean_colour, dim=3, resize="none", weights="none")
    return features.FeatureExtractor(**{**settings, **arguments})


def test_pixels_round_to_the_nearest_of_256():
    images = np.array([-1.0, 1.0, 0.0, 5.0, -1 + 2 * 100.4 / 255]).reshape(1, 1, 5, 1)
    expected = [0, 255, 128, 255, 100]
    np.testing.assert_array_equal(features.to_pixels(ops.convert_to_tensor(images)).ravel(), expected)
    every = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    np.testing.assert_array_equal(features.to_pixels(every / np.float32(127.5) - 1), every)
    np.testing.assert_array_equal(features.to_pixels(every), every)


@pytest.mark.backend_free
def test_pixels_are_checked():
    with pytest.raises(ValueError, match=r"\(B, H, W, 3\), got shape \(4, 4, 3\)"):
        features.to_pixels(np.zeros((4, 4, 3)))
    with pytest.raises(ValueError, match="finite"):
        features.to_pixels(np.full((1, 2, 2, 1), np.nan))


@pytest.mark.backend_free
def test_batches_are_of_one_size_and_filled_up():
    sizes = []

    def network(pixels):
        sizes.append(len(pixels))
        return mean_colour(pixels)

    pixels = np.random.default_rng(0).integers(0, 256, (10, 4, 4, 3)).astype(np.uint8)
    found = extractor(network=network, batch_size=4)(pixels)
    np.testing.assert_allclose(found, mean_colour(pixels))
    assert sizes == [4, 4, 4] and found.dtype == np.float32
    assert extractor()(pixels[:0]).shape == (0, 3)


@pytest.mark.backend_free
def test_grey_images_are_repeated_and_colour_is_not_guessed_away():
    grey = np.full((2, 4, 4, 1), 9, np.uint8)
    np.testing.assert_array_equal(extractor()(grey), np.full((2, 3), 9))
    with pytest.raises(ValueError, match="^images: expected 1 channel for extractor 'mean', got 3$"):
        extractor(channels=1, dim=1)(np.zeros((1, 4, 4, 3), np.uint8))


@pytest.mark.backend_free
def test_only_inception_is_called_fid():
    assert (extractor().frechet_name, extractor().kernel_name) == ("fd_mean", "kd_mean")
    inception = extractor(name="inception", label="inception")
    assert (inception.frechet_name, inception.kernel_name) == ("fid", "kid")


@pytest.mark.backend_free
@pytest.mark.parametrize(("source", "target"), [(64, 224), (28, 17), (300, 112), (5, 5), (1, 4)])
def test_resizing_equals_pillow(source, target):
    image = np.random.default_rng(0).uniform(0, 255, (source, source)).astype("float32")
    matrix = features.resize_matrix(source, target)
    expected = np.asarray(Image.fromarray(image).resize((target, target), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(matrix @ image @ matrix.T, expected, atol=1e-3)
    np.testing.assert_allclose(matrix.sum(1), 1, rtol=1e-6)


@pytest.mark.parametrize("size", [None, 6])
def test_keras_networks_see_resized_and_scaled_pixels(size):
    inputs = keras.Input((size, size, 3))
    model = keras.Model(inputs, keras.layers.Flatten()(inputs) if size else keras.layers.GlobalMaxPooling2D()(inputs))
    network = features.KerasNetwork(model, size, lambda pixels: pixels / 255.0)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 10, 8, 3)).astype(np.uint8)
    if size:
        rows, columns = features.resize_matrix(10, 6), features.resize_matrix(8, 6)
        expected = np.einsum("oh,pw,bhwc->bopc", rows, columns, pixels / 255.0).reshape(2, -1)
    else:
        expected = pixels.max((1, 2)) / 255.0
    np.testing.assert_allclose(ops.convert_to_numpy(network(pixels)), expected, atol=1e-5)
