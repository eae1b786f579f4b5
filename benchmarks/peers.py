"""VAEs of pythae 0.1.2, a library in PyTorch and an optional package, trained by its own trainer."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np

PACKAGES = ("pythae", "torch", "pydantic")
CELEBA_SHAPE = (64, 64, 3)


def has_pythae() -> bool:
    """Return whether pythae is installed."""
    return all(map(find_spec, PACKAGES))


def pythae_loop(
    model: keras.Model | None, images: np.ndarray, steps: int, latent_dim: int, folder: Path
) -> Callable[[], int]:
    """Return a function that trains pythae's VAE for some steps and returns the number of images.

    Args:
        model: The model whose encoder and decoder are used, on the torch backend; None for pythae's own for CelebA.
        images: The batch of every step, in [0, 1].
        steps: The number of steps in each call.
        latent_dim: The number of latents.
        folder: A folder for the trainer's files.
    """
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    batch, height, width, channels = images.shape
    settings = VAEConfig(input_dim=(channels, height, width), latent_dim=latent_dim)
    networks = _celeba_networks(settings) if model is None else _wrapped(model)
    pixels = np.tile(images.transpose(0, 3, 1, 2), (steps, 1, 1, 1))
    trainer = BaseTrainer(
        VAE(settings, *networks),
        BaseDataset(_as_tensor(pixels), _as_tensor(np.zeros(len(pixels)))),
        training_config=BaseTrainerConfig(str(folder), per_device_train_batch_size=batch, num_epochs=1),
    )
    trainer.prepare_training()
    trainer.callback_handler.callbacks = []  # its progress bar costs time

    def train() -> int:
        trainer.train_step(epoch=1)
        return len(pixels)

    return train


def _as_tensor(values: np.ndarray) -> object:
    import torch

    return torch.from_numpy(values)


def _celeba_networks(settings: object) -> tuple[object, object]:
    from pythae.models.nn.benchmarks.celeba import Decoder_Conv_AE_CELEBA, Encoder_Conv_VAE_CELEBA

    return Encoder_Conv_VAE_CELEBA(settings), Decoder_Conv_AE_CELEBA(settings)


def _wrapped(model: keras.Model) -> tuple[object, object]:
    """Wrap the networks of a model in pythae's interfaces, which pass images as (B, C, H, W)."""
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.network = model.encoder

        def forward(self, x: Any) -> Any:
            # Contiguous, because our networks are fastest in channels-last order and a view would keep pythae's.
            mean, log_var = self.network(x.permute(0, 2, 3, 1).contiguous(), training=True)
            return ModelOutput(embedding=mean, log_covariance=log_var)

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.network = model.decoder

        def forward(self, z: Any) -> Any:
            return ModelOutput(reconstruction=self.network(z, training=True).permute(0, 3, 1, 2))

    return Encoder(), Decoder()
