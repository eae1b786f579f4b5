"""From a configuration to the callbacks of its stages."""

import functools
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from gamix_keras.assembly.sources import Data
from gamix_keras.callbacks import (
    CollapseMonitor,
    EMAWeights,
    EncoderFreeze,
    NumericGuard,
    SampleGrid,
    Schedule,
    StepSizeHalving,
    StepSizeSchedule,
    TensorBoard,
    WeightSchedule,
)
from gamix_keras.config import Config
from gamix_keras.config.catalogue import OBJECTIVES
from gamix_keras.config.reading import is_read

WARMUPS = {"linear": {}, "cosine": {"shape": "cosine"}, "cyclical": {"cycles": 4, "ratio": 0.5}}
# The variable of a model that holds the weight of a setting.
WARMED = {"global_weight": "global", "beta": "kl", "capacity": "capacity"}
WAKING_STEPS = 200


def build_callbacks(config: Config, data: Data, folder: Path | None, begun: int = 0) -> list[keras.callbacks.Callback]:
    """Build the callbacks that a configuration asks for.

    Args:
        config: The configuration, with steps in place of shares of the training.
        data: The data to train on.
        folder: Where pictures of the shown images go; None for nowhere.
        begun: Steps of the first epoch to train that are done already.
    """
    training, held_out = config.training, data.sources[1] if data.sources else None
    pictures = SampleGrid(data.shown, folder, training.sample_every, config.seed, held_out, training.epochs)
    average = [EMAWeights()] if config.training.ema_decay is not None else []
    return [
        *_halving(config.training.learning_rate, config.training.halve_every),
        *_scheduled(config, begun),
        *_warmup(config, data.steps),
        *_late_critic(config, data.steps),
        *_late_perceptual(config, data.steps),
        *_freezing(config, data.steps),
        *average,
        *_monitor(config, data.steps),
        pictures,
    ]


def build_guard(
    config: Config, data: Data, record: Callable[[dict[str, Any]], None], begun: int
) -> list[keras.callbacks.Callback]:
    """Build the guard against numbers that are not finite, if it is wanted; see `NumericGuard`.

    It needs to see the whole step: it runs on one device, and on several with JAX.
    """
    action, events = config.training.numeric_guard, config.training.guard_events
    if action == "off":
        return []
    if _is_split(config):
        message = f"expected off with training.devices={config.training.devices} on {config.backend}, got {action}"
        warnings.warn(f"training.numeric_guard: {message}; this run goes without it", stacklevel=2)
        return []
    return [NumericGuard(action, events, record, functools.partial(data.names, config), begun)]


def _is_split(config: Config) -> bool:
    return config.training.devices > 1 and config.backend != "jax"


def build_tensorboard(config: Config, logs: Path, pictures: Path | None = None) -> list[TensorBoard]:
    """Build the callback that writes scalars, and the pictures of a folder, to `logs`, if it is wanted."""
    return [TensorBoard(logs, pictures)] if config.training.tensorboard else []


def build_second_stage_callbacks(config: Config) -> list[keras.callbacks.Callback]:
    """Build the callbacks of the second stage: the halvings of its step size, if any."""
    return _halving(config.second_stage.learning_rate, config.second_stage.halve_every)


def _halving(rate: float, every: int) -> list[keras.callbacks.Callback]:
    return [StepSizeHalving(rate, every)] if every else []


def _scheduled(config: Config, begun: int) -> list[keras.callbacks.Callback]:
    training = config.training
    if training.schedule == "constant":
        return []
    critic = {"critic": training.critic_learning_rate} if config.has_critic else {}
    peaks = {"autoencoder": training.learning_rate, **critic}
    return [StepSizeSchedule(training.schedule, peaks, training.epochs, begun)]


def _warmup(config: Config, steps: int) -> list[WeightSchedule]:
    """Build the schedule of the weight that holds the latents to the prior, if there is a warm-up."""
    loss = config.loss
    if not loss.warmup:
        return []
    ends = {name: getattr(loss, name) for name in OBJECTIVES[config.model.name].warmup}
    name = next(name for name, end in ends.items() if end is not None)
    length = max(1, round(loss.warmup * steps))
    return [WeightSchedule(WARMED[name], Schedule(ends[name], length, **WARMUPS[loss.warmup_shape]))]


def _late_critic(config: Config, steps: int) -> list[WeightSchedule]:
    """Build the schedules of the adversarial term and of the critic's own loss, if they do not act from the start.

    Unless `loss.critic_start` is set, the critic trains from the first step, so it is warm when the term sets in.
    """
    if not config.has_critic:
        return []
    loss = config.in_steps(steps).loss
    delay, length = round(loss.adversarial_start), round(loss.adversarial_ramp)
    idle = round(loss.critic_start) if is_read(config, "loss.critic_start") else 0
    whole = steps * config.training.epochs
    if delay >= whole:
        message = f"expected fewer than the {whole} steps of the training, got {delay}: the critic's term never sets in"
        warnings.warn(f"loss.adversarial_start: {message}", stacklevel=2)
        return [WeightSchedule("adversarial", Schedule(0.0, 0))]
    late = [WeightSchedule("adversarial", Schedule(loss.adversarial_weight, length, delay=delay))]
    later = [WeightSchedule("critic", Schedule(loss.critic_weight, 0, delay=idle))]
    return [*(late if delay or length else []), *(later if idle else [])]


def _late_perceptual(config: Config, steps: int) -> list[WeightSchedule]:
    """Build the schedule of the perceptual term, if there is one that does not act in full from the start."""
    loss = config.in_steps(steps).loss
    delay, length = round(loss.perceptual_start), round(loss.perceptual_ramp)
    if not loss.perceptual_weight or not (delay or length):
        return []
    return [WeightSchedule("perceptual", Schedule(loss.perceptual_weight, length, delay=delay))]


def _freezing(config: Config, steps: int) -> list[EncoderFreeze]:
    after = round(config.in_steps(steps).training.freeze_encoder)
    return [EncoderFreeze(after)] if after else []


def _monitor(config: Config, steps: int) -> list[CollapseMonitor]:
    wanted = config.training.collapse_monitor
    # In the first steps and during the warm-up, collapsed latents may still wake up.
    start = math.ceil(max(config.loss.warmup, WAKING_STEPS / steps))
    return [CollapseMonitor(start=start, stop=wanted == "stop")] if wanted else []
