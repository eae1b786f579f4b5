"""One row for each network, critic, likelihood, objective and sampler: what it is, what it reads, what it asks for.

The choices of `--set`, the checks, the assembly and the "only with ..." of the help follow from these rows. A new
network is a file in `networks/` and a row in `NETWORKS`. Nothing here imports Keras: a row names a class, which
`assembly` looks up.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

# From the section `model` to a number that divides a size, and how to write it.
Divisor = Callable[[Any], tuple[int, str]]
SCALES = ("learned", "optimal", "per_pixel")
# What may happen to images before a critic judges them.
AUGMENTATIONS = ("none", "colour", "translation", "colour,translation")
# Where maps can be taken from EfficientNet-Lite0, from the images on.
FEATURE_STAGES = ("stem", "stage1", "stage2", "stage3", "stage4", "stage5", "stage6", "stage7")


def _number(value: int) -> Divisor:
    return lambda model: (value, str(value))


def _stages(model: Any) -> tuple[int, str]:
    return 2**model.stages, f"2^model.stages = {2**model.stages}"


def _patch(model: Any) -> tuple[int, str]:
    return model.patch, f"model.patch = {model.patch}"


def _heads(model: Any) -> tuple[int, str]:
    return model.heads, f"model.heads = {model.heads}"


@dataclass(frozen=True)
class Network:
    """An encoder and a decoder that belong together.

    Attributes:
        encoder, decoder: The classes, as `module.Class` in `gamix_keras.networks`.
        settings: Settings of `model` that are arguments of both, under the same name.
        encoder_settings, decoder_settings: Arguments of one of them, by the setting of `model` that they take.
        fixed: Arguments of both that no setting changes.
        critic: Arguments of the critic beside it that no setting changes.
        size: What divides height and width of the images.
        width: What divides `model.width`.
        bounded: Whether the decoder ends in a bounded activation, which leaves no room for logits or log-scales.
    """

    encoder: str
    decoder: str
    settings: tuple[str, ...]
    encoder_settings: Mapping[str, str] = field(default_factory=dict)
    decoder_settings: Mapping[str, str] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    critic: Mapping[str, Any] = field(default_factory=dict)
    size: Divisor = _number(1)
    width: tuple[Divisor, ...] = ()
    bounded: bool = False

    def reads(self) -> tuple[str, ...]:
        """Return the settings that make a difference to it, by dotted key."""
        return tuple(f"model.{name}" for name in (*self.settings, *self.encoder_settings, *self.decoder_settings))


@dataclass(frozen=True)
class Critic:
    """What judges images and reconstructions.

    Attributes:
        critic: The class, as `module.Class` in `gamix_keras.networks`.
        settings: Arguments by the setting of `model` that they take.
        schedules: Settings of `loss` that move the weight of its own loss.
    """

    critic: str
    settings: Mapping[str, str]
    schedules: tuple[str, ...] = ()

    def reads(self) -> tuple[str, ...]:
        """Return the settings that make a difference to it, by dotted key."""
        return (*(f"model.{name}" for name in self.settings), *(f"loss.{name}" for name in self.schedules))


@dataclass(frozen=True)
class Likelihood:
    """A pixel likelihood.

    Attributes:
        loss: The class, in `gamix_keras.losses`.
        scales: The words that its scale may be, beside a number; None if it has no scale.
        logits: Whether the decoder's output is logits, which must not be bounded.
    """

    loss: str
    scales: tuple[str, ...] | None = SCALES
    logits: bool = False

    def reads(self) -> tuple[str, ...]:
        """Return the settings that make a difference to it, by dotted key."""
        return () if self.scales is None else ("loss.scale", "loss.mae_weight")


@dataclass(frozen=True)
class Objective:
    """What a model minimises.

    Attributes:
        model: The class, in `gamix_keras.models`.
        settings: Settings of `loss` that are its arguments, under the same name.
        critic_settings: The same, of no effect without a critic; without any, there is none.
        warmup: Settings of `loss` that a warm-up may raise from 0: the first that is set.
    """

    model: str
    settings: tuple[str, ...]
    critic_settings: tuple[str, ...] = ()
    warmup: tuple[str, ...] = ()

    def reads(self) -> tuple[str, ...]:
        """Return the settings that make a difference to it, by dotted key."""
        own = [f"loss.{name}" for name in self.settings]
        return (*own, "model.critic", *self.reads_with_critic()) if self.critic_settings else tuple(own)

    def reads_with_critic(self) -> tuple[str, ...]:
        """Return those that make a difference with a critic alone."""
        return tuple(f"loss.{name}" for name in self.critic_settings)


@dataclass(frozen=True)
class Sampler:
    """A way to draw latents.

    Attributes:
        sampler: The class, as `module.Class` in `gamix_keras.samplers`.
        fitted: Whether it is fitted to the training images.
        second_stage: Whether it needs a model with a second stage.
        arguments: Arguments of `fit_sampler` that it takes.
    """

    sampler: str
    fitted: bool = True
    second_stage: bool = False
    arguments: tuple[str, ...] = ()


_RESNET: dict[str, Any] = {
    "encoder": "resnet.ResNetEncoder",
    "decoder": "resnet.ResNetDecoder",
    "settings": ("width", "stages", "bottleneck"),
    "encoder_settings": {"encoder_blocks": "blocks"},
    "decoder_settings": {"decoder_blocks": "blocks"},
    "size": _stages,
}

NETWORKS: dict[str, Network] = {
    "convnet": Network(
        "convnet.ConvEncoder",
        "convnet.ConvDecoder",
        settings=("width", "stages", "max_width", "norm"),
        decoder_settings={"tail": "tail"},
        size=_stages,
        width=(_number(4),),
    ),
    "resnet": Network(**_RESNET),
    "resnet-paper": Network(**_RESNET, fixed={"paper": True}, critic={"paper": True}),
    "infogan": Network(
        "infogan.InfoGANEncoder",
        "infogan.InfoGANDecoder",
        settings=("width", "units"),
        size=_number(4),
        bounded=True,
    ),
    "wae": Network(
        "wae.WAEEncoder",
        "wae.WAEDecoder",
        settings=("width",),
        size=_number(8),
        bounded=True,
    ),
    "transformer": Network(
        "transformer.TransformerEncoder",
        "transformer.TransformerDecoder",
        settings=("width", "patch", "depth", "heads"),
        size=_patch,
        width=(_number(4), _heads),
    ),
    "mlp": Network("mlp.MLPEncoder", "mlp.MLPDecoder", settings=("width", "depth")),
}

CRITICS: dict[str, Critic] = {
    "patchgan": Critic(
        "patchgan.PatchGANCritic",
        settings={"critic_width": "width", "critic_norm": "norm", "critic_spectral_norm": "spectral_norm"},
    ),
    "projected": Critic("projected.ProjectedCritic", settings={"critic_width": "width"}, schedules=("critic_start",)),
}

LIKELIHOODS: dict[str, Likelihood] = {
    "laplace": Likelihood("LaplaceNLL"),
    "gaussian": Likelihood("GaussianNLL"),
    "bernoulli": Likelihood("BernoulliNLL", scales=None, logits=True),
    "discretised_logistic": Likelihood("DiscretisedLogisticNLL", scales=("learned", "per_pixel")),
}

_CRITIC = (
    "adversarial",
    "adversarial_weight",
    "adversarial_samples",
    "critic_weight",
    "r1_weight",
    "adaptive_weight",
    "adaptive_every",
    "augment",
)
_VAE: dict[str, Any] = {
    "model": "VAE",
    "settings": ("beta", "free_bits", "group_size", "capacity"),
    "warmup": ("capacity", "beta"),
}

OBJECTIVES: dict[str, Objective] = {
    "gamix": Objective(
        "GAMIXVAE",
        settings=("moments", "momentum", "global_weight", "variance_weight"),
        critic_settings=_CRITIC,
        warmup=("global_weight",),
    ),
    "vae": Objective(**_VAE),
    "vae-gan": Objective(**_VAE, critic_settings=_CRITIC),
}


def objective_of(model: Any) -> str | None:
    """Return the name of a model's objective, of two stages that of the first; None for a class of one's own."""
    model = getattr(model, "stage1", model)
    names = [name for name, row in OBJECTIVES.items() if row.model == type(model).__name__]
    with_critic = [name for name in names if OBJECTIVES[name].critic_settings]
    return next(iter([*(with_critic if getattr(model, "critic", None) is not None else ()), *names]), None)


SAMPLERS: dict[str, Sampler] = {
    "prior": Sampler("prior.PriorSampler", fitted=False),
    "gaussian": Sampler("gaussian.FullGaussianSampler"),
    "mixture": Sampler("mixture.MixtureSampler", arguments=("components", "covariance")),
    "second_stage": Sampler("second_stage.SecondStageSampler", fitted=False, second_stage=True),
}
