"""Layers: sampling, moments of q(z), learned scale, residual blocks, normalisation."""

from gamix_keras.layers.moments import AggregateMoments
from gamix_keras.layers.sampling import GaussianSampling
from gamix_keras.layers.scale import LearnedLogScale

__all__ = ["AggregateMoments", "GaussianSampling", "LearnedLogScale"]
