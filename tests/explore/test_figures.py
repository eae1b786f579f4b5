"""Pictures and messages as HTML."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from gamix_keras.explore import figures

pytestmark = pytest.mark.backend_free
IMAGES = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3), dtype="uint8")


@pytest.mark.parametrize("channels", [1, 3])
def test_the_picture_is_kept_pixel_for_pixel(channels):
    image = IMAGES[0, ..., :channels]
    encoded = re.findall(r"base64,([^\"]+)", figures.figure(image, "a face", "face.png"))
    assert len(set(encoded)) == 1
    decoded = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded[0]))))
    np.testing.assert_array_equal(decoded, figures.displayable(image))


def test_what_comes_from_outside_is_text():
    assert "<b>" not in figures.figure(IMAGES[0], "<b>", '"<b>') + figures.problem("<b>") + figures.hint("<b>")


def test_a_sheet_has_the_images_row_by_row():
    sheet = figures.sheet(IMAGES, columns=2)
    assert sheet.shape == (2 * 5 + 2, 2 * 6 + 2, 3)
    np.testing.assert_array_equal(sheet[:5, 8:], IMAGES[1])
    np.testing.assert_array_equal(sheet[7:, :6], IMAGES[2])
    assert (sheet[5:7] == 255).all()
