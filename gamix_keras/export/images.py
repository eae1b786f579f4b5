"""Images on their way in and out of a served graph, in core TensorFlow operations."""

import tensorflow as tf


def from_bytes(pixels: tf.Tensor) -> tf.Tensor:
    """Map bytes 0...255 to float32 in [-1, 1], as in training."""
    return tf.cast(pixels, tf.float32) / 127.5 - 1.0


def to_bytes(images: tf.Tensor) -> tf.Tensor:
    """Map floats in [-1, 1] to the nearest byte, the inverse of ``from_bytes``."""
    return tf.cast(tf.clip_by_value(tf.round((images + 1.0) * 127.5), 0.0, 255.0), tf.uint8)


def to_png(images: tf.Tensor) -> tf.Tensor:
    """Compress float images (B, H, W, C) in [-1, 1] to PNG files (B,)."""
    return tf.io.encode_png(to_bytes(images))


def from_files(files: tf.Tensor, image_shape: tuple[int, int, int]) -> tf.Tensor:
    """Read PNG, JPEG, BMP or GIF files (B,) to floats (B, H, W, C) in [-1, 1].

    Each is cropped around its centre to the shape's proportions and resized, as training data is. Transparency is
    left out, not laid over white.
    """
    spec = tf.TensorSpec(image_shape, tf.uint8)
    return from_bytes(tf.map_fn(lambda file: _read(file, image_shape), files, fn_output_signature=spec))


def _read(file: tf.Tensor, image_shape: tuple[int, int, int]) -> tf.Tensor:
    height, width, channels = image_shape
    picture = tf.io.decode_image(file, channels=channels, expand_animations=False)
    rows, columns = tf.shape(picture)[0], tf.shape(picture)[1]
    wide = rows * width <= columns * height
    box = tf.where(wide, [rows, rows * width // height], [columns * height // width, columns])
    top, left = (rows - box[0]) // 2, (columns - box[1]) // 2
    part = picture[top : top + box[0], left : left + box[1]]
    resized = tf.image.resize(tf.cast(part, tf.float32), (height, width), "bicubic", antialias=True)
    return tf.cast(tf.clip_by_value(tf.round(resized), 0.0, 255.0), tf.uint8)
