"""What only several settings together can get wrong: each check tells how to put it right."""

from typing import Any

from gamix_keras.config.setting import UserError

HALVED = ("convnet", "resnet", "resnet-paper")
DIVISORS = {"infogan": 4, "wae": 8, "mlp": 1}
BOUNDED = ("infogan", "wae")
Config = Any


def check_together(config: Config) -> None:
    """Check a configuration whose settings are each right by themselves.

    Raises:
        UserError: For the first contradiction; it names one setting, what it should be and why.
    """
    for check in (_image_size, _channels, _network, _scale, _likelihood, _latents, _moments, _critic, _jit, _devices):
        check(config)


def _refuse(key: str, wanted: str, config: Config) -> None:
    raise UserError(f"{key}: expected {wanted}, got {_shown(config.get(key))}")


def _shown(value: object) -> str:
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _image_size(config: Config) -> None:
    network = config.model.network
    if network in HALVED:
        divisor, meaning = 2**config.model.stages, f"2^model.stages = {2**config.model.stages}"
    elif network == "transformer":
        divisor, meaning = config.model.patch, f"model.patch = {config.model.patch}"
    else:
        divisor, meaning = DIVISORS[network], f"{DIVISORS[network]} for model.network={network}"
    if config.data.image_size % divisor:
        _refuse("data.image_size", f"a multiple of {meaning}", config)


def _channels(config: Config) -> None:
    if config.data.channels == 2:
        _refuse("data.channels", "1 (grey) or 3 (colour)", config)


def _network(config: Config) -> None:
    model = config.model
    if model.network == "transformer" and (model.width % 4 or model.width % model.heads):
        _refuse("model.width", f"a multiple of 4 and of model.heads = {model.heads} for the transformer", config)
    if model.network == "convnet" and model.width % 4:
        _refuse("model.width", "a multiple of 4 for the convnet", config)


def _scale(config: Config) -> None:
    loss = config.loss
    if loss.mae_weight is not None and loss.scale != 1.0:
        _refuse("loss.mae_weight", f"none with loss.scale={loss.scale}, whose place it would take", config)
    if loss.scale == "per_pixel" and config.model.network in BOUNDED:
        _refuse("loss.scale", f"no scale per pixel with model.network={config.model.network}", config)


def _likelihood(config: Config) -> None:
    loss = config.loss
    if loss.likelihood == "discretised_logistic" and loss.scale == "optimal":
        _refuse("loss.scale", "a number, learned or per_pixel for loss.likelihood=discretised_logistic", config)
    if loss.likelihood != "bernoulli":
        return
    if loss.scale != 1.0 or loss.mae_weight is not None:
        reason = "which loss.likelihood=bernoulli does not have"
        key, wanted = ("loss.scale", "1.0") if loss.mae_weight is None else ("loss.mae_weight", "none")
        _refuse(key, f"{wanted}, for it sets a scale, {reason}", config)
    if config.model.network in BOUNDED:
        wanted = f"a density with model.network={config.model.network}, whose output is bounded"
        _refuse("loss.likelihood", wanted, config)


def _latents(config: Config) -> None:
    if config.model.name == "vae" and config.model.latent_dim % config.loss.group_size:
        _refuse("loss.group_size", f"a divisor of model.latent_dim = {config.model.latent_dim}", config)


def _moments(config: Config) -> None:
    if config.loss.moments == "mixture" and config.loss.momentum is not None:
        _refuse("loss.momentum", "none (loss.moments=mixture keeps no moments)", config)
    if config.model.name == "gamix" and config.loss.momentum is None:
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
    if config.model.critic_spectral_norm and config.model.critic_norm != "none":
        _refuse("model.critic_norm", "none with model.critic_spectral_norm, which it would undo", config)


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


def _replicas(config: Config, where: str) -> None:
    """What needs the whole batch in one place; JAX has it there."""
    model, loss = config.model, config.loss
    if model.network in ("infogan", "wae"):
        _refuse("model.network", f"one without batch normalisation {where}", config)
    if model.network == "convnet" and model.norm == "batch":
        _refuse("model.norm", f"none or group {where}", config)
    if model.name == "gamix" and loss.moments == "mixture":
        _refuse("loss.moments", f"means, total or full {where}", config)
    if model.name == "gamix" and loss.adaptive_weight:
        _refuse("loss.adaptive_weight", f"false {where}", config)
    if config.backend == "tensorflow" and config.training.clip_norm is not None:
        _refuse("training.clip_norm", f"none {where}", config)
    if config.training.precision == "mixed_float16":
        _refuse("training.precision", f"float32 or mixed_bfloat16 {where}", config)
