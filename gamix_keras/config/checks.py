"""What only several settings together can get wrong; each check says how to put it right."""

from collections.abc import Collection, Iterable
from typing import Any

from gamix_keras.config.catalogue import FEATURE_STAGES, LIKELIHOODS, NETWORKS, OBJECTIVES, Divisor
from gamix_keras.config.reading import is_read
from gamix_keras.config.setting import UserError, shown

Config = Any


def check_together(config: Config) -> None:
    """Check a configuration whose settings are each right by themselves.

    Raises:
        UserError: For the first contradiction; it names one setting, what it should be and why.
    """
    networks = (_image_size, _channels, _width)
    terms = (_scale, _likelihood, _latents, _moments, _critic, _perceptual)
    for check in (*networks, *terms, _schedule, _jit, _devices):
        check(config)


def check_asked(config: Config, changed: Collection[str]) -> None:
    """Check what nobody should ask for now, though the files of older runs may hold it.

    Args:
        config: The configuration with the changes.
        changed: The keys that are changed.

    Raises:
        UserError: If `training.keep_best=val_loss` would compare epochs whose losses mean different things.
    """
    decisive = {"training.keep_best", "model.name", "model.critic", "loss.warmup", "loss.perceptual_weight"}
    if config.training.keep_best != "val_loss" or decisive.isdisjoint(changed):
        return
    wanted = "val_elbo, val_psnr or val_reconstruction"
    if config.has_critic:
        _refuse("training.keep_best", f"{wanted} with a critic, whose term is part of val_loss", config)
    if config.loss.warmup:
        _refuse("training.keep_best", f"{wanted} with loss.warmup, whose weight is part of val_loss", config)
    if config.loss.perceptual_weight:
        _refuse("training.keep_best", f"{wanted} with loss.perceptual_weight, which sets in during training", config)


def _refuse(key: str, wanted: str, config: Config) -> None:
    raise UserError(f"{key}: expected {wanted}, got {shown(config.get(key))}")


def _image_size(config: Config) -> None:
    height, width, _ = config.data.image_shape
    _check_divides("data.image_size", (height, width), NETWORKS[config.model.network].size, config)


def _width(config: Config) -> None:
    for divisor in NETWORKS[config.model.network].width:
        _check_divides("model.width", (config.model.width,), divisor, config)


def _check_divides(key: str, sizes: Iterable[int], divisor: Divisor, config: Config) -> None:
    number, meaning = divisor(config.model)
    if any(size % number for size in sizes):
        _refuse(key, f"a multiple of {meaning} for model.network={config.model.network}", config)


def _channels(config: Config) -> None:
    if config.data.channels == 2:
        _refuse("data.channels", "1 (grey) or 3 (colour)", config)


def _scale(config: Config) -> None:
    loss = config.loss
    if loss.mae_weight is not None and loss.scale != 1.0:
        _refuse("loss.mae_weight", f"none with loss.scale={loss.scale}, whose place it would take", config)
    if loss.scale == "per_pixel" and NETWORKS[config.model.network].bounded:
        _refuse("loss.scale", f"no scale per pixel with model.network={config.model.network}", config)


def _likelihood(config: Config) -> None:
    loss, row = config.loss, LIKELIHOODS[config.loss.likelihood]
    if row.scales is None:
        _no_scale(config)
    elif isinstance(loss.scale, str) and loss.scale not in row.scales:
        *others, last = ("a number", *row.scales)
        _refuse("loss.scale", f"{', '.join(others)} or {last} for loss.likelihood={loss.likelihood}", config)
    if row.logits and NETWORKS[config.model.network].bounded:
        wanted = f"a density with model.network={config.model.network}, whose output is bounded"
        _refuse("loss.likelihood", wanted, config)


def _no_scale(config: Config) -> None:
    reason = f"for it sets a scale, which loss.likelihood={config.loss.likelihood} does not have"
    if config.loss.mae_weight is not None:
        _refuse("loss.mae_weight", f"none, {reason}", config)
    if config.loss.scale != 1.0:
        _refuse("loss.scale", f"1.0, {reason}", config)


def _latents(config: Config) -> None:
    takes_groups = "group_size" in OBJECTIVES[config.model.name].settings
    if takes_groups and config.model.latent_dim % config.loss.group_size:
        _refuse("loss.group_size", f"a divisor of model.latent_dim = {config.model.latent_dim}", config)


def _moments(config: Config) -> None:
    if config.loss.moments == "mixture" and config.loss.momentum is not None:
        _refuse("loss.momentum", "none (loss.moments=mixture keeps no moments)", config)
    if is_read(config, "loss.moments") and config.loss.momentum is None:
        _batch_moments(config)


def _batch_moments(config: Config) -> None:
    batch, latent = config.training.batch_size, config.model.latent_dim
    if batch < 2:
        reason = "moments of one image have no variance; set loss.momentum for running moments"
        _refuse("training.batch_size", f"at least 2 ({reason})", config)
    if config.loss.moments == "full" and batch <= latent:
        reason = f"more than model.latent_dim = {latent} for loss.moments=full, or loss.momentum set"
        _refuse("training.batch_size", reason, config)


def _critic(config: Config) -> None:
    if (
        is_read(config, "model.critic_norm")
        and config.model.critic_spectral_norm
        and config.model.critic_norm != "none"
    ):
        _refuse("model.critic_norm", "none with model.critic_spectral_norm, which it would undo", config)


def _schedule(config: Config) -> None:
    schedule = config.training.schedule
    if schedule != "constant" and config.training.halve_every:
        _refuse("training.halve_every", f"0 with training.schedule={schedule}, which sets the step size itself", config)


def _perceptual(config: Config) -> None:
    names = config.loss.perceptual_layers.split(",")
    if len(set(names)) < len(names) or not set(names) <= set(FEATURE_STAGES):
        wanted = f"different ones of {', '.join(FEATURE_STAGES)} with commas between them"
        _refuse("loss.perceptual_layers", wanted, config)


def _jit(config: Config) -> None:
    if config.backend == "torch" and config.training.jit == "true":
        _refuse("training.jit", "auto or false on torch, whose compiler does not get through a training step", config)


def _devices(config: Config) -> None:
    count = config.training.devices
    if config.training.batch_size % count:
        _refuse("training.batch_size", f"a multiple of training.devices = {count}", config)
    if count > 1 and config.backend != "jax":
        _replicas(
            config, f"with training.devices={count} on {config.backend}, which sees a part of the batch at a time"
        )


def _replicas(config: Config, reason: str) -> None:
    """Refuse what needs the whole batch in one place; JAX has it there."""
    loss = config.loss
    if is_read(config, "loss.moments") and loss.moments == "mixture":
        _refuse("loss.moments", f"means, total or full {reason}", config)
    if is_read(config, "loss.adaptive_weight") and loss.adaptive_weight:
        _refuse("loss.adaptive_weight", f"false {reason}", config)
    if config.backend == "tensorflow" and config.training.clip_norm is not None:
        _refuse("training.clip_norm", f"none {reason}", config)
    if config.training.precision == "mixed_float16":
        _refuse("training.precision", f"float32 or mixed_bfloat16 {reason}", config)
