"""The EXIF orientation of JPEG and PNG files, in core TensorFlow operations: a served graph can hold no Python.

An orientation in XMP alone, or in a PNG file's text, is not looked at.
"""

from collections.abc import Callable

import tensorflow as tf

JPEG_START, PNG_START = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_ORIENTATION, _LONG = 0x0112, 4
_SCAN, _APP1 = 0xDA, 0xE1
_NONE = -1

Number = Callable[[tf.Tensor, int], tf.Tensor]


def orientation(file: tf.Tensor) -> tf.Tensor:
    """Return the EXIF orientation of a file's bytes, 1 to 8; 1 if it says none.

    Args:
        file: A scalar string.
    """
    data = tf.io.decode_raw(file, tf.uint8)
    start = tf.case(
        [
            (starts_with(file, JPEG_START), lambda: _exif_of_jpeg(data)),
            (starts_with(file, PNG_START), lambda: _exif_of_png(data)),
        ],
        default=lambda: tf.constant(_NONE, tf.int64),
    )
    return tf.cond(start > 0, lambda: _orientation_at(data, start), lambda: tf.constant(1, tf.int64))


def upright(pixels: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turn pixels (h, w, c) as an orientation asks, like `PIL.ImageOps.exif_transpose`."""
    pixels = _if(orientation >= 5, pixels, lambda: tf.transpose(pixels, [1, 0, 2]))
    pixels = _if(_any_of(orientation, (2, 3, 6, 7)), pixels, lambda: tf.reverse(pixels, [1]))
    return _if(_any_of(orientation, (3, 4, 7, 8)), pixels, lambda: tf.reverse(pixels, [0]))


def starts_with(file: tf.Tensor, start: bytes) -> tf.Tensor:
    """Return whether a file's bytes begin with these."""
    return tf.strings.substr(file, 0, len(start)) == start


def _if(condition: tf.Tensor, pixels: tf.Tensor, change: Callable[[], tf.Tensor]) -> tf.Tensor:
    return tf.cond(condition, change, lambda: pixels)


def _any_of(orientation: tf.Tensor, values: tuple[int, ...]) -> tf.Tensor:
    return tf.reduce_any(orientation == tf.constant(values, tf.int64))


def _exif_of_jpeg(data: tf.Tensor) -> tf.Tensor:
    """Return where the EXIF block begins that a segment before the first scan holds, or -1."""
    number = reader(data, big=True)
    end = tf.size(data, tf.int64)

    def goes_on(position: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
        marker = number(position, 2)
        return (start < 0) & (position + 10 <= end) & (marker >= 0xFF00) & (marker != 0xFF00 + _SCAN)

    def step(position: tf.Tensor, start: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        marker = number(position + 1, 1)
        found = (
            (marker == _APP1) & (number(position + 4, 4) == int.from_bytes(b"Exif")) & (number(position + 8, 2) == 0)
        )
        length = tf.where(marker == 0xFF, tf.constant(1, tf.int64), 2 + number(position + 2, 2))  # 0xFF fills
        return position + length, tf.where(found, position + 10, start)

    return _walk(goes_on, step, first=2)


def _exif_of_png(data: tf.Tensor) -> tf.Tensor:
    """Return where the EXIF block of a PNG file begins, or -1."""
    number = reader(data, big=True)
    end = tf.size(data, tf.int64)

    def goes_on(position: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
        return (start < 0) & (position + 12 <= end)

    def step(position: tf.Tensor, start: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        found = number(position + 4, 4) == int.from_bytes(b"eXIf")
        return position + 12 + number(position, 4), tf.where(found, position + 8, start)

    return _walk(goes_on, step, first=8)


def _walk(goes_on: Callable[..., tf.Tensor], step: Callable[..., tuple], first: int) -> tf.Tensor:
    position, start = tf.constant(first, tf.int64), tf.constant(_NONE, tf.int64)
    return tf.while_loop(goes_on, step, (position, start))[1]


def _orientation_at(data: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
    big = reader(data, big=True)(start, 2) == int.from_bytes(b"MM")
    return tf.cond(
        big,
        lambda: _orientation_of(data, start, reader(data, big=True)),
        lambda: _orientation_of(data, start, reader(data, big=False)),
    )


def _orientation_of(data: tf.Tensor, start: tf.Tensor, number: Number) -> tf.Tensor:
    """Return the orientation among the entries of the first directory of a TIFF block."""
    directory = start + number(start + 4, 4)
    count = number(directory, 2)
    room = tf.maximum((tf.size(data, tf.int64) - directory - 2) // 12, 0)
    entries = directory + 2 + 12 * tf.range(tf.minimum(count, room))
    entries = tf.boolean_mask(entries, number(entries, 2) == _ORIENTATION)
    values = tf.where(number(entries + 2, 2) == _LONG, number(entries + 8, 4), number(entries + 8, 2))
    values = tf.boolean_mask(values, (values >= 1) & (values <= 8))
    return tf.concat([tf.constant([1], tf.int64), values], 0)[-1]


def reader(data: tf.Tensor, big: bool) -> Number:
    """Return a function that reads an unsigned number of some bytes at one or several positions."""
    last = tf.maximum(tf.size(data, tf.int64) - 1, 0)

    def number(positions: tf.Tensor, count: int) -> tf.Tensor:
        offsets = range(count)
        weights = tf.constant([256 ** (count - 1 - offset if big else offset) for offset in offsets], tf.int64)
        places = tf.clip_by_value(positions[..., None] + tf.constant(list(offsets), tf.int64), 0, last)
        return tf.reduce_sum(tf.cast(tf.gather(data, places), tf.int64) * weights, axis=-1)

    return number
