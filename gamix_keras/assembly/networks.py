"""From a configuration to encoder, decoder and critic."""

import importlib
import math
from collections.abc import Mapping
from typing import Any

import keras

from gamix_keras.config import Config
from gamix_keras.config.catalogue import CRITICS, NETWORKS


def _class(path: str) -> type[keras.Model]:
    module, name = path.split(".")
    return getattr(importlib.import_module(f"gamix_keras.networks.{module}"), name)


# All of them at once: a checkpoint can be loaded only after the classes that it names.
_PATHS = [path for row in NETWORKS.values() for path in (row.encoder, row.decoder)]
_CLASSES = {path: _class(path) for path in (*_PATHS, *(row.critic for row in CRITICS.values()))}


def build_encoder(config: Config) -> keras.Model:
    """Build the encoder, images to [mean, log_var]."""
    row = NETWORKS[config.model.network]
    return _CLASSES[row.encoder](**_arguments(config, row.encoder_settings))


def build_decoder(config: Config) -> keras.Model:
    """Build the decoder, latents to the likelihood's location (and scale per pixel, if that is the likelihood's)."""
    row = NETWORKS[config.model.network]
    own = {"pixel_scale": True} if config.likelihood_scale == "per_pixel" else {}
    return _CLASSES[row.decoder](**_arguments(config, row.decoder_settings), **own)


def _arguments(config: Config, own: Mapping[str, str]) -> dict[str, Any]:
    row = NETWORKS[config.model.network]
    common = {
        "image_shape": config.data.image_shape,
        "latent_dim": config.model.latent_dim,
        "dtype": config.training.precision,
    }
    names = {name: name for name in row.settings} | dict(own)
    return common | row.fixed | {argument: getattr(config.model, name) for name, argument in names.items()}


def build_critic(config: Config) -> keras.Model | None:
    """Build the critic, or return None if the configuration has none."""
    if not config.has_critic:
        return None
    row = CRITICS[config.model.critic_network]
    options = {argument: getattr(config.model, name) for name, argument in row.settings.items()}
    own = _OF_CRITIC[config.model.critic_network](config, options.pop("width"))
    common = {"image_shape": config.data.image_shape, "dtype": config.training.precision}
    return _CLASSES[row.critic](**common, **options, **own)


def _patchgan(config: Config, width: int) -> dict[str, Any]:
    height, breadth, _ = config.data.image_shape
    widths = (width,) * 3 + (max(1, width // 2),) * 2
    # Three halvings, as far as the size allows: 28 pixels can be halved twice.
    strides = [2 if i < 3 and math.gcd(height, breadth) % 2 ** (i + 1) == 0 else 1 for i in range(len(widths))]
    return {"widths": widths, "strides": strides, **NETWORKS[config.model.network].critic}


def _projected(config: Config, width: int) -> dict[str, Any]:
    return {"width": width, "seed": config.seed}


_OF_CRITIC = {"patchgan": _patchgan, "projected": _projected}
