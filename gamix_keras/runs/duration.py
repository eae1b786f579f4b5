"""How many epochs a training of some minutes has: a few steps are timed before it begins."""

import time

import keras

from gamix_keras import assembly
from gamix_keras.config import Config, UserError

WARM_UP_STEPS, TRIAL_STEPS, TRIAL_SECONDS = 3, 8, 6.0
# A step without gradients, of a training step.
VALIDATION_SHARE = 0.4


def epochs_in(minutes: float, config: Config) -> int:
    """Return the number of epochs that this machine trains in about so many minutes, at least 1.

    A scratch model makes a few training steps with every term of the objective in force. Start-up, pictures and
    checkpoints are not counted, and the machine may be busier later: take the minutes as approximate.

    Args:
        minutes: Minutes of training, > 0.
        config: The configuration, whose `training.epochs` is not read.

    Raises:
        UserError: If the configuration is for several devices.
    """
    if config.training.devices > 1:
        raise UserError(f"--minutes: expected training.devices=1 with it, got {config.training.devices}")
    trial = config.updated({"training.epochs": 1, **_at_once(config)})
    data, model = assembly.build_data(trial), assembly.build_model(trial)
    steps = data.steps + VALIDATION_SHARE * len(data.sources[1]) / config.training.batch_size
    return max(1, int(60 * minutes / (steps * _seconds_of_a_step(model, data))))


def _at_once(config: Config) -> dict[str, float]:
    """Return the settings with which the terms that start late start at once."""
    names = ("adversarial_start", "critic_start", "perceptual_start")
    return {f"loss.{name}": 0.0 for name in names if getattr(config.loss, name, 0.0)}


def _seconds_of_a_step(model: keras.Model, data: assembly.Data) -> float:
    most = max(1, data.steps)
    _seconds(model, data, min(WARM_UP_STEPS, most))
    count = min(TRIAL_STEPS, most)
    while (seconds := _seconds(model, data, count)) < TRIAL_SECONDS and count < most:
        count = min(2 * count, most)
    return seconds / count


def _seconds(model: keras.Model, data: assembly.Data, steps: int) -> float:
    start = time.perf_counter()
    model.fit(data.training, epochs=1, steps_per_epoch=steps, verbose=0)
    return time.perf_counter() - start
