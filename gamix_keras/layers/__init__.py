"""Layers: convolution, sampling, moments of q(z), learned scale, residual blocks, normalisation, attention, blur."""

from gamix_keras.layers.activation import LeakyReLU
from gamix_keras.layers.attention import AddPositions, PrependToken, SelfAttention, TransformerBlock
from gamix_keras.layers.augmentation import DifferentiableAugmentation
from gamix_keras.layers.balance import RunningBalance
from gamix_keras.layers.blur import BlurResample2D
from gamix_keras.layers.convolution import Conv2D, Conv2DTranspose
from gamix_keras.layers.dense import Dense, EinsumDense
from gamix_keras.layers.draws import AggregateDraws
from gamix_keras.layers.ema import MovingAverage
from gamix_keras.layers.moments import AggregateMoments
from gamix_keras.layers.normalisation import (
    BatchNormalization,
    GroupNormalization,
    LayerNormalization,
    PlaneNormalization,
    ScaleShift,
    make_normalisation,
)
from gamix_keras.layers.projection import RandomProjection
from gamix_keras.layers.residual import PreActivatedConv, ResidualBlock
from gamix_keras.layers.sampling import GaussianSampling
from gamix_keras.layers.scale import AverageDistance, LearnedLogScale
from gamix_keras.layers.spectral import SpectralNorm
from gamix_keras.layers.subpixel import DepthToSpace

__all__ = [
    "AddPositions",
    "AggregateDraws",
    "AggregateMoments",
    "AverageDistance",
    "BatchNormalization",
    "BlurResample2D",
    "Conv2D",
    "Conv2DTranspose",
    "Dense",
    "DepthToSpace",
    "DifferentiableAugmentation",
    "EinsumDense",
    "GaussianSampling",
    "GroupNormalization",
    "LayerNormalization",
    "LeakyReLU",
    "LearnedLogScale",
    "MovingAverage",
    "PlaneNormalization",
    "PreActivatedConv",
    "PrependToken",
    "RandomProjection",
    "ResidualBlock",
    "RunningBalance",
    "ScaleShift",
    "SelfAttention",
    "SpectralNorm",
    "TransformerBlock",
    "make_normalisation",
]
