"""What a run is made of, as data. Imports no Keras, so the command line reads it before it chooses the backend."""

from gamix_keras.config.config import Config, flatten, help_of, known_key, parse_assignments, settings
from gamix_keras.config.reading import check_read, is_read
from gamix_keras.config.sections import (
    BACKENDS,
    BEST,
    PRECISIONS,
    DataConfig,
    LossConfig,
    ModelConfig,
    SecondStageConfig,
    TrainingConfig,
)
from gamix_keras.config.setting import (
    Condition,
    UserError,
    Value,
    check_value,
    expected,
    parse_value,
    setting,
    shown,
    sides,
    value_kinds,
)
from gamix_keras.config.sources import SOURCE_KINDS, SourceKind, source_words

__all__ = [
    "BACKENDS",
    "BEST",
    "Condition",
    "Config",
    "DataConfig",
    "LossConfig",
    "ModelConfig",
    "PRECISIONS",
    "SOURCE_KINDS",
    "SecondStageConfig",
    "SourceKind",
    "TrainingConfig",
    "UserError",
    "Value",
    "check_read",
    "check_value",
    "expected",
    "flatten",
    "help_of",
    "is_read",
    "known_key",
    "parse_assignments",
    "parse_value",
    "setting",
    "settings",
    "shown",
    "sides",
    "source_words",
    "value_kinds",
]
