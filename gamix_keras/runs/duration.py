"""How many epochs a training of some minutes has: a few steps of each of its stages are timed before it begins."""

import time

from gamix_keras import assembly
from gamix_keras.config import Config, UserError
from gamix_keras.config.reading import is_read

WARM_UP_STEPS, TRIAL_STEPS, TRIAL_SECONDS = 3, 10, 4.0
# A step without gradients, of a training step.
VALIDATION_SHARE = 0.4
MOST_EPOCHS = 1000000
Terms = frozenset[str]


def epochs_in(minutes: float, config: Config) -> int:
    """Return the number of epochs that this machine trains in about so many minutes, at least 1.

    A scratch model makes a few training steps as each stage of the training makes them: before the perceptual term and
    the projected critic set in, with one of them, with both. A stage counts for the steps that it holds. The time to
    compile the step is counted; pictures and checkpoints are not, nor that the steps of a frozen encoder are cheaper.
    The machine may be busier later: take the minutes as approximate.

    Args:
        minutes: Minutes of training, > 0.
        config: The configuration, whose `training.epochs` is not read.

    Raises:
        UserError: If the configuration is for several devices.
    """
    if config.training.devices > 1:
        raise UserError(f"--minutes: expected training.devices=1 with it, got {config.training.devices}")
    trial = Trial(config)
    few, many = 1, 2
    while many < MOST_EPOCHS and trial.seconds_of(many) <= 60 * minutes:
        few, many = many, 2 * many
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (middle, many) if trial.seconds_of(middle) <= 60 * minutes else (few, middle)
    return few


class Trial:
    """A scratch model of a configuration, and what its steps cost."""

    def __init__(self, config: Config) -> None:
        trial = config.updated({"training.epochs": 1})
        self.config, self.start_up, self._paces = config, 0.0, {}
        self.data, self.model = assembly.build_data(trial), assembly.build_model(trial)
        if getattr(self.model, "draws", None) is not None:
            self.model.draws.skip_warm_up()

    def seconds_of(self, epochs: int) -> float:
        """Return the seconds of a training of so many epochs."""
        whole = epochs * self.data.steps
        stages = _stages(self.config.updated({"training.epochs": epochs}).in_steps(self.data.steps))
        ends = [*(start for start, _ in stages[1:]), float("inf")]
        spans = [(min(end, whole) - start, terms) for (start, terms), end in zip(stages, ends, strict=True)]
        paces = [(steps, self._pace(terms)) for steps, terms in spans if steps > 0]
        held_out = epochs * len(self.data.sources[1]) / self.config.training.batch_size
        # A validation measures the perceptual distance from the start on.
        validation = held_out * VALIDATION_SHARE * max(pace for _, pace in paces)
        return self.start_up + sum(steps * pace for steps, pace in paces) + validation

    def _pace(self, terms: Terms) -> float:
        """Return the seconds of a step with these of the late terms."""
        if terms not in self._paces:
            weights = self.model.term_weights
            weights.assign({name: weights.given(name) * (name in terms) for name in _late(self.config)})
            self._paces[terms] = self._time()
        return self._paces[terms]

    def _time(self) -> float:
        most = max(1, self.data.steps)
        warm_up = min(WARM_UP_STEPS, most)
        first, count = self._seconds(warm_up), min(TRIAL_STEPS, most)
        while (seconds := self._seconds(count)) < TRIAL_SECONDS and count < most:
            count = min(2 * count, most)
        self.start_up += max(0.0, first - warm_up * seconds / count)
        return seconds / count

    def _seconds(self, steps: int) -> float:
        start = time.perf_counter()
        self.model.fit(self.data.training, epochs=1, steps_per_epoch=steps, verbose=0)
        return time.perf_counter() - start


def _late(config: Config) -> dict[str, float]:
    """Return the terms that cost nothing before they set in, by their names in `term_weights`, and when they do."""
    loss, late = config.loss, {}
    if loss.perceptual_weight:
        late["perceptual"] = loss.perceptual_start
    if config.has_critic and is_read(config, "loss.critic_start"):
        late["critic"] = loss.critic_start
    return late


def _stages(config: Config) -> list[tuple[float, Terms]]:
    """Return each stage of a training whose shares are in steps: its first step, and the late terms in force."""
    late = _late(config)
    starts = sorted({0.0, *late.values()})
    return [(start, frozenset(name for name, own in late.items() if own <= start)) for start in starts]
