"""Models that `fit` trains: they assemble the networks and terms they are given."""

from gamix_keras.models.gamix import GAMIXVAE
from gamix_keras.models.vae import VAE

__all__ = ["GAMIXVAE", "VAE"]
