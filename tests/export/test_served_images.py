"""A file is the same image to training, with Pillow or TensorFlow, and to a served model."""

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from gamix_keras.data.base import Options
from gamix_keras.data.decoding import decode_image
from gamix_keras.data.folder import FolderSource
from gamix_keras.export.images import from_files

pytestmark = pytest.mark.backend_free

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6"/></x:xmpmeta>'


def scene(height=70, width=93):
    """A colour picture with edges and noise, so that each way to resize shows."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:height, 0:width]
    smooth = np.stack([2 * x, 3 * y, x + y], -1) + 90 * ((x // 9 + y // 7) % 2)[..., None]
    return Image.fromarray(np.clip(smooth + rng.normal(0, 20, smooth.shape), 0, 255).astype(np.uint8))


def written(path, image, form, **options):
    image.save(path, form, **options)
    return path.read_bytes()


def exif(orientation):
    block = Image.Exif()
    block[0x010F], block[0x0112], block[0x0131] = "maker", orientation, "software"
    return block


def served(data, size, channels):
    images = from_files(tf.constant([data]), Options(size, channels).image_shape).numpy()
    return np.rint((images[0] + 1) * 127.5).astype(int)


def trained(folder, data, size, channels):
    """The image in a batch of its own, and among others of its size."""
    (folder / "only").mkdir(exist_ok=True)
    names = [f"only/{number}.jpg" for number in range(9)]
    for name in names:
        (folder / name).write_bytes(data)
    source = FolderSource(folder, names, Options(size, channels))
    return [source.load(np.arange(count))[0].astype(int) for count in (1, 9)]


def check_same(folder, data, size, channels, within=1):
    alone, together = trained(folder, data, size, channels)
    np.testing.assert_array_equal(alone, together)
    np.testing.assert_array_equal(alone, decode_image(data, size, channels))
    assert np.abs(served(data, size, channels) - alone).max() <= within


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("form", "mode", "options"),
    [
        ("JPEG", "RGB", {"quality": 90}),
        ("JPEG", "L", {}),
        ("PNG", "RGB", {}),
        ("PNG", "L", {}),
        ("PNG", "P", {}),
        ("PNG", "RGBA", {}),
        ("PNG", "LA", {}),
        ("BMP", "RGB", {}),
        ("BMP", "L", {}),
        ("BMP", "RGBA", {}),
        ("GIF", "RGB", {}),
        ("GIF", "L", {}),
    ],
)
def test_formats(tmp_path, form, mode, options, channels):
    image = scene()
    if mode in ("RGBA", "LA"):
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    data = written(tmp_path / "a", image.convert(mode), form, **options)
    check_same(tmp_path, data, 16, channels)


@pytest.mark.parametrize("size", [8, 32, 64, 80])
@pytest.mark.parametrize("shape", [(70, 93), (218, 178), (65, 64)])
def test_sizes(tmp_path, shape, size):
    for form in ("JPEG", "PNG"):
        check_same(tmp_path, written(tmp_path / "a", scene(*shape), form), size, 3)


@pytest.mark.parametrize("options", [{}, {"comment": b"a block before the frame"}])
def test_transparent_pixels_of_a_gif_are_white(tmp_path, options):
    image = scene()
    image.putalpha(Image.fromarray(np.where(np.arange(93) < 40, 0, 255).astype(np.uint8)[None].repeat(70, 0)))
    data = written(tmp_path / "a", image, "GIF", **options)
    check_same(tmp_path, data, 16, 3)
    assert (served(data, 16, 3)[:, :5] == 255).all()


def test_a_bitmap_with_an_alpha_channel(tmp_path):
    """Pillow reads the fourth channel only if the header has a mask for it, which Pillow itself never writes."""
    pixels = np.dstack([np.asarray(scene(8, 8))[..., ::-1], np.full((8, 8), 100, np.uint8)])
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack("<IiiHHIIiiII", 108, 8, 8, 1, 32, 3, 256, 0, 0, 0, 0) + masks + bytes(52)
    data = b"BM" + struct.pack("<IHHI", 122 + 256, 0, 0, 122) + header + pixels[::-1].tobytes()
    assert Image.open(io.BytesIO(data)).mode == "RGBA"
    check_same(tmp_path, data, 8, 3)


@pytest.mark.parametrize("shape", [(1, 1000), (1000, 1), (3, 700)])
def test_extreme_proportions_leave_a_pixel_at_least(tmp_path, shape):
    for size in (16, (16, 24), (24, 16)):
        for form in ("PNG", "JPEG"):
            check_same(tmp_path, written(tmp_path / "a", scene(*shape), form), size, 3)


@pytest.mark.parametrize("size", [(16, 24), (40, 12)])
def test_images_that_are_not_square(tmp_path, size):
    for form in ("JPEG", "PNG"):
        check_same(tmp_path, written(tmp_path / "a", scene(), form, exif=exif(6)), size, 3)


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientations(tmp_path, form, orientation):
    data = written(tmp_path / "a", scene(), form, exif=exif(orientation))
    check_same(tmp_path, data, 16, 3)
    plain = served(written(tmp_path / "a", scene(), form), 16, 3)
    assert (np.abs(served(data, 16, 3) - plain).max() > 30) == (orientation != 1)


@pytest.mark.parametrize("order", ["<", ">"])
def test_both_byte_orders(tmp_path, order):
    block = exif(6)
    block.endian = order
    data = written(tmp_path / "a", scene(), "JPEG", exif=block)
    assert (b"Exif\0\0II" if order == "<" else b"Exif\0\0MM") in data
    check_same(tmp_path, data, 16, 3)


def test_an_orientation_in_xmp_alone_is_ignored_everywhere(tmp_path):
    data = written(tmp_path / "a", scene(), "JPEG", xmp=XMP)
    assert XMP in data
    check_same(tmp_path, data, 16, 3)
    np.testing.assert_array_equal(
        decode_image(data, 16, 3), decode_image(written(tmp_path / "a", scene(), "JPEG"), 16, 3)
    )


def test_damaged_exif_blocks_are_survived(tmp_path):
    plain = served(written(tmp_path / "a", scene(), "JPEG"), 16, 3)
    for block in (b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"):
        data = written(tmp_path / "a", scene(), "JPEG", exif=block)
        np.testing.assert_array_equal(served(data, 16, 3), plain)
