"""Images on their way in and out of a served graph, in core TensorFlow operations.

A file becomes what training makes of it (`gamix_keras.data.decoding`), to one grey level: JPEG, PNG, BMP and GIF are
decoded, turned by their EXIF orientation, laid over white, brought to the model's channels, cropped and resized.
"""

import tensorflow as tf

from gamix_keras.export.gif import GIF_START, over_white
from gamix_keras.export.orientation import JPEG_START, PNG_START, orientation, reader, starts_with, upright

_LUMA = (19595, 38470, 7471)  # Pillow's, in 1/65536
_REDUCTIONS = (1, 2, 4, 8)


def from_bytes(pixels: tf.Tensor) -> tf.Tensor:
    """Map bytes 0...255 to float32 in [-1, 1], as in training."""
    return tf.cast(pixels, tf.float32) / 127.5 - 1.0


def to_bytes(images: tf.Tensor) -> tf.Tensor:
    """Map floats in [-1, 1] to the nearest byte, the inverse of `from_bytes`."""
    return tf.cast(tf.clip_by_value(tf.round((images + 1.0) * 127.5), 0.0, 255.0), tf.uint8)


def to_png(images: tf.Tensor) -> tf.Tensor:
    """Compress float images (B, H, W, C) in [-1, 1] to PNG files (B,)."""
    return tf.io.encode_png(to_bytes(images))


def from_files(files: tf.Tensor, image_shape: tuple[int, int, int]) -> tf.Tensor:
    """Read JPEG, PNG, BMP or GIF files (B,) to floats (B, H, W, C) in [-1, 1], as training does.

    Each is turned upright, cropped around its centre to the shape's proportions and resized.
    """
    spec = tf.TensorSpec(image_shape, tf.uint8)
    return from_bytes(tf.map_fn(lambda file: _read(file, image_shape), files, fn_output_signature=spec))


def _read(file: tf.Tensor, image_shape: tuple[int, int, int]) -> tf.Tensor:
    height, width, channels = image_shape
    pixels = tf.case(
        [
            (starts_with(file, JPEG_START), lambda: _decode_jpeg(file, image_shape)),
            (starts_with(file, PNG_START), lambda: _recoloured(_over_white(tf.io.decode_png(file, 4)), channels)),
        ],
        default=lambda: _recoloured(_decode_other(file), channels),
    )
    pixels = upright(tf.ensure_shape(pixels, (None, None, channels)), orientation(file))
    return tf.ensure_shape(_fit(pixels, height, width), image_shape)


def _decode_jpeg(file: tf.Tensor, image_shape: tuple[int, int, int]) -> tf.Tensor:
    """Decode a JPEG at the smallest of its sizes that is at least the wanted one, as Pillow's `draft` does."""
    height, width, channels = image_shape
    found = tf.io.extract_jpeg_shape(file)
    fits = tf.minimum(found[0] // height, found[1] // width)
    number = tf.reduce_sum(tf.cast(fits >= _REDUCTIONS[1:], tf.int32))
    decoders = [
        lambda ratio=ratio: tf.io.decode_jpeg(file, channels, ratio, dct_method="INTEGER_ACCURATE")
        for ratio in _REDUCTIONS
    ]
    return tf.switch_case(number, decoders)


def _decode_other(file: tf.Tensor) -> tf.Tensor:
    """Decode a BMP, or the first frame of a GIF, to colours (h, w, 3)."""
    file = tf.cond(starts_with(file, GIF_START), lambda: over_white(file), lambda: file)
    pixels = tf.io.decode_image(file, expand_animations=False)
    colours = tf.cond(tf.shape(pixels)[2] == 1, lambda: tf.tile(pixels, [1, 1, 3]), lambda: pixels[..., :3])
    return tf.cond(_has_alpha(file, tf.shape(pixels)[2]), lambda: _over_white(pixels), lambda: colours)


def _has_alpha(file: tf.Tensor, channels: tf.Tensor) -> tf.Tensor:
    """Return whether a BMP's fourth channel is alpha: its header must say so, else it is padding."""
    number = reader(tf.io.decode_raw(file, tf.uint8), big=False)
    header, masks, alpha = (number(tf.constant(place, tf.int64), 4) for place in (14, 30, 66))
    return (channels == 4) & (header >= 56) & (masks == 3) & (alpha == 0xFF000000)


def _over_white(pixels: tf.Tensor) -> tf.Tensor:
    pixels = tf.cast(pixels, tf.int32)
    alpha = pixels[..., 3:]
    return tf.cast((pixels[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255, tf.uint8)


def _recoloured(pixels: tf.Tensor, channels: int) -> tf.Tensor:
    if channels == 3:
        return pixels
    luma = tf.reduce_sum(tf.cast(pixels, tf.int32) * _LUMA, axis=-1, keepdims=True)
    return tf.cast((luma + 2**15) // 2**16, tf.uint8)


def _fit(pixels: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Crop around the centre and resize: columns first, rounded to bytes, then rows, as Pillow does.

    Like Pillow's, the filter reaches beyond the crop if there are pixels.
    """
    rows, columns = tf.shape(pixels)[0], tf.shape(pixels)[1]
    is_wide = rows * width <= columns * height
    box = tf.where(is_wide, [rows, rows * width // height], [columns * height // width, columns])
    box = tf.maximum(box, 1)
    top, left = (rows - box[0]) // 2, (columns - box[1]) // 2
    images = tf.cast(pixels, tf.float32)[None]
    images = _resized(images, tf.stack([rows, width]), [1, width / box[1]], [0, -left * width / box[1]])
    images = _resized(images, tf.constant([height, width]), [height / box[0], 1], [-top * height / box[0], 0])
    return tf.cast(images[0], tf.uint8)


def _resized(images: tf.Tensor, size: tf.Tensor, scale: list, translation: list) -> tf.Tensor:
    scale, translation = (tf.stack([tf.cast(value, tf.float32) for value in pair]) for pair in (scale, translation))
    images = tf.raw_ops.ScaleAndTranslate(
        images=images, size=size, scale=scale, translation=translation, kernel_type="keyscubic", antialias=True
    )
    return tf.clip_by_value(tf.floor(images + 0.5), 0.0, 255.0)
