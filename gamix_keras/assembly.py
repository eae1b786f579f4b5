"""From a configuration to objects: the one place where a name becomes a class."""

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from gamix_keras import data
from gamix_keras.callbacks import CollapseMonitor, EMAWeights, NumericGuard, SampleGrid, Schedule, WeightSchedule
from gamix_keras.config import Config, UserError
from gamix_keras.losses import BernoulliNLL, DiscretisedLogisticNLL, GaussianNLL, LaplaceNLL
from gamix_keras.models import GAMIXVAE, VAE, SecondStageVAE
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
    SecondStageDecoder,
    SecondStageEncoder,
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
LIKELIHOODS = {
    "laplace": LaplaceNLL,
    "gaussian": GaussianNLL,
    "bernoulli": BernoulliNLL,
    "discretised_logistic": DiscretisedLogisticNLL,
}
WARMUPS = {"linear": {}, "cosine": {"shape": "cosine"}, "cyclical": {"cycles": 4, "ratio": 0.5}}
JIT = {"auto": "auto", "true": True, "false": False}
HELD_OUT = "held-out:"
SHOWN_IMAGES = 10
WAKING_STEPS = 200


class Data(NamedTuple):
    """What a training session reads.

    Attributes:
        training: All batches (B, H, W, C) in [-1, 1] from the session's first whole epoch to the last; None where no
            epoch is left.
        steps: Batches of a training epoch.
        validation: Batches of the held-out images, the same ones each time.
        shown: The first held-out images (N, H, W, C), for the sample grid.
        sources: The training and the validation source.
        begun: The batches that are left of an epoch in which the session starts, before those of ``training``; None
            where it starts with a whole one.
    """

    training: Any
    steps: int
    validation: Any
    shown: np.ndarray
    sources: tuple[data.Source, data.Source]
    begun: Any = None

    def names(self, config: Config, epoch: int, step: int) -> list[str]:
        """Return the names of the images of a training batch, epoch and step from 0."""
        source = self.sources[0]
        reader = data.BatchReader(source, config.training.batch_size, **_shuffling(config), cache="none")
        return [source.keys[index] for index in reader.indices(epoch, step)]


def _shuffling(config: Config) -> dict[str, Any]:
    return {"training": True, "seed": config.seed, "flip": config.data.flip}


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


def build_data(config: Config, start_epoch: int = 0, start_step: int = 0) -> Data:
    """Open both sources, and lay out the batches after ``start_epoch`` epochs and ``start_step`` steps of the next."""
    size, cache = config.training.batch_size, config.data.cache
    train, held_out = (open_source(config, split) for split in ("train", "validation"))
    first, last = start_epoch + bool(start_step), config.training.epochs
    shuffling, training, begun = _shuffling(config), None, None
    if first < last:
        training = data.batches(train, size, cache=cache, **shuffling, start_epoch=first, epochs=last)
    if start_step:
        span = {"start_epoch": start_epoch, "start_step": start_step, "epochs": first}
        # Not cached: the room is for the whole epochs that follow.
        begun = data.batches(train, size, cache="none", **shuffling, **span)
    validation = data.batches(held_out, size, training=False, cache=cache)
    shown = data.to_unit_range(held_out.load(np.arange(min(SHOWN_IMAGES, len(held_out)))))
    return Data(training, len(train) // size, validation, shown, (train, held_out), begun)


def batches_in_order(config: Config, source: data.Source) -> Any:
    """Lay out the batches of one pass over a source: each image once, as it is, in the source's order."""
    return data.batches(source, config.training.batch_size, training=False, cache="none")


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


def build_second_stage(config: Config) -> SecondStageVAE:
    """Build and compile the second stage of a configuration, with weights drawn from its seed."""
    keras.utils.set_random_seed(config.seed)
    model = SecondStageVAE(*_second_networks(config), seed=config.seed)
    model.compile(keras.optimizers.Adam(config.second_stage.learning_rate), jit_compile=JIT[config.training.jit])
    return model


def _second_networks(config: Config) -> tuple[keras.Model, keras.Model]:
    arguments = {name: getattr(config.second_stage, name) for name in ("width", "depth")}
    arguments |= {"latent_dim": config.model.latent_dim, "dtype": config.training.precision}
    return SecondStageEncoder(**arguments), SecondStageDecoder(**arguments)


def build_second_stage_callbacks(config: Config) -> list[keras.callbacks.Callback]:
    """Build the callbacks of the second stage: the halvings of its step size, if any."""
    rate, every = config.second_stage.learning_rate, config.second_stage.halve_every
    return [keras.callbacks.LearningRateScheduler(lambda epoch: rate * 0.5 ** (epoch // every))] if every else []


def _parts(config: Config) -> dict[str, Any]:
    networks = {"encoder": build_encoder(config), "decoder": build_decoder(config)}
    average = {"ema_decay": config.training.ema_decay, "ema_start": config.training.ema_start}
    return {**networks, **average, "likelihood": _likelihood(config), "seed": config.seed}


def _likelihood(config: Config) -> keras.losses.Loss:
    scale = () if config.loss.likelihood == "bernoulli" else (config.likelihood_scale,)
    return LIKELIHOODS[config.loss.likelihood](*scale)


def _vae(config: Config) -> VAE:
    names = ("beta", "free_bits", "group_size", "capacity")
    return VAE(**_parts(config), **{name: getattr(config.loss, name) for name in names})


def _gamix(config: Config) -> GAMIXVAE:
    names = ("moments", "momentum", "global_weight", "variance_weight")
    names += ("adversarial", "adversarial_weight", "critic_weight", "r1_weight", "adaptive_weight")
    terms = {name: getattr(config.loss, name) for name in names}
    return GAMIXVAE(**_parts(config), critic=build_critic(config), **terms)


MODELS = {"gamix": _gamix, "vae": _vae}


def _adam(config: Config, rate: float) -> keras.optimizers.Optimizer:
    training = config.training
    return keras.optimizers.Adam(rate, beta_1=training.beta_1, global_clipnorm=training.clip_norm)


def parameter_counts(config: Config) -> dict[str, int]:
    """Return how many parameters each network of a configuration has."""
    second = _second_networks(config) if config.second_stage.epochs else ()
    networks = (build_encoder(config), build_decoder(config), build_critic(config), *second)
    return {network.name: network.count_params() for network in networks if network is not None}


def build_callbacks(config: Config, data: Data, folder: Path) -> list[keras.callbacks.Callback]:
    """Build the callbacks that a configuration asks for; pictures of the shown images go to ``folder``."""
    pictures = SampleGrid(data.shown, folder, config.training.sample_every, config.seed)
    average = [EMAWeights()] if config.training.ema_decay is not None else []
    return [
        *_warmup(config, data.steps),
        *_late_critic(config, data.steps),
        *average,
        *_monitor(config, data.steps),
        pictures,
    ]


def build_guard(
    config: Config, data: Data, record: Callable[[dict[str, Any]], None], begun: int
) -> list[keras.callbacks.Callback]:
    """Build the guard against numbers that are not finite, if it is wanted; see ``NumericGuard``."""
    action, events = config.training.numeric_guard, config.training.guard_events
    images = functools.partial(data.names, config)
    return [] if action == "off" else [NumericGuard(action, events, record, images, begun)]


def _warmup(config: Config, steps: int) -> list[WeightSchedule]:
    """The schedule of whichever weight holds the latents to the prior."""
    loss = config.loss
    if not loss.warmup:
        return []
    name, end = "global_weight_variable", loss.global_weight
    if config.model.name == "vae":
        name, end = ("beta_weight", loss.beta) if loss.capacity is None else ("capacity_target", loss.capacity)
    length = max(1, round(loss.warmup * steps))
    return [WeightSchedule(name, Schedule(end, length, **WARMUPS[loss.warmup_shape]))]


def _late_critic(config: Config, steps: int) -> list[WeightSchedule]:
    """The schedule of the adversarial term; the critic itself trains from the first step, so that it is warm."""
    loss, whole = config.loss, steps * config.training.epochs
    given = (loss.adversarial_start, loss.adversarial_ramp)
    if config.model.name != "gamix" or not config.model.critic or not any(given):
        return []
    delay, length = (round(time if time >= 1 else time * whole) for time in given)
    return [WeightSchedule("adversarial_weight_variable", Schedule(loss.adversarial_weight, length, delay=delay))]


def _monitor(config: Config, steps: int) -> list[CollapseMonitor]:
    wanted = config.training.collapse_monitor
    # At first, and during the warm-up, the latents are not yet what they will be.
    start = math.ceil(max(config.loss.warmup, WAKING_STEPS / steps))
    return [CollapseMonitor(start=start, stop=wanted == "stop")] if wanted else []
