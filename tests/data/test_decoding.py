import os
import struct
import zlib

import numpy as np
import pytest
from image_files import encoded, picture
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from gamix_keras.config import UserError
from gamix_keras.data import decoding
from gamix_keras.data.decoding import BrokenImage, centre_box, decode_image, fit_images, load_image, read_file

pytestmark = pytest.mark.backend_free

SOLID = Image.new("RGB", (8, 8), (200, 100, 50))


def png(width, height, depth, colour_type, rows: bytes) -> bytes:
    """A PNG file made by hand, for kinds that Pillow does not write."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


LOSSLESS = {"WEBP": {"lossless": True}, "JPEG2000": {"irreversible": False}}


@pytest.mark.parametrize("form", ["PNG", "BMP", "WEBP", "GIF", "TIFF", "JPEG2000", "PPM", "TGA", "QOI"])
def test_lossless_formats_come_back_as_they_were(form):
    data = encoded(SOLID, form, **LOSSLESS.get(form, {}))
    np.testing.assert_array_equal(decode_image(data, 8, 3), np.asarray(SOLID))


def test_avif_comes_back_nearly_as_it_was():
    image = picture(1, 32, 32)
    decoded = decode_image(encoded(image, "AVIF", quality=95, subsampling="4:4:4"), 32, 3)
    assert np.abs(decoded.astype(int) - np.asarray(image)).mean() < 4


def test_jpeg_comes_back_nearly_as_it_was():
    image = picture(1, 32, 32)
    decoded = decode_image(encoded(image, quality=95, subsampling=0), 32, 3)
    assert np.abs(decoded.astype(int) - np.asarray(image)).mean() < 4


def test_the_centre_is_cropped():
    columns = np.tile(np.arange(9, dtype=np.uint8) * 20, (4, 1))
    decoded = decode_image(encoded(Image.fromarray(columns), "PNG"), 4, 1)
    np.testing.assert_array_equal(decoded[..., 0], columns[:, 2:6])
    decoded = decode_image(encoded(Image.fromarray(columns.T.copy()), "PNG"), 4, 1)
    np.testing.assert_array_equal(decoded[..., 0], columns.T[2:6])


def test_centre_box_is_left_top_right_bottom():
    assert centre_box(5, 10) == (2, 0, 7, 5)
    assert centre_box(11, 4) == (0, 3, 4, 7)


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_a_checkerboard_of_single_pixels_turns_grey(form):
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    for size in (32, 16, 20):
        decoded = decode_image(encoded(Image.fromarray(board), form), size, 1).astype(int)
        assert np.abs(decoded - 127.5).max() < 16, size
    aliased = board[::2, ::2].astype(int)
    assert np.abs(aliased - 127.5).max() > 100  # what a resize without anti-aliasing makes of it


def test_small_images_are_enlarged():
    decoded = decode_image(encoded(Image.new("RGB", (3, 5), (1, 2, 3)), "PNG"), 8, 3)
    np.testing.assert_array_equal(decoded, np.full((8, 8, 3), (1, 2, 3)))


@pytest.mark.parametrize(
    ("image", "colour", "grey"),
    [
        (Image.new("L", (8, 8), 77), (77, 77, 77), 77),
        (Image.new("1", (8, 8), 1), (255, 255, 255), 255),
        (Image.new("RGBA", (8, 8), (10, 20, 30, 0)), (255, 255, 255), 255),
        (Image.new("RGBA", (8, 8), (0, 100, 200, 51)), (204, 224, 244), 220),
        (Image.new("LA", (8, 8), (0, 51)), (204, 204, 204), 204),
        (SOLID.quantize(4), (200, 100, 50), 124),
        (Image.fromarray(np.full((8, 8), 200 * 257, np.uint16)), (200, 200, 200), 200),
    ],
    ids=["grey", "1-bit", "transparent", "half-transparent", "grey-alpha", "palette", "16-bit"],
)
def test_modes(image, colour, grey):
    data = encoded(image, "PNG")
    np.testing.assert_allclose(decode_image(data, 8, 3)[4, 4].astype(int), colour, atol=1)
    np.testing.assert_allclose(decode_image(data, 8, 1)[4, 4].astype(int), [grey], atol=1)


def test_sixteen_bit_colour_keeps_the_upper_bits():
    row = b"\0" + struct.pack(">3H", 200 << 8 | 17, 100 << 8, 50 << 8) * 8
    np.testing.assert_array_equal(decode_image(png(8, 8, 16, 2, row * 8), 8, 3)[0, 0], (200, 100, 50))


def test_a_palette_entry_can_be_transparent():
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    np.testing.assert_array_equal(decode_image(encoded(image, "PNG", transparency=1), 8, 3)[0, 0], (255, 255, 255))


def test_cmyk_becomes_rgb():
    red = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    np.testing.assert_allclose(decode_image(encoded(red, quality=95), 8, 3)[4, 4].astype(int), (255, 0, 0), atol=4)


HALVES = Image.fromarray(np.repeat(np.array([[0, 255]], np.uint8), 8, axis=1).repeat(16, axis=0))  # bright on the right
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6"/></x:xmpmeta>'


def is_turned(image):
    return image[12:].mean() > 240 > 15 > image[:4].mean()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_exif_orientation_is_applied(form):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise to show
    assert is_turned(decode_image(encoded(HALVES, form, exif=exif), 16, 1)[..., 0])


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_an_orientation_in_xmp_alone_is_ignored(form):
    options = {"pnginfo": PngInfo()} if form == "PNG" else {"xmp": XMP}
    if form == "PNG":
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", XMP.decode())
    elif form == "TIFF":
        options = {"tiffinfo": {700: XMP}}
    data = encoded(HALVES, form, **options)
    assert XMP in data
    upright = decode_image(encoded(HALVES, form), 16, 1)
    np.testing.assert_array_equal(decode_image(data, 16, 1), upright)


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG"])
def test_the_first_frame_of_an_animation_is_taken(form):
    other = Image.new("RGB", (8, 8), (0, 0, 255))
    data = encoded(SOLID, form, save_all=True, append_images=[other], **({"lossless": True} if form == "WEBP" else {}))
    np.testing.assert_array_equal(decode_image(data, 8, 3), np.asarray(SOLID))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not an image that can be read .JPEG"),
        (b"plain text", "not an image that can be read .JPEG"),
        (encoded(picture(0, 64, 64))[:-200], "truncated"),
        (encoded(picture(0, 64, 64), "PNG")[:200], "truncated"),
        (encoded(picture(0, 64, 64), "WEBP")[:100], "."),
        (encoded(Image.new("F", (8, 8)), "TIFF"), "expected 8 or 16 bits, got float pixels"),
        (encoded(Image.new("I", (8, 8)), "TIFF"), "expected 8 or 16 bits, got 32-bit pixels"),
        (encoded(picture(0, 64, 64), "TIFF")[:-200], "."),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n", "not an image that can be read .JPEG"),
        (png(60000, 60000, 8, 0, b""), "exceeds limit"),
        (png(9400, 9600, 8, 0, b""), "limit"),
    ],
    ids=[
        "empty",
        "text",
        "cut-jpeg",
        "cut-png",
        "cut-webp",
        "float-tiff",
        "32-bit-tiff",
        "cut-tiff",
        "postscript",
        "bomb",
        "smaller-bomb",
    ],
)
def test_what_cannot_be_read_says_why(data, reason):
    with pytest.raises(BrokenImage, match=reason):
        decode_image(data, 8, 3)


def test_damaged_bytes_never_raise_anything_else():
    rng = np.random.default_rng(0)
    forms = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "AVIF", "JPEG2000", "PPM", "QOI", "TGA")
    for form in forms:
        whole = np.frombuffer(encoded(picture(3, 20, 20), form), np.uint8)
        for _ in range(60):
            data = whole.copy()
            data[rng.integers(0, len(data), 4)] = rng.integers(0, 256, 4)
            try:
                assert decode_image(data.tobytes(), 8, 3).shape == (8, 8, 3)
            except BrokenImage as error:
                assert str(error)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("height", "width"), [(21, 30), (30, 21), (60, 21), (21, 21)])  # one loses rows unresized
def test_arrays_are_fitted_together_as_files_are_one_by_one(monkeypatch, channels, height, width):
    monkeypatch.setattr(decoding, "_TOGETHER_BYTES", 3 * height * width * channels)  # 7 images: 3, 3 and 1
    pictures = [picture(seed, height, width).convert("L" if channels == 1 else "RGB") for seed in range(7)]
    images = np.stack([np.asarray(each).reshape(height, width, channels) for each in pictures])
    for size in (8, 20, 21, 40):
        expected = [decode_image(encoded(each, "PNG"), size, channels) for each in pictures]
        np.testing.assert_array_equal(fit_images(images, size), expected)


def test_files_that_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    reasons = {"pipe.jpg": "regular", "empty.jpg": "empty", "loop.jpg": "symbolic", "none.jpg": "No such", ".": "."}
    for name, reason in reasons.items():
        with pytest.raises(BrokenImage, match=reason):
            read_file(tmp_path / name)


def test_load_image_names_the_file(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(SOLID, "PNG"))
    np.testing.assert_array_equal(load_image(tmp_path / "a.png", 8), np.asarray(SOLID))
    with pytest.raises(UserError, match=r"b\.png: No such file"):
        load_image(tmp_path / "b.png", 8)


@pytest.mark.parametrize("size", [(6, 12), (12, 6), (10, 3)])
def test_images_that_are_not_square_keep_their_proportions(size):
    """The largest centred box of the wanted proportions, resized as Pillow resizes it, alone and in a batch."""
    images = np.random.default_rng(0).integers(0, 256, (3, 20, 30, 3), np.uint8)
    boxes = {(6, 12): (0, 2, 30, 17), (12, 6): (10, 0, 20, 20), (10, 3): (12, 0, 18, 20)}
    assert centre_box(20, 30, size) == boxes[size]
    for image, fitted in zip(images, fit_images(images, size), strict=True):
        wanted = Image.fromarray(image).resize(size[::-1], Image.Resampling.BICUBIC, box=boxes[size])
        np.testing.assert_array_equal(fitted, wanted)
        np.testing.assert_array_equal(decode_image(encoded(Image.fromarray(image), "PNG"), size, 3), wanted)
