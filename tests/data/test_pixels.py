import numpy as np
import pytest
from PIL import Image

from gamix_keras.data.pixels import over_white, to_uint8, to_unit_range, with_channels

pytestmark = pytest.mark.backend_free

ALL_BYTES = np.arange(256, dtype=np.uint8)


def test_bytes_and_unit_range_are_inverse_and_reach_both_ends():
    unit = to_unit_range(ALL_BYTES)
    assert unit.dtype == np.float32
    assert (unit[0], unit[255]) == (-1.0, 1.0)
    np.testing.assert_array_equal(to_uint8(unit), ALL_BYTES)
    np.testing.assert_allclose(np.diff(unit), 2 / 255, atol=1e-7)


def test_to_uint8_clips_and_rounds():
    np.testing.assert_array_equal(to_uint8(np.array([-3.0, 3.0, 0.001])), [0, 255, 128])


def test_luma_is_that_of_pillow():
    colours = np.random.default_rng(0).integers(0, 256, (1, 40, 40, 3), np.uint8)
    expected = np.asarray(Image.fromarray(colours[0]).convert("L"))
    np.testing.assert_array_equal(with_channels(colours, 1)[0, ..., 0], expected)


def test_grey_becomes_three_equal_channels():
    grey = np.random.default_rng(0).integers(0, 256, (2, 3, 3, 1), np.uint8)
    colours = with_channels(grey, 3)
    np.testing.assert_array_equal(colours, np.concatenate([grey] * 3, axis=-1))


def test_alpha_is_laid_over_white():
    pixels = np.array([[10, 20, 30, 255], [10, 20, 30, 0], [0, 100, 200, 51]], np.uint8)
    np.testing.assert_array_equal(over_white(pixels), [[10, 20, 30], [255, 255, 255], [204, 224, 244]])


@pytest.mark.parametrize("library", ["numpy", "list", "tensorflow", "torch", "jax"])
def test_tensors_of_every_library_come_back_as_such(library):
    if library == "list":
        make = np.ndarray.tolist
    else:
        module = pytest.importorskip({"jax": "jax.numpy"}.get(library, library))
        make = {"tensorflow": "constant", "torch": "tensor"}.get(library, "asarray")
        make = getattr(module, make)
    unit = to_unit_range(make(ALL_BYTES))
    back = to_uint8(unit)
    expected = np.ndarray if library in ("numpy", "list") else type(make(ALL_BYTES))
    assert isinstance(unit, expected) and isinstance(back, np.ndarray)
    np.testing.assert_allclose(np.asarray(unit), ALL_BYTES / 127.5 - 1, atol=2e-7)
    np.testing.assert_array_equal(back, ALL_BYTES)
    assert to_uint8(make(np.float32([-9, 9]))).tolist() == [0, 255]


def test_elements_of_a_dataset_are_mapped():
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices({"image": ALL_BYTES, "label": ALL_BYTES})
    mapped = dataset.map(lambda example: to_unit_range(example["image"])).batch(256)
    back = dataset.map(lambda example: to_uint8(to_unit_range(example["image"]))).batch(256)
    np.testing.assert_allclose(next(iter(mapped)), to_unit_range(ALL_BYTES), atol=1e-7)
    np.testing.assert_array_equal(next(iter(back)), ALL_BYTES)


@pytest.mark.parametrize("images", [[0.0, 0.5, 1.0], [0.2], [True, False]])
def test_what_is_in_another_range_already_is_refused(images):
    with pytest.raises(ValueError, match="images: expected bytes in .*; use 2.0"):
        to_unit_range(np.array(images))


def test_black_and_float_bytes_are_bytes():
    np.testing.assert_array_equal(to_unit_range(np.zeros(3)), [-1, -1, -1])
    np.testing.assert_array_equal(to_unit_range(np.array([0.0, 255.0])), [-1, 1])
