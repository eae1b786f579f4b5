"""What a run is made of, as data. Imports no Keras, so the command line reads it before it chooses the backend."""

from gamix_keras.config.config import (
    BACKENDS,
    BEST,
    PRECISIONS,
    Config,
    DataConfig,
    LossConfig,
    ModelConfig,
    SecondStageConfig,
    TrainingConfig,
    flatten,
    known_key,
    parse_assignments,
    settings,
)
from gamix_keras.config.setting import UserError, Value, check_value, expected, parse_value, setting, value_kinds

__all__ = [
    "BACKENDS",
    "BEST",
    "Config",
    "DataConfig",
    "LossConfig",
    "ModelConfig",
    "PRECISIONS",
    "SecondStageConfig",
    "TrainingConfig",
    "UserError",
    "Value",
    "check_value",
    "expected",
    "flatten",
    "known_key",
    "parse_assignments",
    "parse_value",
    "setting",
    "settings",
    "value_kinds",
]
