"""Image files to read."""

import io

import numpy as np
from PIL import Image


def picture(seed=0, height=12, width=12):
    """A smooth colour picture, which JPEG keeps well."""
    corners = np.random.default_rng(seed).integers(0, 256, (3, 3, 3), np.uint8)
    return Image.fromarray(corners).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image, form="JPEG", **options) -> bytes:
    """The bytes of an image file."""
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()
