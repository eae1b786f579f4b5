"""Feature extractors by name.

feature_extractor("efficientnet_lite0")   weights from pip; distances are called fd_efflite0 and kd_efflite0
feature_extractor("onet")                 a face detector's, weights from pip; fd_onet and kd_onet
feature_extractor("inception")            the graph of published FIDs, through torch-fidelity; fid and kid
feature_extractor("keras:ResNet50")       any network of keras.applications, ImageNet weights
feature_extractor(model)                  any Keras model
"""

import functools
import hashlib
import importlib
import sys
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from gamix_keras.config.protocol import DEFAULT_EXTRACTOR, EXTRACTORS
from gamix_keras.metrics import efficientnet_lite, onet
from gamix_keras.metrics.features import FeatureExtractor, KerasNetwork

Tensor = Any

_INCEPTION_WEIGHTS = "weights-inception-2015-12-05-6726825d"
_INCEPTION_SIZE, _INCEPTION_FEATURES = 299, 2048
# The last map of EfficientNet-Lite0 at each resolution down to a sixteenth; smaller ones have few places.
_MAPS = ("stem", "stage2", "stage3", "stage5")


def _weights_digest(model: keras.Model) -> str:
    digest = hashlib.sha256()
    for variable in model.variables:
        digest.update(ops.convert_to_numpy(variable).tobytes())
    return "sha256:" + digest.hexdigest()[:16]


def _describe_resize(size: int | None) -> str:
    return f"bilinear, anti-aliased, to {size} x {size}" if size else "none"


def feature_extractor(source: str | keras.Model, size: int | None = None, batch_size: int = 32) -> FeatureExtractor:
    """Make an extractor from its name or from a Keras model.

    Args:
        source: "efficientnet_lite0", "onet", "inception", "keras:NAME" with NAME a function of keras.applications, or a
            Keras model of images in [-1, 1] with one output, (B, D) or (B, h, w, D), averaged over positions.
        size: Height and width to which images are resized. Default: the network's own (efficientnet_lite0 224;
            keras:NAME 224, or 299 for Inception and Xception; a model its input's size, or none). Smaller is faster
            and gives other distances, which carry the size in their name. Fixed for inception and onet.
        batch_size: Images per call of the network.

    Returns:
        The extractor.

    Raises:
        ValueError: For an unknown name, weights that are not installed or cannot be downloaded, or a size that the
            network does not take.
    """
    if size is not None and size < 1:
        raise ValueError(f"size: expected at least 1, got {size!r}")
    if batch_size < 1:
        raise ValueError(f"batch_size: expected at least 1, got {batch_size!r}")
    if isinstance(source, keras.Model):
        return _from_model(source, size, batch_size)
    if source == DEFAULT_EXTRACTOR:
        return _from_efficientnet(size, batch_size)
    if source == "onet":
        return _from_onet(size, batch_size)
    if source == "inception":
        return _from_inception(size, batch_size)
    if isinstance(source, str) and source.startswith("keras:"):
        return _from_applications(source.removeprefix("keras:"), size, batch_size)
    raise ValueError(f"extractor: expected one of {', '.join(EXTRACTORS)} or a Keras model, got {source!r}")


def _from_efficientnet(size: int | None, batch_size: int) -> FeatureExtractor:
    own = efficientnet_lite.DEFAULT_SIZE
    size = size or own
    model = efficientnet_lite.efficientnet_lite0(efficientnet_lite.load_weights(), size)
    network = KerasNetwork(keras.Model(model.input, model.outputs[0]), size, lambda pixels: (pixels - 127.0) / 128.0)
    return FeatureExtractor(
        name=DEFAULT_EXTRACTOR,
        label="efflite0" if size == own else f"efflite0_{size}",
        network=network,
        dim=efficientnet_lite.FEATURES,
        resize=_describe_resize(size),
        weights=efficientnet_lite.WEIGHTS_NAME,
        batch_size=batch_size,
        maps=_efficientnet_maps,
    )


@functools.lru_cache(1)
def _stages(image_shape: tuple[int, int, int]) -> keras.Model:
    stages = efficientnet_lite.feature_stages(_MAPS, image_shape)
    stages.compile(jit_compile=keras.config.backend() == "jax")
    return stages


def _efficientnet_maps(pixels: np.ndarray) -> list[np.ndarray]:
    """Return the maps of images at their own size."""
    return _stages(pixels.shape[1:]).predict_on_batch(pixels.astype("float32") / 127.5 - 1.0)


def _from_onet(size: int | None, batch_size: int) -> FeatureExtractor:
    if size not in (None, onet.SIZE):
        raise ValueError(f"size: expected {onet.SIZE}, which is fixed for extractor 'onet', got {size}")
    weights = onet.load_weights()
    model = onet.onet(weights)
    features, _, *maps = model.outputs
    prepared = onet.SIZE, lambda pixels: (pixels - 127.5) / 128.0, onet.CENTRAL_SHARE
    return FeatureExtractor(
        name="onet",
        label="onet",
        network=KerasNetwork(keras.Model(model.input, features), *prepared),
        dim=onet.FEATURES,
        resize=f"central {onet.CENTRAL_SHARE:.0%} of the shorter side, {_describe_resize(onet.SIZE)}",
        weights=onet.WEIGHTS_NAME,
        batch_size=batch_size,
        is_face=lambda rows: onet.is_face(rows, weights),
        maps=KerasNetwork(keras.Model(model.input, maps), *prepared),
    )


def _from_model(model: keras.Model, size: int | None, batch_size: int) -> FeatureExtractor:
    _, height, _, channels = model.input_shape
    size = size or height
    return _from_keras(model, model.name, model.name, size, lambda p: p / 127.5 - 1.0, channels or 3, batch_size)


def _from_keras(
    model: keras.Model,
    name: str,
    label: str,
    size: int | None,
    scale: Callable[[Tensor], Tensor],
    channels: int,
    batch_size: int,
) -> FeatureExtractor:
    shape = model.output_shape
    if not isinstance(shape, tuple) or len(shape) not in (2, 4):
        raise ValueError(f"model: expected one output, (B, D) or (B, h, w, D), got {shape} of '{name}'")
    if len(shape) == 4:
        pooled = keras.layers.GlobalAveragePooling2D(data_format="channels_last", dtype="float32")(model.output)
        model = keras.Model(model.input, pooled)
    network, resize, weights = KerasNetwork(model, size, scale), _describe_resize(size), _weights_digest(model)
    return FeatureExtractor(name, label, network, shape[-1], resize, weights, channels, batch_size)


def _from_applications(name: str, size: int | None, batch_size: int) -> FeatureExtractor:
    make = getattr(keras.applications, name, None)
    if not callable(make):
        known = sorted(n for n in dir(keras.applications) if n[0].isupper())
        raise ValueError(f"extractor: expected keras:NAME with one of {', '.join(known)}, got 'keras:{name}'")
    own = 299 if "ception" in name else 224
    size = size or own
    try:
        model = make(include_top=False, pooling="avg", weights="imagenet", input_shape=(size, size, 3))
    except Exception as error:  # Keras raises a bare Exception when a download fails
        raise ValueError(
            f"extractor 'keras:{name}': expected its weights, which Keras downloads once, got {error}"
        ) from error
    scale = sys.modules[make.__module__].preprocess_input
    label = name.lower() if size == own else f"{name.lower()}_{size}"
    return _from_keras(model, f"keras:{name}", label, size, scale, 3, batch_size)


def _from_inception(size: int | None, batch_size: int) -> FeatureExtractor:
    if size not in (None, _INCEPTION_SIZE):
        raise ValueError(f"size: expected {_INCEPTION_SIZE}, which is fixed for extractor 'inception', got {size}")
    try:
        module = importlib.import_module("torch_fidelity.feature_extractor_inceptionv3")
    except (ImportError, RuntimeError) as error:  # a torchvision that does not fit torch raises RuntimeError
        raise ValueError(
            f"extractor 'inception': expected torch, a torchvision that fits it, and torch-fidelity, got {error}; "
            "run: pip install torch torchvision torch-fidelity"
        ) from error
    try:
        inception = module.FeatureExtractorInceptionV3("inception-v3-compat", [str(_INCEPTION_FEATURES)])
    except OSError as error:
        raise ValueError(
            f"extractor 'inception': expected its weights, which are downloaded once, got {error}; offline, use "
            f"{DEFAULT_EXTRACTOR}"
        ) from error
    return FeatureExtractor(
        name="inception",
        label="inception",
        network=_TorchNetwork(module.torch, inception),
        dim=_INCEPTION_FEATURES,
        resize=f"bilinear as in TensorFlow 1, to {_INCEPTION_SIZE} x {_INCEPTION_SIZE}",
        weights=_INCEPTION_WEIGHTS,
        batch_size=batch_size,
    )


class _TorchNetwork:
    """Runs a torch-fidelity extractor on pixels; `torch` is the module that torch-fidelity itself imported."""

    def __init__(self, torch: Any, network: Callable[[Tensor], tuple]) -> None:
        self.torch, self.network = torch, network

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        with self.torch.no_grad():
            batch = self.torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
            return self.network(batch)[0].cpu().numpy()
