"""One image file to bytes (H, W, C), by Pillow: every format, and the word on what is broken.

| input | outcome |
| --- | --- |
| not square | centre crop: side s = min(H, W), first row (H - s) // 2, first column (W - s) // 2 |
| larger | anti-aliased bicubic; a JPEG is decoded at 1/2, 1/4 or 1/8 first if that is still large enough |
| smaller | enlarged, bicubic |
| grey | repeated on three channels; colour to one channel: luma 0.299 R + 0.587 G + 0.114 B |
| transparent, palette | laid over white |
| CMYK | RGB by Pillow's formula; colour profiles are ignored |
| 16-bit grey | divided by 257; 16-bit colour: the upper 8 bits |
| 32-bit or float pixels (TIFF, PFM) | `BrokenImage`, because their range is unknown |
| orientation | applied if EXIF gives it; one in XMP alone is ignored |
| animated, several pages | the first frame |
| over PIL.Image.MAX_IMAGE_PIXELS pixels or 256 MiB, truncated, empty, no image | `BrokenImage` |

The content decides the format, not the name; the formats that are tried are those of `picture_formats`.
"""

import functools
import io
import math
import os
import stat
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image, ImageOps

from gamix_keras.config import UserError, sides
from gamix_keras.data import picture_formats

MAX_FILE_BYTES = 2**28
THREADS = min(8, os.cpu_count() or 1)
_TOGETHER_BYTES = 2**22
_WITH_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
_XMP = ("xmp", "XML:com.adobe.xmp")

# The side of a square image, or (H, W).
Size = int | tuple[int, int]


class BrokenImage(ValueError):
    """An image that cannot be read; the text is the reason."""


def load_image(path: str | os.PathLike, image_size: Size, channels: int = 3) -> np.ndarray:
    """Read one image file as bytes (H, W, channels), by the rules of this module.

    Args:
        path: The file.
        image_size: The side of a square image, or (H, W).
        channels: 1 (grey) or 3 (colour).

    Raises:
        UserError: If it cannot be read, with its name and the reason.
    """
    try:
        return decode_image(read_file(path), image_size, channels)
    except BrokenImage as error:
        raise UserError(f"expected an image file, got {os.fspath(path)}: {error}") from None


def open_file(path: str | os.PathLike) -> io.FileIO:
    """Open a file for reading, without waiting if it is a named pipe."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    return open(descriptor, "rb", buffering=0)


def read_file(path: str | os.PathLike) -> bytes:
    """Return the bytes of a regular file.

    Raises:
        BrokenImage: If it is missing, unreadable, empty, too large, or no regular file.
    """
    try:
        with open_file(path) as file:
            return _whole(file)
    except (OSError, ValueError) as error:
        raise BrokenImage(getattr(error, "strerror", None) or str(error)) from None


def _whole(file: io.FileIO) -> bytes:
    state = os.fstat(file.fileno())
    if not stat.S_ISREG(state.st_mode):
        raise BrokenImage("not a regular file")
    check_size(state.st_size)
    data = file.readall()
    if not data:
        raise BrokenImage("empty file")
    return data


def check_size(size: int) -> None:
    """Refuse a file of more than `MAX_FILE_BYTES`.

    Raises:
        BrokenImage: If it is larger.
    """
    if size > MAX_FILE_BYTES:
        raise BrokenImage(f"{size} bytes, above the limit of {MAX_FILE_BYTES}")


def decode_image(data: bytes, image_size: Size, channels: int) -> np.ndarray:
    """Decode a file's bytes by the rules of this module.

    Raises:
        BrokenImage: If that is impossible, with the reason.
    """
    try:
        with Image.open(io.BytesIO(data), formats=picture_formats.formats()) as picture:
            _refuse_bomb(picture)
            picture.draft("L" if channels == 1 else "RGB", sides(image_size)[::-1])
            return fit_picture(_upright(picture), image_size, channels)
    except Image.UnidentifiedImageError:
        raise BrokenImage(f"not an image that can be read ({picture_formats.in_words()})") from None
    except Exception as error:  # damaged bytes make Pillow's parsers raise almost anything
        raise BrokenImage(str(error) or type(error).__name__) from None


def _upright(picture: Image.Image) -> Image.Image:
    """Turn a picture by its EXIF orientation.

    Pillow would obey an orientation in XMP, too; TensorFlow's decoders and the served graph cannot.
    """
    for key in _XMP:  # TIFF files are turned as they are loaded
        picture.info.pop(key, None)
    picture.load()
    for key in _XMP:  # PNG files may hold it behind the pixels
        picture.info.pop(key, None)
    ImageOps.exif_transpose(picture, in_place=True)
    return picture


def _refuse_bomb(picture: Image.Image) -> None:
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and picture.width * picture.height > limit:
        raise BrokenImage(f"{picture.width} x {picture.height} pixels, above the limit of {limit}")


def fit_picture(picture: Image.Image, image_size: Size, channels: int) -> np.ndarray:
    """Convert, crop and resize an opened picture to bytes (H, W, channels)."""
    height, width = sides(image_size)
    picture, mode = _opaque(picture), "L" if channels == 1 else "RGB"
    if picture.mode != mode:  # `convert` would copy it
        picture = picture.convert(mode)
    box = centre_box(picture.height, picture.width, (height, width))
    picture = picture.resize((width, height), Image.Resampling.BICUBIC, box=box)
    return np.asarray(picture, np.uint8).reshape(height, width, channels)


def fit_images(images: np.ndarray, image_size: Size) -> np.ndarray:
    """Crop and resize byte images (n, h, w, 1 or 3), as `fit_picture` does, to (n, H, W, 1 or 3)."""
    count, height, width, channels = images.shape
    size = sides(image_size)
    left, top, right, bottom = centre_box(height, width, size)
    if (bottom - top, right - left) == size:
        return images[:, top:bottom, left:right]
    fitted = np.empty((count, *size, channels), np.uint8)
    together = max(1, min(-(-count // THREADS), _TOGETHER_BYTES // (height * width * channels)))
    parts = [slice(first, first + together) for first in range(0, count, together)]

    def fit_part(part: slice) -> None:
        fitted[part] = _fit_together(images[part], size)

    list(_threads().map(fit_part, parts))
    return fitted


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, "gamix-keras-fit")


def _fit_together(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize images in two calls of Pillow: the rows of all, one below the other, and the columns of all, side by side.

    Pillow resizes rows, then columns, with whole bytes between, so the numbers are those of one image at a time; and
    it lets other threads run the whole time, while calls of a few microseconds each would wait for one another.
    """
    rows, columns = size
    left, top, right, bottom = centre_box(*images.shape[1:3], size)
    # Rows that none of the result draws on are left out: a bicubic filter reaches two pixels of the result's beyond it.
    reach = math.ceil(2 * max(1, (bottom - top) / rows)) + 1
    first = max(0, top - reach)
    images, top, bottom = images[:, first : bottom + reach], top - first, bottom - first
    count, height, width, channels = images.shape
    below = _resize(images.reshape(-1, width, channels), (columns, count * height), (left, 0, right, count * height))
    beside = below.reshape(count, height, columns, channels).transpose(1, 0, 2, 3).reshape(height, -1, channels)
    both = _resize(beside, (count * columns, rows), (0, top, count * columns, bottom))
    return both.reshape(rows, count, columns, channels).transpose(1, 0, 2, 3)


def _resize(image: np.ndarray, size: tuple[int, int], box: tuple[int, int, int, int]) -> np.ndarray:
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    return np.asarray(picture.resize(size, Image.Resampling.BICUBIC, box=box))


def _opaque(picture: Image.Image) -> Image.Image:
    """Lay a transparent picture over white, and bring 16 bits to 8."""
    if picture.mode == "F" or (picture.mode == "I" and picture.format == "TIFF"):
        raise BrokenImage(f"expected 8 or 16 bits, got {'float' if picture.mode == 'F' else '32-bit'} pixels")
    if picture.mode.startswith("I"):
        wide = np.clip(np.asarray(picture), 0, 65535).astype(np.uint32)
        return Image.fromarray(((wide + 128) // 257).astype(np.uint8))
    if picture.mode not in _WITH_ALPHA and "transparency" not in picture.info:
        return picture
    picture = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)


def centre_box(height: int, width: int, size: tuple[int, int] = (1, 1)) -> tuple[int, int, int, int]:
    """Return (left, top, right, bottom) of the largest centred box with the proportions of `size`, (H, W).

    An odd margin is larger after it.
    """
    if height * size[1] <= width * size[0]:
        rows, columns = height, max(1, height * size[1] // size[0])
    else:
        rows, columns = max(1, width * size[0] // size[1]), width
    left, top = (width - columns) // 2, (height - rows) // 2
    return left, top, left + columns, top + rows
