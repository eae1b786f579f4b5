"""The numbers of GAMIX's objective, as the loops written by hand need them."""

import math
from typing import Any, NamedTuple

from gamix_keras.config import Config


class Objective(NamedTuple):
    """What a configuration says of the loss and the optimizers; see `GAMIXVAE` for the terms.

    Attributes:
        scale: b of Laplace.
        pixels: P.
        global_weight, variance_weight, adversarial_weight, critic_weight: Of the terms.
        rates: Adam's step sizes, of the autoencoder and of the critic.
        beta_1: Of both.
        ema_decay: Of the average of the weights; None keeps none.
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
        """The autoencoder's loss, nats per image, from sum |x - y| and the other terms."""
        reconstruction = error / self.scale + self.pixels * math.log(2.0 * self.scale)
        latent = self.global_weight * moments + self.variance_weight * penalty
        return reconstruction + latent + self.adversarial_weight * fooled


def objective(config: Config) -> Objective | None:
    """Read a configuration; None where it asks for more than the loops written by hand have."""
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
