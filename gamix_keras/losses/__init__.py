"""Terms of an objective as `keras.losses.Loss` classes, in nats per image.

Each takes `sample_weight` of shape (B,) and reduces as Keras does, sum_i w_i l_i / B with `sum_over_batch_size`. What
is one number for the batch cannot weigh its images: `MomentKL` ignores the weights, `StandardKL` with free bits weighs
each image's KL before the mean over the batch, and `scale="optimal"` is the optimum of the batch without weights.
"""

from gamix_keras.losses.adversarial import AdversarialLoss, gradient_ratio, slope_penalty
from gamix_keras.losses.divergences import MixtureKL, MomentKL, StandardKL
from gamix_keras.losses.likelihoods import BernoulliNLL, DiscretisedLogisticNLL, GaussianNLL, LaplaceNLL
from gamix_keras.losses.perceptual import PerceptualLoss
from gamix_keras.losses.variance import PosteriorVariance

__all__ = [
    "AdversarialLoss",
    "BernoulliNLL",
    "DiscretisedLogisticNLL",
    "GaussianNLL",
    "LaplaceNLL",
    "MixtureKL",
    "MomentKL",
    "PerceptualLoss",
    "PosteriorVariance",
    "StandardKL",
    "gradient_ratio",
    "slope_penalty",
]
