"""Transparent pixels of a GIF file, in core TensorFlow operations.

TensorFlow's decoder makes them black, training lays them over white. A GIF names one entry of its colour table that is
not drawn. Here that entry becomes white, and is drawn.
"""

import tensorflow as tf

from gamix_keras.export.orientation import Number, reader

GIF_START = b"GIF8"
_EXTENSION, _CONTROL = 0x21, 0xF9
_HEADER, _NONE = 13, -1


def over_white(file: tf.Tensor) -> tf.Tensor:
    """Return a GIF file, a scalar string, with the transparent pixels of its first frame in white."""
    data = tf.io.decode_raw(file, tf.uint8)
    number = reader(data, big=False)
    frame, control = _first_frame(data, number)
    is_transparent = (control > 0) & (number(control + 3, 1) % 2 == 1)
    return tf.cond(is_transparent, lambda: _redrawn(data, number, frame, control), lambda: file)


def _first_frame(data: tf.Tensor, number: Number) -> tuple[tf.Tensor, tf.Tensor]:
    """Return where the first frame begins, and the extension that says what of it is transparent, or -1."""
    end = tf.size(data, tf.int64)

    def goes_on(position: tf.Tensor, control: tf.Tensor) -> tf.Tensor:
        return (number(position, 1) == _EXTENSION) & (position + 8 <= end)

    def step(position: tf.Tensor, control: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        control = tf.where(number(position + 1, 1) == _CONTROL, position, control)
        return _after_blocks(position + 2, number), control

    start = _HEADER + _table_bytes(number(tf.constant(10, tf.int64), 1))
    return tf.while_loop(goes_on, step, (start, tf.constant(_NONE, tf.int64)))


def _after_blocks(position: tf.Tensor, number: Number) -> tf.Tensor:
    """Return what follows blocks that each begin with their length; the last is empty."""
    ends = tf.while_loop(lambda p: number(p, 1) > 0, lambda p: (p + 1 + number(p, 1),), (position,))
    return ends[0] + 1


def _table_bytes(flags: tf.Tensor) -> tf.Tensor:
    return tf.where(flags >= 0x80, 6 * 2 ** (flags % 8), tf.constant(0, tf.int64))


def _redrawn(data: tf.Tensor, number: Number, frame: tf.Tensor, control: tf.Tensor) -> tf.Tensor:
    """Return the file with the transparent entry of the colour table in white, and no entry transparent."""
    flags = control + 3
    table = tf.where(number(frame + 9, 1) >= 0x80, frame + 10, tf.constant(_HEADER, tf.int64))
    colour = table + 3 * number(control + 6, 1)
    places = tf.stack([flags, colour, colour + 1, colour + 2])[:, None]
    values = tf.stack([tf.cast(number(flags, 1) - 1, tf.uint8), *[tf.constant(255, tf.uint8)] * 3])
    characters = tf.constant([bytes([value]) for value in range(256)])
    data = tf.tensor_scatter_nd_update(data, places, values)
    return tf.strings.reduce_join(tf.gather(characters, tf.cast(data, tf.int32)))
