"""The signatures of a SavedModel, each with an example request.

    serving_default, decode   z (B, D)                            -> image (B, H, W, C) bytes
    decode_float              z (B, D)                            -> image (B, H, W, C) in [-1, 1]
    decode_png                z (B, D)                            -> image_bytes (B,)
    sample_png                count, seed, temperature            -> image_bytes (..., count)
    encode                    image (B, H, W, C) bytes            -> mean (B, D), log_var (B, D)
    reconstruct_png           image_bytes (B,)                    -> image_bytes (B,)
    interpolate_png           first_bytes, second_bytes, steps    -> image_bytes (..., steps)

`count` and `steps` may be scalars, or vectors of several requests (R,). The answer to a vector has a row for each,
padded with empty strings to the longest. A server that batches requests needs the vectors, because it joins along the
first axis.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from gamix_keras.export import MOST_IMAGES, images
from gamix_keras.export.networks import Networks
from gamix_keras.samplers import Sampler


class Signature(NamedTuple):
    """One way to call the served model.

    Attributes:
        function: A function from tensors by name to tensors by name.
        inputs: The specs of its inputs.
        meaning: What it does, in one line.
        example: The arguments of an example call.
    """

    function: Callable[..., dict[str, tf.Tensor]]
    inputs: tuple[tf.TensorSpec, ...]
    meaning: str
    example: dict[str, np.ndarray]


def signatures(networks: Networks, sampler: Sampler) -> dict[str, Signature]:
    """Return every signature by its name.

    Args:
        networks: The encoder and the decoder of the model.
        sampler: The sampler that `sample_png` draws latents from.
    """
    return {**_of_latents(networks), **_of_samples(networks, sampler), **_of_images(networks)}


def _of_latents(networks: Networks) -> dict[str, Signature]:
    inputs = (tf.TensorSpec((None, networks.latent_dim), tf.float32, name="z"),)
    example = {"z": np.zeros((1, networks.latent_dim), "float32")}

    def decode(z: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"image": images.to_bytes(networks.decode(z)["image"])}

    def decode_png(z: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"image_bytes": images.to_png(networks.decode(z)["image"])}

    meanings = {
        "serving_default": (decode, "the same as decode"),
        "decode": (decode, "latents to bytes 0...255"),
        "decode_float": (networks.decode, "latents to floats in [-1, 1]"),
        "decode_png": (decode_png, "latents to PNG files, much smaller than numbers in JSON"),
    }
    return {name: Signature(function, inputs, text, example) for name, (function, text) in meanings.items()}


def _of_samples(networks: Networks, sampler: Sampler) -> dict[str, Signature]:
    inputs = (
        tf.TensorSpec(None, tf.int32, name="count"),
        tf.TensorSpec(None, tf.int64, name="seed"),
        tf.TensorSpec(None, tf.float32, name="temperature"),
    )

    def sample_png(count: tf.Tensor, seed: tf.Tensor, temperature: tf.Tensor) -> dict[str, tf.Tensor]:
        counts, seeds, temperatures = (tf.reshape(value, [-1]) for value in (count, seed, temperature))
        with tf.control_dependencies([_check("count", counts, 1), _check_temperature(temperatures)]):
            noise = tf.map_fn(lambda one: _noise(one, sampler.noise_dim), seeds, fn_output_signature=tf.float32)
        eps = tf.boolean_mask(noise, tf.sequence_mask(counts, MOST_IMAGES))
        z = sampler(eps, temperature=tf.repeat(temperatures, counts)[:, None])
        return {"image_bytes": _rows(networks.decode(z)["image"], counts, tf.shape(count))}

    example = {"count": np.array([1], "int32"), "seed": np.array([0], "int64"), "temperature": np.ones(1, "float32")}
    text = f"new images, 1 to {MOST_IMAGES} per request; a seed gives the same images, and a larger count adds to them"
    return {"sample_png": Signature(sample_png, inputs, text, example)}


def _noise(seed: tf.Tensor, size: int) -> tf.Tensor:
    """Draw noise of a fixed number of rows, so an image depends on the seed and its number, and not on the batch."""
    return tf.random.stateless_normal([MOST_IMAGES, size], tf.stack([seed, tf.zeros_like(seed)]))


def _of_images(networks: Networks) -> dict[str, Signature]:
    shape = networks.image_shape
    file = tf.io.encode_png(np.full(shape, 128, "uint8")).numpy()

    def encode(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return networks.encode(images.from_bytes(image))

    def reconstruct_png(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        z = networks.encode(images.from_files(image_bytes, shape))["mean"]
        return {"image_bytes": images.to_png(networks.decode(z)["image"])}

    def interpolate_png(first_bytes: tf.Tensor, second_bytes: tf.Tensor, steps: tf.Tensor) -> dict[str, tf.Tensor]:
        counts = tf.reshape(steps, [-1])
        files = [tf.reshape(ends, [-1]) for ends in (first_bytes, second_bytes)]
        with tf.control_dependencies([_check("steps", counts, 2)]):
            first, second = (networks.encode(images.from_files(ends, shape))["mean"] for ends in files)
        t = tf.range(MOST_IMAGES, dtype=tf.float32) / tf.cast(counts - 1, tf.float32)[:, None]
        walk = (1.0 - t[..., None]) * first[:, None] + t[..., None] * second[:, None]
        z = tf.boolean_mask(walk, tf.sequence_mask(counts, MOST_IMAGES))
        return {"image_bytes": _rows(networks.decode(z)["image"], counts, tf.shape(steps))}

    pixels = (tf.TensorSpec((None, *shape), tf.uint8, name="image"),)
    picture = (tf.TensorSpec((None,), tf.string, name="image_bytes"),)
    walk = tuple(tf.TensorSpec(None, tf.string, name=name) for name in ("first_bytes", "second_bytes"))
    one = np.array([file], object)
    ends = {"first_bytes": one, "second_bytes": one, "steps": np.array([2], "int32")}
    return {
        "encode": Signature(
            encode, pixels, "bytes 0...255 to the posterior", {"image": np.full((1, *shape), 128, "uint8")}
        ),
        "reconstruct_png": Signature(
            reconstruct_png, picture, "JPEG, PNG, BMP or GIF files of any size to PNG files", {"image_bytes": one}
        ),
        "interpolate_png": Signature(
            interpolate_png,
            (*walk, tf.TensorSpec(None, tf.int32, name="steps")),
            f"a straight line between two images' latents, 2 to {MOST_IMAGES} steps",
            ends,
        ),
    }


def _rows(decoded: tf.Tensor, counts: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
    """Arrange the PNG files of all requests in rows: the shape of the requests, then the largest count."""
    rows = tf.RaggedTensor.from_row_lengths(images.to_png(decoded), counts, validate=False).to_tensor("")
    return tf.reshape(rows, tf.concat([shape, tf.shape(rows)[1:]], axis=0))


def _check(name: str, counts: tf.Tensor, fewest: int) -> tf.Operation:
    fits = tf.reduce_all((counts >= fewest) & (counts <= MOST_IMAGES))
    return tf.debugging.Assert(fits, [f"{name}: expected {fewest} to {MOST_IMAGES}, got", counts])


def _check_temperature(temperatures: tf.Tensor) -> tf.Operation:
    fits = tf.reduce_all((temperatures >= 0.0) & tf.math.is_finite(temperatures))
    return tf.debugging.Assert(fits, ["temperature: expected a number >= 0, got", temperatures])
