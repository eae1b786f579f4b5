import numpy as np
import pytest
from image_files import encoded, picture
from PIL import Image

from gamix_keras.data.decoding import decode_image, fit_images
from gamix_keras.data.jpeg import plain_header
from gamix_keras.data.tensorflow_images import jpeg_decoder

pytestmark = pytest.mark.backend_free

VARIANTS = [
    {"subsampling": 0},
    {"subsampling": 2},
    {"subsampling": 1, "progressive": True},
    {"quality": 30, "restart_marker_blocks": 2},
]


@pytest.mark.parametrize("options", VARIANTS)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_tensorflow_decodes_what_pillow_decodes(options, mode):
    for height, width in ((33, 50), (70, 64), (150, 131)):
        data = encoded(picture(height, height, width).convert(mode), **options)
        header = plain_header(data)
        assert (header.height, header.width) == (height, width)
        for channels in (1, 3):
            decoded = jpeg_decoder(header.reduction(16), channels)([data])
            np.testing.assert_array_equal(fit_images(decoded, 16)[0], decode_image(data, 16, channels))


@pytest.mark.parametrize(
    ("size", "expected"), [((32, 32), 1), ((63, 200), 1), ((64, 64), 2), ((128, 500), 4), ((999, 999), 8), ((8, 8), 1)]
)
def test_a_reduced_image_is_still_large_enough(size, expected):
    header = plain_header(encoded(Image.new("L", size)))
    assert header.reduction(32) == expected


def turned():
    exif = Image.Exif()
    exif[0x0112] = 3
    return exif


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xd8\xff\xd9",
        encoded(picture(), "PNG"),
        encoded(picture())[:-2],
        encoded(picture().convert("CMYK")),
        encoded(picture(), exif=turned()),
        encoded(picture(), exif=b"Exif\0\0nonsense"),
    ],
    ids=["empty", "no-frame", "png", "cut", "cmyk", "turned", "bad-exif"],
)
def test_everything_else_is_left_to_pillow(data):
    assert plain_header(data) is None


def test_an_upright_exif_block_is_no_obstacle():
    exif = Image.Exif()
    exif[0x0112] = 1
    assert plain_header(encoded(picture(), exif=exif)) is not None


def test_damaged_headers_are_survived():
    whole = encoded(picture())
    rng = np.random.default_rng(0)
    for _ in range(300):
        data = bytearray(whole)
        for place in rng.integers(2, 60, 3):
            data[place] = rng.integers(256)
        plain_header(bytes(data))
