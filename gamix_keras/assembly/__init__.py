"""From a configuration to objects: the one place in which a name becomes a class."""

from gamix_keras.assembly.callbacks import (
    WARMUPS,
    build_callbacks,
    build_guard,
    build_second_stage_callbacks,
    build_tensorboard,
)
from gamix_keras.assembly.models import JIT, build_model, build_second_stage, parameter_counts, use_perceptual
from gamix_keras.assembly.networks import build_critic, build_decoder, build_encoder
from gamix_keras.assembly.sources import (
    HELD_OUT,
    SHOWN_IMAGES,
    Data,
    batches_in_order,
    build_data,
    open_image,
    open_source,
)

__all__ = [
    "Data",
    "HELD_OUT",
    "JIT",
    "SHOWN_IMAGES",
    "WARMUPS",
    "batches_in_order",
    "build_callbacks",
    "build_critic",
    "build_data",
    "build_decoder",
    "build_encoder",
    "build_guard",
    "build_model",
    "build_second_stage",
    "build_second_stage_callbacks",
    "build_tensorboard",
    "open_image",
    "open_source",
    "parameter_counts",
    "use_perceptual",
]
