"""Terms of an objective as `keras.losses.Loss` classes, in nats per image."""

from gamix_keras.losses.adversarial import AdversarialLoss, gradient_ratio, slope_penalty
from gamix_keras.losses.divergences import MixtureKL, MomentKL, StandardKL
from gamix_keras.losses.likelihoods import BernoulliNLL, DiscretisedLogisticNLL, GaussianNLL, LaplaceNLL
from gamix_keras.losses.variance import PosteriorVariance

__all__ = [
    "AdversarialLoss",
    "BernoulliNLL",
    "DiscretisedLogisticNLL",
    "GaussianNLL",
    "LaplaceNLL",
    "MixtureKL",
    "MomentKL",
    "PosteriorVariance",
    "StandardKL",
    "gradient_ratio",
    "slope_penalty",
]
