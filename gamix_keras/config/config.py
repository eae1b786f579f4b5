"""What a run is made of, as data: frozen dataclasses, to and from JSON and `--set key=value`.

Every setting is declared once, as a dataclass field made by `setting(default, help, ...)`. Its annotation and metadata
drive parsing, validation and what `gamix-keras presets NAME` prints: a new setting is one new line here. A `Config`
that exists is valid, because its constructor checks everything. This module imports no Keras, so that the command line
can read a configuration before it chooses the backend.
"""

import dataclasses
import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from gamix_keras.config.catalogue import LIKELIHOODS, NETWORKS, OBJECTIVES, SCALES
from gamix_keras.config.checks import check_asked, check_together
from gamix_keras.config.reading import described, is_read
from gamix_keras.config.setting import (
    Condition,
    UserError,
    Value,
    check_value,
    declared,
    parse_value,
    setting,
    sides,
    value_kinds,
)
from gamix_keras.config.sources import source_words

BACKENDS = ("tensorflow", "jax", "torch")
CACHES = ("auto", "memory", "disk", "none")
MOMENTS = ("means", "total", "full", "mixture")
WARMUPS = ("linear", "cosine", "cyclical")
BEST = ("val_loss", "val_reconstruction", "val_elbo", "val_psnr")
FULL = ("stop", "pause")
GUARDS = ("skip", "lower", "off")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")

_CRITIC = Condition("model.critic")
_SECOND_STAGE = Condition("second_stage.epochs")


@dataclass(frozen=True)
class DataConfig:
    """Which images are read, and how they are prepared."""

    source: str = setting("faces", source_words(), resumable=True)
    image_size: int | str = setting(
        64, "side of square images in pixels, or height x width: 64x48", low=4, high=4096, sides=True
    )
    channels: int = setting(3, "1 for grey, 3 for colour", low=1, high=3)
    count: int | None = setting(None, "use at most this many images (faces: draw this many)", low=2, high=10**9)
    validation: str | None = setting(None, "source of the held-out images; none splits data.source", resumable=True)
    validation_fraction: float = setting(0.1, "share held out by a hash of the name", above=0, below=1)
    flip: bool = setting(True, "mirror training images at random")
    cache: str = setting("auto", "where decoded images are kept", choices=CACHES, resumable=True)
    max_broken: float = setting(
        0.05, "share of unreadable files that is skipped by name", low=0, high=1, resumable=True
    )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The shape (H, W, C) of the images."""
        return (*sides(self.image_size), self.channels)


@dataclass(frozen=True)
class ModelConfig:
    """Which model is trained, and how large its networks are."""

    name: str = setting("gamix", "the objective", choices=tuple(OBJECTIVES))
    network: str = setting("convnet", "the networks", choices=tuple(NETWORKS))
    latent_dim: int = setting(128, "latent dimensions D", low=1, high=65536)
    width: int = setting(32, "channels of the first convolution; of a token, or of a dense layer", low=1, high=8192)
    stages: int = setting(4, "halvings of the resolution", low=1, high=10)
    max_width: int = setting(256, "most channels of any layer", low=1, high=8192)
    norm: str = setting("none", "normalisation", choices=("none", "group", "batch"))
    encoder_blocks: int = setting(2, "residual blocks before each halving", low=1, high=100)
    decoder_blocks: int = setting(1, "residual blocks before each doubling", low=1, high=100)
    bottleneck: int = setting(64, "channels of the smallest map", low=1, high=8192)
    units: int = setting(1024, "units of the dense layers", low=1, high=65536)
    patch: int = setting(8, "side of a patch in pixels", low=1, high=4096)
    heads: int = setting(4, "attention heads", low=1, high=1024)
    depth: int = setting(4, "transformer blocks, or hidden layers of the mlp", low=1, high=1000)
    critic: bool = setting(True, "train against a PatchGAN critic")
    critic_width: int = setting(64, "channels of the critic's first convolution", low=1, high=8192, needs=_CRITIC)
    critic_norm: str = setting("group", "normalisation of the critic", choices=("group", "none"), needs=_CRITIC)
    critic_spectral_norm: bool = setting(False, "hold the spectral norm of the critic's kernels at 1", needs=_CRITIC)


@dataclass(frozen=True)
class LossConfig:
    """Terms of the objective, in nats per image, and their weights."""

    likelihood: str = setting("laplace", "pixel likelihood", choices=tuple(LIKELIHOODS))
    scale: float | str = setting(
        1.0, "b of Laplace, g of Gaussian or s of logistic, for images in [-1, 1]", above=0, choices=SCALES
    )
    mae_weight: float | None = setting(None, "takes the place of scale: b = pixels / weight", above=0)
    beta: float = setting(1.0, "weight of the standard KL", low=0)
    free_bits: float = setting(0.0, "nats a group of latents may carry free of KL", low=0)
    group_size: int = setting(
        1, "latents of a group of free bits", low=1, high=65536, needs=Condition("loss.free_bits")
    )
    capacity: float | None = setting(None, "nats C of beta |KL - C|", low=0)
    warmup: float = setting(0.0, "epochs in which beta, capacity or global_weight rises from 0", low=0)
    warmup_shape: str = setting(
        "linear", "how it rises; cyclical: in 4 cycles", choices=WARMUPS, needs=Condition("loss.warmup")
    )
    global_weight: float = setting(1.0, "weight of KL(moments of q(z) || N(0, I))", low=0)
    variance_weight: float = setting(0.1, "weight of the posterior variance term", low=0)
    moments: str = setting("means", "moments of q(z)", choices=MOMENTS)
    momentum: float | None = setting(None, "running moments; none: of the batch", low=0, below=1)
    adversarial: str = setting("bce", "adversarial loss", choices=("bce", "hinge", "least_squares"))
    adversarial_weight: float = setting(100.0, "weight of the adversarial term", low=0)
    adversarial_start: float = setting(
        0.0, "steps before it sets in; below 1: share of the training", low=0, needs=_CRITIC, share=True
    )
    adversarial_ramp: float = setting(
        0.0, "steps of its rise after that; below 1: share of the training", low=0, needs=_CRITIC, share=True
    )
    adaptive_weight: bool = setting(False, "also weigh it by the ratio of gradients at the decoder's last kernel")
    critic_weight: float = setting(1.0, "weight of the critic's own loss", low=0)
    r1_weight: float = setting(0.0, "gamma of the R1 penalty on the critic's slope at real images", low=0)


@dataclass(frozen=True)
class TrainingConfig:
    """How long and how fast the model is trained, and what is written while it is."""

    epochs: int = setting(10, "passes over the data", low=1, high=1000000, resumable=True)
    batch_size: int = setting(64, "images of a step", low=1, high=65536)
    learning_rate: float = setting(1e-3, "Adam step size of the autoencoder", above=0)
    critic_learning_rate: float = setting(1e-4, "Adam step size of the critic", above=0, needs=_CRITIC)
    halve_every: int = setting(0, "epochs between two halvings of both step sizes; 0: none", low=0, high=1000000)
    beta_1: float = setting(0.5, "first-moment decay of both Adams", low=0, below=1)
    clip_norm: float | None = setting(None, "clip the norm of the whole gradient to this", above=0)
    ema_decay: float | None = setting(None, "sample and validate with averaged weights: decay", low=0, below=1)
    ema_start: int = setting(
        0, "steps before the average begins", low=0, high=10**9, needs=Condition("training.ema_decay")
    )
    collapse_monitor: bool | str = setting(
        True, "warn of collapse; stop: end training too", choices=("stop",), resumable=True
    )
    devices: int = setting(1, "devices that share each batch", low=1, high=4096, resumable=True)
    precision: str = setting("float32", "compute precision", choices=PRECISIONS)
    jit: str = setting("auto", "compile the step with XLA", choices=("auto", "true", "false"))
    sample_every: int = setting(
        1, "epochs between two sample grids; 0 writes the last only", low=0, high=1000000, resumable=True
    )
    tensorboard: bool = setting(False, "write scalars and sample grids to RUN/tensorboard", resumable=True)
    checkpoint_every: int = setting(1, "epochs between two checkpoints", low=1, high=1000000, resumable=True)
    checkpoint_steps: int | None = setting(None, "steps between two within an epoch", low=1, resumable=True)
    checkpoint_minutes: float | None = setting(15.0, "minutes between two within an epoch", above=0, resumable=True)
    keep_checkpoints: int = setting(2, "how many of the newest are kept", low=1, high=1000000, resumable=True)
    numeric_guard: str = setting(
        "skip", "a step with NaN or infinity is left out; lower: halves the rates too", choices=GUARDS, resumable=True
    )
    guard_events: int = setting(
        10,
        "such steps in a session after which it ends",
        low=1,
        high=10**9,
        resumable=True,
        needs=Condition("training.numeric_guard", ("skip", "lower")),
    )
    full_disk: str = setting("stop", "pause: wait for room with rows and checkpoints", choices=FULL, resumable=True)
    keep_best: str | None = setting(None, "also keep the epoch with the best", choices=BEST, resumable=True)


@dataclass(frozen=True)
class SecondStageConfig:
    """A second VAE, of the first one's latents, trained after it; numbers are those of Dai & Wipf (2019)."""

    epochs: int = setting(
        0, "passes over the latents; 0: no second stage (the paper: 800)", low=0, high=1000000, resumable=True
    )
    batch_size: int = setting(64, "latents of a step", low=1, high=65536, needs=_SECOND_STAGE)
    learning_rate: float = setting(1e-4, "Adam step size", above=0, needs=_SECOND_STAGE)
    halve_every: int = setting(
        300, "epochs between two halvings of the step size; 0: none", low=0, high=1000000, needs=_SECOND_STAGE
    )
    width: int = setting(1024, "units of each hidden layer", low=1, high=65536, needs=_SECOND_STAGE)
    depth: int = setting(3, "hidden layers of encoder and of decoder", low=1, high=100, needs=_SECOND_STAGE)
    checkpoint_every: int = setting(
        10, "epochs between two checkpoints", low=1, high=1000000, resumable=True, needs=_SECOND_STAGE
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
            epochs: Epochs of the training that is shared; None takes `training.epochs`.
        """
        whole = steps * (epochs or self.training.epochs)
        shares = [key for key, entry in settings().items() if entry.metadata["share"] and 0 < self.get(key) < 1]
        return self.updated({key: float(round(self.get(key) * whole)) for key in shares})

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
        'weight of the standard KL (only with model.name=vae)'
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
