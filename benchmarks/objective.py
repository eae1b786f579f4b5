"""The numbers of GAMIX's objective that the loops written by hand need."""

import math
from typing import Any, NamedTuple

from gamix_keras.config import Config


class Objective(NamedTuple):
    """The numbers of the loss and the optimizers in a configuration; see `GAMIXVAE` for the terms.

    Attributes:
        scale: The scale b of the Laplace likelihood.
        pixels: The number of values in an image.
        global_weight: The weight of the global KL.
        variance_weight: The weight of the variance term.
        adversarial_weight: The weight of the adversarial term.
        critic_weight: The weight of the critic's own loss.
        rates: The learning rates of Adam for the autoencoder and for the critic.
        beta_1: The beta_1 of both.
        ema_decay: The decay of the average of the weights; None if there is no average.
    """

    scale: float
    pixels: int
    global_weight: float
    variance_weight: float
    adversarial_weight: float
    critic_weight: float
    rates: tuple[float, float]
    beta_1: float
    ema_decay: float | None

    def loss(self, error: Any, moments: Any, penalty: Any, fooled: Any) -> Any:
        """Return the autoencoder's loss in nats per image from sum |x - y| and the other terms."""
        reconstruction = error / self.scale + self.pixels * math.log(2.0 * self.scale)
        latent = self.global_weight * moments + self.variance_weight * penalty
        return reconstruction + latent + self.adversarial_weight * fooled


def objective(config: Config) -> Objective | None:
    """Read a configuration; return None if it has more than the loops written by hand have."""
    loss, training = config.loss, config.training
    plain = (config.model.name, loss.likelihood, loss.moments, loss.momentum, loss.adversarial) == (
        ("gamix", "laplace", "means", None, "bce")
    )
    more = loss.r1_weight or loss.adaptive_weight or training.clip_norm or isinstance(config.likelihood_scale, str)
    if not plain or more or not config.model.critic:
        return None
    weights = (loss.global_weight, loss.variance_weight, loss.adversarial_weight, loss.critic_weight)
    rates = (training.learning_rate, training.critic_learning_rate)
    return Objective(config.likelihood_scale, config.pixels, *weights, rates, training.beta_1, training.ema_decay)
