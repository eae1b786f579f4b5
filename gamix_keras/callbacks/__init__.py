"""Keras callbacks."""

from gamix_keras.callbacks.history import EpochCheckpoint, EpochHistory
from gamix_keras.callbacks.sample_grid import SampleGrid

__all__ = ["EpochCheckpoint", "EpochHistory", "SampleGrid"]
