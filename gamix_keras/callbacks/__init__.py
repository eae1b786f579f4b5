"""Keras callbacks."""

from gamix_keras.callbacks.collapse import CollapseMonitor
from gamix_keras.callbacks.ema import EMAWeights
from gamix_keras.callbacks.encoder_freeze import EncoderFreeze
from gamix_keras.callbacks.guard import NumericGuard
from gamix_keras.callbacks.history import EpochCheckpoint, EpochHistory, ResumedMetrics, StepCheckpoint
from gamix_keras.callbacks.progress import TerminalProgress
from gamix_keras.callbacks.sample_grid import SampleGrid
from gamix_keras.callbacks.schedules import Schedule, WeightSchedule
from gamix_keras.callbacks.step_size import StepSizeHalving, StepSizeSchedule, step_size_factor
from gamix_keras.callbacks.tensorboard import TensorBoard

__all__ = [
    "CollapseMonitor",
    "EMAWeights",
    "EncoderFreeze",
    "EpochCheckpoint",
    "EpochHistory",
    "NumericGuard",
    "ResumedMetrics",
    "SampleGrid",
    "Schedule",
    "StepCheckpoint",
    "StepSizeHalving",
    "StepSizeSchedule",
    "TensorBoard",
    "TerminalProgress",
    "WeightSchedule",
    "step_size_factor",
]
