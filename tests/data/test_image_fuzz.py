"""Damaged image files give an image or a reason, never anything else."""

import numpy as np
import pytest
from damage import damaged
from image_files import encoded, picture

from gamix_keras.data.decoding import BrokenImage, decode_image

pytestmark = pytest.mark.backend_free

FORMS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "AVIF", "JPEG2000", "PPM", "QOI", "TGA")


def fuzz_images(cases):
    rng = np.random.default_rng(0)
    whole = [encoded(picture(i, 20, 24), form) for i, form in enumerate(FORMS)]
    for number in range(cases):
        data = damaged(rng, whole[number % len(whole)])
        try:
            assert decode_image(data, 8, 3).shape == (8, 8, 3)
        except BrokenImage as error:
            assert str(error)


def test_a_few_damaged_images():
    fuzz_images(200)


@pytest.mark.slow
def test_five_thousand_damaged_images():
    fuzz_images(5000)
