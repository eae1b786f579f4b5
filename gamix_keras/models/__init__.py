"""Models that `fit` trains: they assemble the networks and terms they are given."""

from gamix_keras.models.gamix import GAMIXVAE
from gamix_keras.models.second_stage import PosteriorBatches, SecondStageVAE
from gamix_keras.models.two_stage import TwoStageVAE
from gamix_keras.models.vae import VAE

__all__ = ["GAMIXVAE", "VAE", "PosteriorBatches", "SecondStageVAE", "TwoStageVAE"]
