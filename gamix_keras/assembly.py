"""From a configuration to objects: the one place where a name becomes a class."""

from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from gamix_keras import data
from gamix_keras.callbacks import SampleGrid
from gamix_keras.config import Config, UserError
from gamix_keras.losses import GaussianNLL, LaplaceNLL
from gamix_keras.models import GAMIXVAE, VAE
from gamix_keras.networks import ConvDecoder, ConvEncoder, PatchGANCritic, ResNetDecoder, ResNetEncoder

NETWORKS = {
    "convnet": (ConvEncoder, ConvDecoder),
    "resnet": (ResNetEncoder, ResNetDecoder),
    "resnet-paper": (ResNetEncoder, ResNetDecoder),
}
LIKELIHOODS = {"laplace": LaplaceNLL, "gaussian": GaussianNLL}
JIT = {"auto": "auto", "true": True, "false": False}
HELD_OUT = "held-out:"
SHOWN_IMAGES = 10


class Data(NamedTuple):
    """What a training session reads.

    Attributes:
        training: All batches (B, H, W, C) in [-1, 1] from the session's first epoch to the last.
        steps: Batches of a training epoch.
        validation: Batches of the held-out images, the same ones each time.
        shown: The first held-out images (N, H, W, C), for the sample grid.
        sources: The training and the validation source.
    """

    training: Any
    steps: int
    validation: Any
    shown: np.ndarray
    sources: tuple[data.Source, data.Source]


def open_source(config: Config, split: str) -> data.Source:
    """Open the ``"train"`` or ``"validation"`` images of a configuration."""
    part = config.data
    return data.open_source(
        part.source,
        image_size=part.image_size,
        channels=part.channels,
        split=split,
        validation=part.validation,
        validation_fraction=part.validation_fraction,
        seed=config.seed,
        count=part.count,
        max_broken=part.max_broken,
    )


def build_data(config: Config, start_epoch: int = 0) -> Data:
    """Open both sources, and lay out the batches of the epochs after ``start_epoch``."""
    size, cache = config.training.batch_size, config.data.cache
    train, held_out = (open_source(config, split) for split in ("train", "validation"))
    span = {"start_epoch": start_epoch, "epochs": config.training.epochs}
    shuffling = {"seed": config.seed, "flip": config.data.flip}
    training = data.batches(train, size, training=True, cache=cache, **shuffling, **span)
    validation = data.batches(held_out, size, training=False, cache=cache)
    shown = data.to_unit_range(held_out.load(np.arange(min(SHOWN_IMAGES, len(held_out)))))
    return Data(training, len(train) // size, validation, shown, (train, held_out))


def open_image(config: Config, name: str) -> np.ndarray:
    """Read one image (H, W, C) in [-1, 1] as a configuration's model wants it.

    Args:
        config: The configuration.
        name: A file, or ``held-out:N`` for the N-th held-out image, from 0.

    Raises:
        UserError: Where there is no such image.
    """
    if not name.startswith(HELD_OUT):
        return data.to_unit_range(data.load_image(name, config.data.image_size, config.data.channels))
    source, number = open_source(config, "validation"), name.removeprefix(HELD_OUT)
    if not number.isdecimal() or int(number) >= len(source):
        raise UserError(f"IMAGE: expected {HELD_OUT}N with N from 0 to {len(source) - 1}, got {name}")
    return data.to_unit_range(source.load(np.array([int(number)])))[0]


def _shape(config: Config) -> tuple[int, int, int]:
    return (config.data.image_size, config.data.image_size, config.data.channels)


def _network_arguments(config: Config) -> dict[str, Any]:
    model = config.model
    common = {"image_shape": _shape(config), "latent_dim": model.latent_dim, "width": model.width}
    common |= {"stages": model.stages, "dtype": config.training.precision}
    if model.network == "convnet":
        return common | {"max_width": model.max_width, "norm": model.norm}
    return common | {"bottleneck": model.bottleneck, "paper": model.network == "resnet-paper"}


def build_encoder(config: Config) -> keras.Model:
    """Build the encoder, images to [mean, log_var]."""
    own = {} if config.model.network == "convnet" else {"blocks": config.model.encoder_blocks}
    return NETWORKS[config.model.network][0](**_network_arguments(config), **own)


def build_decoder(config: Config) -> keras.Model:
    """Build the decoder, latents to the likelihood's location (and scale per pixel, where it wants one)."""
    own = {} if config.model.network == "convnet" else {"blocks": config.model.decoder_blocks}
    per_pixel = config.likelihood_scale == "per_pixel"
    return NETWORKS[config.model.network][1](**_network_arguments(config), **own, pixel_scale=per_pixel)


def build_critic(config: Config) -> keras.Model | None:
    """Build the critic, or return None where the configuration has none."""
    if config.model.name != "gamix" or not config.model.critic:
        return None
    width, paper = config.model.critic_width, config.model.network == "resnet-paper"
    widths = (width,) * 3 + (max(1, width // 2),) * 2
    return PatchGANCritic(_shape(config), widths, paper=paper, dtype=config.training.precision)


def build_model(config: Config) -> keras.Model:
    """Build and compile the model of a configuration, with weights drawn from its seed."""
    keras.utils.set_random_seed(config.seed)
    model = MODELS[config.model.name](config)
    rates = {"optimizer": config.training.learning_rate}
    if "critic" in model.phase_names:
        rates["critic_optimizer"] = config.training.critic_learning_rate
    optimizers = {name: _adam(config, rate) for name, rate in rates.items()}
    model.compile(**optimizers, jit_compile=JIT[config.training.jit])
    return model


def _parts(config: Config) -> dict[str, Any]:
    likelihood = LIKELIHOODS[config.loss.likelihood](config.likelihood_scale)
    networks = {"encoder": build_encoder(config), "decoder": build_decoder(config)}
    return {**networks, "likelihood": likelihood, "seed": config.seed}


def _vae(config: Config) -> VAE:
    return VAE(**_parts(config), beta=config.loss.beta, free_bits=config.loss.free_bits)


def _gamix(config: Config) -> GAMIXVAE:
    names = ("moments", "momentum", "global_weight", "variance_weight")
    names += ("adversarial", "adversarial_weight", "critic_weight")
    terms = {name: getattr(config.loss, name) for name in names}
    return GAMIXVAE(**_parts(config), critic=build_critic(config), **terms)


MODELS = {"gamix": _gamix, "vae": _vae}


def _adam(config: Config, rate: float) -> keras.optimizers.Optimizer:
    training = config.training
    return keras.optimizers.Adam(rate, beta_1=training.beta_1, global_clipnorm=training.clip_norm)


def parameter_counts(config: Config) -> dict[str, int]:
    """Return how many parameters each network of a configuration has."""
    networks = (build_encoder(config), build_decoder(config), build_critic(config))
    return {network.name: network.count_params() for network in networks if network is not None}


def build_callbacks(config: Config, shown: np.ndarray, folder: Path) -> list[keras.callbacks.Callback]:
    """Build the callbacks that a configuration asks for; pictures of ``shown`` go to ``folder``."""
    return [SampleGrid(shown, folder, config.training.sample_every, config.seed)]
