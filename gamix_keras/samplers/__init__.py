"""Samplers: approximations of the aggregate posterior q(z), from which new latents are drawn."""

from gamix_keras.samplers.axes import PrincipalAxes, axes_of, principal_axes
from gamix_keras.samplers.base import Sampler, truncate
from gamix_keras.samplers.fit import SAMPLERS, fit_sampler, load_sampler, save_sampler
from gamix_keras.samplers.gaussian import FullGaussianSampler
from gamix_keras.samplers.mixture import MixtureSampler
from gamix_keras.samplers.posteriors import Posteriors, collect_posteriors, draw_latents, total_moments
from gamix_keras.samplers.prior import PriorSampler
from gamix_keras.samplers.second_stage import SecondStageSampler

__all__ = [
    "SAMPLERS",
    "FullGaussianSampler",
    "MixtureSampler",
    "Posteriors",
    "PrincipalAxes",
    "PriorSampler",
    "Sampler",
    "SecondStageSampler",
    "axes_of",
    "collect_posteriors",
    "draw_latents",
    "fit_sampler",
    "load_sampler",
    "principal_axes",
    "save_sampler",
    "total_moments",
    "truncate",
]
