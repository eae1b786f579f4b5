import numpy as np
import pytest

from gamix_keras.data.array_layout import layout_of

pytestmark = pytest.mark.backend_free

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 8, 9, 3), np.uint8)
GREY = IMAGES[..., 0]


@pytest.mark.parametrize(
    ("array", "images"),
    [
        (IMAGES, IMAGES),
        (GREY, GREY[..., None]),
        (GREY[..., None], GREY[..., None]),
        (GREY[:, None], GREY[..., None]),
        (IMAGES.transpose(0, 3, 1, 2), IMAGES),
        (GREY[:, :, :8].reshape(5, 64), GREY[:, :, :8, None]),
        (IMAGES.transpose(0, 1, 3, 2)[:, :3], IMAGES.transpose(0, 1, 3, 2)[:, :3].transpose(0, 2, 3, 1)),
    ],
    ids=["NHWC", "NHW", "NHW1", "N1HW", "NCHW", "flat", "N33W"],
)
def test_axes_are_told_from_the_shape(array, images):
    layout = layout_of(array.shape)
    assert layout.image_shape == images.shape[1:]
    np.testing.assert_array_equal(layout.arrange(array), images)
    assert bool(layout.remark) == (array.ndim == 2)


def test_channels_last_go_first():
    assert layout_of((40, 3, 4, 3)).image_shape == (3, 4, 3)


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ((40, 3072), r"may be \(40, 32, 32, 3\) or \(40, 3, 32, 32\): reshape it first"),
        ((40, 10), r"got \(40, 10\)$"),
        ((40, 16), r"got \(40, 16\)$"),
        ((40, 28, 28, 2), r"got \(40, 28, 28, 2\)$"),
        ((32, 32, 3), "looks like a single image"),
        ((32, 32, 3, 1000), r"looks like \(H, W, C, N\)"),
        ((40,), r"got \(40,\)"),
        ((0, 8, 8), "at least one image"),
        ((1, 10**5, 10**5), "of a usual size"),
        ((10**10, 28, 28), "of a usual size"),
    ],
)
def test_other_shapes_get_a_sentence(shape, reason):
    with pytest.raises(ValueError, match=reason):
        layout_of(shape)
