"""From a configuration to encoder, decoder and critic."""

from typing import Any, NamedTuple

import keras

from gamix_keras.config import Config
from gamix_keras.networks import (
    ConvDecoder,
    ConvEncoder,
    InfoGANDecoder,
    InfoGANEncoder,
    MLPDecoder,
    MLPEncoder,
    PatchGANCritic,
    ResNetDecoder,
    ResNetEncoder,
    TransformerDecoder,
    TransformerEncoder,
    WAEDecoder,
    WAEEncoder,
)


class Family(NamedTuple):
    """Networks that belong together, and where their arguments come from.

    Attributes:
        encoder, decoder: The classes.
        settings: Name of an argument of both to name of a setting of ``model``.
        encoder_settings, decoder_settings: The same for one of them.
    """

    encoder: type[keras.Model]
    decoder: type[keras.Model]
    settings: dict[str, str]
    encoder_settings: dict[str, str] = {}
    decoder_settings: dict[str, str] = {}


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


_RESNET = Family(
    ResNetEncoder,
    ResNetDecoder,
    _same("width", "stages", "bottleneck"),
    {"blocks": "encoder_blocks"},
    {"blocks": "decoder_blocks"},
)
NETWORKS = {
    "convnet": Family(ConvEncoder, ConvDecoder, _same("width", "stages", "max_width", "norm")),
    "resnet": _RESNET,
    "resnet-paper": _RESNET,
    "infogan": Family(InfoGANEncoder, InfoGANDecoder, _same("width", "units")),
    "wae": Family(WAEEncoder, WAEDecoder, _same("width")),
    "transformer": Family(TransformerEncoder, TransformerDecoder, _same("width", "patch", "depth", "heads")),
    "mlp": Family(MLPEncoder, MLPDecoder, _same("width", "depth")),
}


def _shape(config: Config) -> tuple[int, int, int]:
    return (config.data.image_size, config.data.image_size, config.data.channels)


def _network_arguments(config: Config, names: dict[str, str]) -> dict[str, Any]:
    common = {"image_shape": _shape(config), "latent_dim": config.model.latent_dim, "dtype": config.training.precision}
    if config.model.network == "resnet-paper":
        common["paper"] = True
    return common | {argument: getattr(config.model, name) for argument, name in names.items()}


def build_encoder(config: Config) -> keras.Model:
    """Build the encoder, images to [mean, log_var]."""
    family = NETWORKS[config.model.network]
    return family.encoder(**_network_arguments(config, family.settings | family.encoder_settings))


def build_decoder(config: Config) -> keras.Model:
    """Build the decoder, latents to the likelihood's location (and scale per pixel, where it wants one)."""
    family = NETWORKS[config.model.network]
    own = {"pixel_scale": True} if config.likelihood_scale == "per_pixel" else {}
    return family.decoder(**_network_arguments(config, family.settings | family.decoder_settings), **own)


def build_critic(config: Config) -> keras.Model | None:
    """Build the critic, or return None where the configuration has none."""
    if config.model.name != "gamix" or not config.model.critic:
        return None
    model, size = config.model, config.data.image_size
    widths = (model.critic_width,) * 3 + (max(1, model.critic_width // 2),) * 2
    # Three halvings, as far as the size allows: 28 pixels can be halved twice.
    strides = [2 if i < 3 and size % 2 ** (i + 1) == 0 else 1 for i in range(len(widths))]
    options = {"norm": model.critic_norm, "spectral_norm": model.critic_spectral_norm}
    options |= {"paper": model.network == "resnet-paper", "dtype": config.training.precision}
    return PatchGANCritic(_shape(config), widths, strides, **options)
