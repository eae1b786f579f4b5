"""The step size of every optimizer of a model, as a function of time: halved now and then, or moved in each step."""

import math
from collections.abc import Mapping
from typing import Any

import keras

# The share of the training in which the rates rise.
RISES = {"cosine": 0.05, "one_cycle": 0.15}
FLOOR = 1e-3


class StepSizeHalving(keras.callbacks.Callback):
    """Halves the learning rate after every so many epochs: rate 2^(-floor(epoch / every)), as Dai & Wipf (2019) do.

    The rates of a model with several optimizers keep their ratio. Between two halvings they are left alone, and what
    `NumericGuard` lowered stays lowered: a halving multiplies by the model's `rate_scale`, if it has one. Adds
    `learning_rate`, that of the first optimizer, to the logs of each epoch.

    Args:
        rate: Learning rate of the (first) optimizer at the start, > 0.
        every: Epochs between two halvings, >= 1.
    """

    def __init__(self, rate: float, every: int) -> None:
        super().__init__()
        self.rate = rate
        self.every = every

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the rate at a halving; epochs count from 0."""
        if epoch % self.every == 0:
            scale = getattr(self.model, "rate_scale", 1.0)
            self.model.optimizer.learning_rate = self.rate * 0.5 ** (epoch // self.every) * scale

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Log the rate."""
        if logs is not None:
            logs["learning_rate"] = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))


def step_size_factor(schedule: str, share: float) -> float:
    """Return the factor on the step sizes at a share t of the training.

        one_cycle:  t / w                               t < w = 0.15
                    (1 + cos(pi (t - w) / (1 - w))) / 2   after that
        cosine:     min(t / w, 1) (1 + cos(pi t)) / 2     w = 0.05

    and at least 0.001. `one_cycle` is the rate of Smith & Topin (2018, arXiv 1708.07120) with a cosine for its descent;
    Adam's momentum stays as it is. `cosine` is that of Loshchilov & Hutter (2017, arXiv 1608.03983) without restarts,
    after a short warm-up.

    Args:
        schedule: `cosine` or `one_cycle`.
        share: t, in [0, 1].

    Returns:
        A number in [0.001, 1].

    Raises:
        ValueError: If the schedule is another.

    Examples:
        >>> [round(step_size_factor("one_cycle", share), 3) for share in (0, 0.075, 0.15, 0.575, 1)]
        [0.001, 0.5, 1.0, 0.5, 0.001]
        >>> [round(step_size_factor("cosine", share), 3) for share in (0, 0.05, 0.5, 1)]
        [0.001, 0.994, 0.5, 0.001]
    """
    if schedule not in RISES:
        raise ValueError(f"step_size_factor: schedule: expected one of {', '.join(RISES)}; got {schedule!r}.")
    rise = RISES[schedule]
    risen = min(share / rise, 1.0)
    fall = share if schedule == "cosine" else max(share - rise, 0.0) / (1.0 - rise)
    return max(risen * (1.0 + math.cos(math.pi * fall)) / 2.0, FLOOR)


class StepSizeSchedule(keras.callbacks.Callback):
    """Moves the learning rate of every optimizer of a model by one factor before each step.

        StepSizeSchedule("one_cycle", {"autoencoder": 2e-3, "critic": 2e-4})

    rate = peak * factor(t), see `step_size_factor`, with t = (epoch + share of the epoch) / epochs. So the rates depend
    on the place in the training alone. A resumed training goes on with exactly the rates of one that was never
    interrupted. One that is extended goes on where a training of the new length would be: its rates rise again.

    Every batch counts, also one whose gradients are only accumulated, or one that `NumericGuard` or a float16 loss
    scale left out. What `NumericGuard` lowered stays lowered, also in a saved file: it lowers the peaks. Anything else
    that sets the rates (`ReduceLROnPlateau`, `StepSizeHalving`) is overruled at the next step. A validation pass
    changes nothing, and the `learning_rate` of an epoch's logs is that of its last step. With `steps_per_execution`
    above 1 the rates change once per execution, and if Keras does not know how many steps an epoch has, once per epoch.

    Unlike `keras.optimizers.schedules`, which count the updates of one optimizer, it leaves the rates assignable, and
    is not stored with the optimizer, so the length of the training can change. On JAX each change takes the trainer's
    state back into the variables (a few microseconds of Python per variable, nothing is copied).

    Args:
        schedule: `cosine` or `one_cycle`.
        peaks: Highest learning rate of each phase's optimizer, by the phase's name (`model.phase_names`), > 0.
        epochs: Epochs of the whole training; None takes `epochs` of `fit`.
        begun: Steps of the first epoch of this fit that an earlier one has done.

    Raises:
        ValueError: If the schedule is another or a peak is not above 0; at the start of `fit`, if the model has other
            phases.
    """

    def __init__(self, schedule: str, peaks: Mapping[str, float], epochs: int | None = None, begun: int = 0) -> None:
        super().__init__()
        step_size_factor(schedule, 0.0)
        for name, peak in peaks.items():
            if not 0 < peak < math.inf:
                raise ValueError(f"StepSizeSchedule: peaks: expected numbers above 0, got {peak!r} for {name}.")
        self.schedule = schedule
        self.peaks = dict(peaks)
        self.epochs = epochs
        self.begun = begun

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Check the phases."""
        names = self.model.phase_names
        if set(self.peaks) != set(names):
            raise ValueError(
                f"StepSizeSchedule: peaks: expected one for each of {', '.join(names)}; got {', '.join(self.peaks)}."
            )

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Assign for the epoch as a whole, if its length is not known."""
        self._epoch = epoch
        if self.params.get("steps") is None:
            self._assign(0.0)

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Assign for the step."""
        steps = self.params.get("steps")
        if steps is not None:
            self._assign((self.begun + batch) / (self.begun + steps))

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Begin the next epoch at its first step."""
        self.begun = 0

    def _assign(self, share: float) -> None:
        model = self.model  # on JAX this takes the trainer's state back into the variables
        epochs = self.params["epochs"] if self.epochs is None else self.epochs
        factor = step_size_factor(self.schedule, (self._epoch + share) / epochs) * model.rate_scale
        for name, peak in self.peaks.items():
            model.phase_optimizer(name).learning_rate = peak * factor
