"""What a run is made of, as data: frozen dataclasses, to and from JSON and `--set key=value`.

Every setting is declared once, in `sections`. Its annotation and metadata drive parsing, validation and what
`gamix-keras presets NAME` prints. A `Config` that exists is valid, because its constructor checks everything. This
module imports no Keras, so that the command line can read a configuration before it chooses the backend.

Why not pydantic: it was tried. `setting`'s limits, choices and text forms would become its fields, but help, conditions
and what may change on resuming would stay, its errors would have to be translated back into one line, and its import
takes as long as all of `gamix-keras --help`.
"""

import dataclasses
import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from gamix_keras.config.checks import check_asked, check_together
from gamix_keras.config.reading import described, is_read
from gamix_keras.config.sections import (
    BACKENDS,
    DataConfig,
    LossConfig,
    ModelConfig,
    SecondStageConfig,
    TrainingConfig,
)
from gamix_keras.config.setting import (
    UserError,
    Value,
    check_value,
    declared,
    parse_value,
    setting,
    value_kinds,
)


@dataclass(frozen=True)
class Config:
    """One run, resolved.

    Args:
        seed: Seeds weights, noise, shuffling and the embedded faces.
        backend: Keras backend.
        data, model, loss, training, second_stage: The sections, see their classes.

    Raises:
        UserError: If a value is wrong, or two values contradict each other.

    Examples:
        >>> config = Config().updated({"model.latent_dim": 64, "loss.mae_weight": 5000.0})
        >>> config.pixels, round(config.likelihood_scale, 2)
        (12288, 2.46)
        >>> config.updated({"model.width": 30})
        Traceback (most recent call last):
        gamix_keras.config.setting.UserError: model.width: expected a multiple of 4 for model.network=convnet, got 30
    """

    seed: int = setting(0, "seeds weights, noise and the order of the data", low=0, high=2**31 - 1)
    backend: str = setting("tensorflow", "Keras backend", choices=BACKENDS, resumable=True)
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    second_stage: SecondStageConfig = field(default_factory=SecondStageConfig)

    def __post_init__(self) -> None:
        for key, entry in settings().items():
            check_value(key, self.get(key), entry)
        check_together(self)

    def get(self, key: str) -> Value:
        """Return the value of a dotted key, such as `"model.latent_dim"`."""
        value = self
        for part in key.split("."):
            value = getattr(value, part)
        return value

    def flat(self) -> dict[str, Value]:
        """Return every setting by its dotted key."""
        return {key: self.get(key) for key in settings()}

    def to_dict(self) -> dict[str, object]:
        """Return nested plain values, ready for JSON."""
        return dataclasses.asdict(self)

    def updated(self, values: Mapping[str, Value]) -> "Config":
        """Return a copy with the dotted keys of `values` replaced, all at once.

        Raises:
            UserError: If a key or a value is wrong, or two values contradict each other.
        """
        config = self._with(values)
        check_asked(config, [key for key, value in values.items() if value != self.get(key)])
        return config

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> "Config":
        """Build a configuration from nested values, of an older run perhaps; what is missing keeps its default.

        Raises:
            UserError: As `updated`, but for what is only refused to who asks for it now.
        """
        return cls()._with(flatten(values))

    def _with(self, values: Mapping[str, Value]) -> "Config":
        return _build({**self.flat(), **{known_key(key): value for key, value in values.items()}})

    def in_steps(self, steps: int, epochs: int | None = None) -> "Config":
        """Return a copy in which what is given as a share of the training is a number of steps.

        Args:
            steps: Steps of an epoch.
            epochs: Epochs of the training that is shared; None takes `training.epochs`. Settings that a resumed run
                may take up are shares of `training.epochs` in any case.

        Settings that are not read stay as they are.
        """
        shares = {key: entry.metadata for key, entry in settings().items() if entry.metadata["share"]}
        planned = {key: self.training.epochs if each["resumable"] else epochs for key, each in shares.items()}
        wholes = {key: steps * (count or self.training.epochs) for key, count in planned.items()}
        given = [key for key in shares if 0 < self.get(key) < 1 and is_read(self, key)]
        steps_of = {key: max(shares[key]["share"], round(self.get(key) * wholes[key])) for key in given}
        return self.updated({key: float(count) for key, count in steps_of.items()})

    @property
    def pixels(self) -> int:
        """The number of values of one image, P = H * W * C."""
        return math.prod(self.data.image_shape)

    @property
    def likelihood_scale(self) -> float | str:
        """The scale b (or g) of the likelihood; `loss.mae_weight` w stands for b = P / w."""
        weight = self.loss.mae_weight
        return self.loss.scale if weight is None else self.pixels / weight

    @property
    def has_critic(self) -> bool:
        """Whether the model is trained against a critic."""
        return is_read(self, "model.critic") and self.model.critic


def settings() -> dict[str, dataclasses.Field]:
    """Return the declaration of every setting by its dotted key, in the order of the classes."""
    return declared(Config)


def help_of(key: str) -> str:
    """Return what a setting does, and what it needs to do anything.

    Examples:
        >>> help_of("loss.beta")
        'weight of the standard KL (only with model.name=vae or vae-gan)'
    """
    return described(Config, key)


def flatten(values: Mapping[str, object], prefix: str = "") -> dict[str, Value]:
    """Turn nested mappings into dotted keys: `{"model": {"width": 8}}` gives `{"model.width": 8}`."""
    if not isinstance(values, Mapping):
        raise UserError(f"{prefix.rstrip('.') or 'config'}: expected an object, got {values!r}")
    flat: dict[str, Value] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if name in _sections():
            flat.update(flatten(value, f"{name}."))
        else:
            flat[name] = value
    return flat


def _sections() -> set[str]:
    return {entry.name for entry in dataclasses.fields(Config) if dataclasses.is_dataclass(entry.type)}


def _build(flat: Mapping[str, Value]) -> Config:
    parts: dict[str, object] = {}
    for key, value in flat.items():
        section, _, name = key.rpartition(".")
        target = parts.setdefault(section, {}) if section else parts
        target[name] = _typed(key, value)
    types_of = {entry.name: entry.type for entry in dataclasses.fields(Config)}
    built = {name: types_of[name](**value) for name, value in parts.items() if isinstance(value, dict)}
    return Config(**{**parts, **built})


def _typed(key: str, value: Value) -> Value:
    """Return a value in its one form: a float if the setting is one, `64` for the size `64x64`."""
    if _wants_float(key, value):
        return float(value)
    if isinstance(value, str) and settings()[key].metadata["sides"]:
        height, _, width = value.partition("x")
        return int(height) if height == width and height.isdecimal() else value
    return value


def _wants_float(key: str, value: Value) -> bool:
    """Whether a whole number stands for a float; beyond 2^53 floats no longer hold every whole number."""
    return float in value_kinds(settings()[key]) and type(value) is int and abs(value) <= 2**53


def known_key(key: str) -> str:
    """Return the key of a setting as it was given.

    Raises:
        UserError: If there is no such setting; the nearest one is suggested.
    """
    names = list(settings())
    if key in names:
        return key
    by_last_part = {name.rpartition(".")[2]: name for name in names}
    near = difflib.get_close_matches(key, names, n=1) or [
        by_last_part[last] for last in difflib.get_close_matches(key.rpartition(".")[2], by_last_part, n=1)
    ]
    hint = f"did you mean {near[0]!r}?" if near else "`gamix-keras presets NAME` lists the keys"
    raise UserError(f"unknown key {key!r}: {hint}")


def parse_assignments(assignments: Iterable[str]) -> dict[str, Value]:
    """Parse `["model.latent_dim=128", ...]` to typed values by dotted key; the last value of a key wins.

    Raises:
        UserError: If one has no `=`, names no setting, or its text cannot be read.

    Examples:
        >>> parse_assignments(["loss.scale=learned", "training.epochs=40", "data.flip=no"])
        {'loss.scale': 'learned', 'training.epochs': 40, 'data.flip': False}
    """
    values = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise UserError(f"--set expects KEY=VALUE, got {assignment!r}")
        key = known_key(key.strip())
        values[key] = parse_value(key, text.strip(), settings()[key])
    return values
