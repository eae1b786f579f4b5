"""From a configuration to compiled models: the first stage and the second."""

from typing import Any

import keras

from gamix_keras import losses, models
from gamix_keras.assembly.networks import build_critic, build_decoder, build_encoder
from gamix_keras.config import Config
from gamix_keras.config.catalogue import LIKELIHOODS, OBJECTIVES
from gamix_keras.metrics.efficientnet_lite import weights_path
from gamix_keras.models import SecondStageVAE
from gamix_keras.networks import SecondStageDecoder, SecondStageEncoder
from gamix_keras.training.building import building

JIT = {"auto": "auto", "true": True, "false": False}


def build_model(config: Config) -> keras.Model:
    """Build and compile the model of a configuration, with weights drawn from its seed."""
    if config.has_critic and config.model.critic_network == "projected":
        weights_path()  # raises now rather than at the first step
    keras.utils.set_random_seed(config.seed)
    with building():
        model = getattr(models, OBJECTIVES[config.model.name].model)(**_parts(config), **_terms(config))
    rates = {"optimizer": config.training.learning_rate}
    if "critic" in model.phase_names:
        rates["critic_optimizer"] = config.training.critic_learning_rate
    optimizers = {name: _adam(config, rate, name.startswith("critic")) for name, rate in rates.items()}
    model.compile(**optimizers, jit_compile=JIT[config.training.jit])
    use_perceptual(model, config)
    return model


def use_perceptual(model: keras.Model, config: Config) -> None:
    """Give a model the perceptual term of a configuration, or take it away: a resumed run may have changed it."""
    loss = config.loss
    if loss.perceptual_weight:
        model.use_perceptual(loss.perceptual_layers.split(","), loss.perceptual_weight)
    else:
        model.use_perceptual(None)


def build_second_stage(config: Config) -> SecondStageVAE:
    """Build and compile the second stage of a configuration, with weights drawn from its seed."""
    keras.utils.set_random_seed(config.seed)
    with building():
        model = SecondStageVAE(*_second_networks(config), seed=config.seed)
    # Keras would number the name by what was built before in the process: adam_2 in one session, adam in the next.
    optimizer = keras.optimizers.Adam(config.second_stage.learning_rate, name="adam")
    model.compile(optimizer, jit_compile=JIT[config.training.jit])
    return model


def _second_networks(config: Config) -> tuple[keras.Model, keras.Model]:
    arguments = {name: getattr(config.second_stage, name) for name in ("width", "depth")}
    arguments |= {"latent_dim": config.model.latent_dim, "dtype": config.training.precision}
    return SecondStageEncoder(**arguments), SecondStageDecoder(**arguments)


def _parts(config: Config) -> dict[str, Any]:
    networks = {"encoder": build_encoder(config), "decoder": build_decoder(config)}
    average = {"ema_decay": config.training.ema_decay, "ema_start": config.training.ema_start}
    return {**networks, **average, "likelihood": _likelihood(config), "seed": config.seed}


def _terms(config: Config) -> dict[str, Any]:
    row = OBJECTIVES[config.model.name]
    critic = {"critic": build_critic(config)} if row.critic_settings else {}
    return {**critic, **{name: getattr(config.loss, name) for name in (*row.settings, *row.critic_settings)}}


def _likelihood(config: Config) -> keras.losses.Loss:
    row = LIKELIHOODS[config.loss.likelihood]
    scale = () if row.scales is None else (config.likelihood_scale,)
    return getattr(losses, row.loss)(*scale)


def _adam(config: Config, rate: float, is_critic: bool) -> keras.optimizers.Optimizer:
    training, betas = config.training, {"beta_1": config.training.beta_1}
    if is_critic:
        betas["beta_2"] = training.critic_beta_2
        if training.critic_beta_1 is not None:
            betas["beta_1"] = training.critic_beta_1
    return keras.optimizers.Adam(rate, **betas, global_clipnorm=training.clip_norm)


def parameter_counts(config: Config) -> dict[str, int]:
    """Return how many parameters each network of a configuration has."""
    second = _second_networks(config) if config.second_stage.epochs else ()
    networks = (build_encoder(config), build_decoder(config), build_critic(config), *second)
    return {network.name: network.count_params() for network in networks if network is not None}
