"""The sections of a configuration. Every setting is one line here, see `setting`."""

from dataclasses import dataclass

from gamix_keras.config.catalogue import AUGMENTATIONS, CRITICS, LIKELIHOODS, NETWORKS, OBJECTIVES, SCALES
from gamix_keras.config.setting import Condition, setting, sides
from gamix_keras.config.sources import source_words

BACKENDS = ("tensorflow", "jax", "torch")
CACHES = ("auto", "memory", "disk", "none")
MOMENTS = ("means", "total", "full", "mixture")
WARMUPS = ("linear", "cosine", "cyclical")
BEST = ("val_loss", "val_reconstruction", "val_elbo", "val_psnr")
FULL = ("stop", "pause")
GUARDS = ("skip", "lower", "off")
SCHEDULES = ("constant", "cosine", "one_cycle")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")

_CRITIC = Condition("model.critic")
_PERCEPTUAL = Condition("loss.perceptual_weight")
_SECOND_STAGE = Condition("second_stage.epochs")


@dataclass(frozen=True)
class DataConfig:
    """Which images are read, and how they are prepared."""

    source: str = setting("faces", source_words(), resumable=True)
    image_size: int | str = setting(
        64, "side of square images in pixels, or height x width: 64x48", low=4, high=4096, sides=True
    )
    channels: int = setting(3, "1 for grey, 3 for colour", low=1, high=3)
    count: int | None = setting(
        None,
        "at most this many images (faces: as many to train on, held-out ones besides)",
        low=2,
        high=10**9,
    )
    validation: str | None = setting(None, "source of the held-out images; none splits data.source", resumable=True)
    validation_fraction: float = setting(0.1, "share held out by a hash of the name", above=0, below=1)
    flip: bool = setting(True, "mirror training images at random")
    cache: str = setting("auto", "where decoded images are kept", choices=CACHES, resumable=True)
    max_broken: float = setting(
        0.05,
        "share of unreadable files that is skipped by name, and one at least; 0: none",
        low=0,
        high=1,
        resumable=True,
    )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The shape (H, W, C) of the images."""
        return (*sides(self.image_size), self.channels)


@dataclass(frozen=True)
class ModelConfig:
    """Which model is trained, and how large its networks are."""

    name: str = setting("gamix", "the objective; vae-gan: a VAE with a critic", choices=tuple(OBJECTIVES))
    network: str = setting("convnet", "the networks", choices=tuple(NETWORKS))
    latent_dim: int = setting(128, "latent dimensions D", low=1, high=65536)
    width: int = setting(32, "channels of the first convolution; of a token, or of a dense layer", low=1, high=8192)
    stages: int = setting(4, "halvings of the resolution", low=1, high=10)
    max_width: int = setting(256, "most channels of any layer", low=1, high=8192)
    tail: int | None = setting(
        None, "channels of the decoder at full resolution; none: width / 4, max_width / 4 at most", low=1, high=8192
    )
    norm: str = setting("none", "normalisation", choices=("none", "group", "batch"))
    encoder_blocks: int = setting(2, "residual blocks before each halving", low=1, high=100)
    decoder_blocks: int = setting(1, "residual blocks before each doubling", low=1, high=100)
    bottleneck: int = setting(64, "channels of the smallest map", low=1, high=8192)
    units: int = setting(1024, "units of the dense layers", low=1, high=65536)
    patch: int = setting(8, "side of a patch in pixels", low=1, high=4096)
    heads: int = setting(4, "attention heads", low=1, high=1024)
    depth: int = setting(4, "transformer blocks, or hidden layers of the mlp", low=1, high=1000)
    critic: bool = setting(True, "train against a critic")
    critic_network: str = setting(
        "patchgan", "the critic; projected: on a frozen network", choices=tuple(CRITICS), needs=_CRITIC
    )
    critic_width: int = setting(
        64, "channels of the critic's first convolution, or of each projection", low=1, high=8192, needs=_CRITIC
    )
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
    adversarial_samples: float = setting(
        0.0, "draws that the critic judges too, as a share of the batch: decoded, as fakes", low=0, high=8
    )
    adversarial_start: float = setting(
        0.0, "steps before it sets in; below 1: share of the training, at least 300", low=0, needs=_CRITIC, share=300
    )
    adversarial_ramp: float = setting(
        0.0, "steps of its rise after that; below 1: share of the training", low=0, needs=_CRITIC, share=1
    )
    adaptive_weight: bool = setting(False, "also weigh it by the ratio of gradients at the decoder's last kernel")
    adaptive_every: int = setting(
        1,
        "steps between two such ratios, which are averaged; 1: each as it is",
        low=1,
        high=1000000,
        needs=Condition("loss.adaptive_weight"),
    )
    augment: str = setting("none", "change what the critic sees at random, for small data", choices=AUGMENTATIONS)
    critic_weight: float = setting(1.0, "weight of the critic's own loss", low=0)
    critic_start: float = setting(
        0.0, "steps in which the critic is idle; below 1: share of the training, at least 300", low=0, share=300
    )
    r1_weight: float = setting(0.0, "gamma of the R1 penalty on the critic's slope at real images", low=0)
    perceptual_weight: float = setting(0.0, "weight of the perceptual distance; 0: none", low=0, resumable=True)
    perceptual_layers: str = setting(
        "stem,stage2,stage3", "maps of EfficientNet-Lite0 that it compares", resumable=True, needs=_PERCEPTUAL
    )
    perceptual_start: float = setting(
        0.4,
        "steps before it sets in; below 1: share of the training",
        low=0,
        share=1,
        resumable=True,
        needs=_PERCEPTUAL,
    )
    perceptual_ramp: float = setting(
        0.1,
        "steps of its rise after that; below 1: share of the training",
        low=0,
        share=1,
        resumable=True,
        needs=_PERCEPTUAL,
    )


@dataclass(frozen=True)
class TrainingConfig:
    """How long and how fast the model is trained, and what is written while it is."""

    epochs: int = setting(10, "passes over the data", low=1, high=1000000, resumable=True)
    batch_size: int = setting(64, "images of a step", low=1, high=65536)
    learning_rate: float = setting(1e-3, "Adam step size of the autoencoder", above=0)
    critic_learning_rate: float = setting(1e-4, "Adam step size of the critic", above=0, needs=_CRITIC)
    schedule: str = setting(
        "constant",
        "both step sizes over the training; one_cycle: up for 15 %, then down to 0.001",
        choices=SCHEDULES,
        resumable=SCHEDULES[1:],
    )
    halve_every: int = setting(0, "epochs between two halvings of both step sizes; 0: none", low=0, high=1000000)
    freeze_encoder: float = setting(
        0.0,
        "steps after which the decoder trains alone; below 1: share of the training; 0: never",
        low=0,
        share=1,
        resumable=True,
    )
    beta_1: float = setting(0.5, "first-moment decay of both Adams", low=0, below=1)
    critic_beta_1: float | None = setting(
        None, "first-moment decay of the critic's Adam; none: beta_1", low=0, below=1, needs=_CRITIC
    )
    critic_beta_2: float = setting(0.999, "second-moment decay of the critic's Adam", low=0, below=1, needs=_CRITIC)
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
