"""Measures of reconstructions, generated images and latent codes."""

from gamix_keras.metrics.images import (
    PeakSignalToNoise,
    mean_absolute_error,
    mean_squared_error,
    peak_signal_to_noise,
)
from gamix_keras.metrics.latent import ActiveUnits

__all__ = [
    "ActiveUnits",
    "PeakSignalToNoise",
    "mean_absolute_error",
    "mean_squared_error",
    "peak_signal_to_noise",
]
