"""The defaults of an evaluation. They stand here because the command line reads them before it loads Keras."""

from gamix_keras.config.catalogue import SAMPLERS
from gamix_keras.config.config import Config

EXTRACTORS = ("efficientnet_lite0", "onet", "inception", "keras:NAME")
DEFAULT_EXTRACTOR = EXTRACTORS[0]
FACE_EXTRACTOR = "onet"
SMALLEST_FACE = 48  # pixels of an image's shorter side below which the detector sees too little
DEFAULT_COUNT = 2000
FEWEST_IMAGES = 20  # ten blocks of two behind the interval of the kernel distance
DEFAULT_SAMPLERS = tuple(name for name, row in SAMPLERS.items() if not row.second_stage)


def default_samplers(has_second_stage: bool) -> tuple[str, ...]:
    """Return the samplers that are measured if none are named."""
    return tuple(SAMPLERS) if has_second_stage else DEFAULT_SAMPLERS


def extractor_help() -> str:
    """Return the help text of `--extractor`."""
    default = f"{DEFAULT_EXTRACTOR}, for faces also {FACE_EXTRACTOR}"
    return f"names of {', '.join(EXTRACTORS)} (default: {default})"


def trained_extractors(config: Config) -> frozenset[str]:
    """Return the extractors on whose features a model of this configuration is trained.

    A distance on such features is what was minimised, more or less, and no judgement.
    """
    projected = config.has_critic and config.model.critic_network == "projected"
    return frozenset({DEFAULT_EXTRACTOR} if config.loss.perceptual_weight or projected else ())
