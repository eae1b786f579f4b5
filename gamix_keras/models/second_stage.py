"""The second stage of Two-Stage VAE: a VAE of latents, and the batches it is trained on.

Symbols: z is a latent of the first stage, (B, D), drawn from a posterior N(mean, diag exp(log_var)) of it; u is the
second stage's own latent, (B, U); y(u) is its decoder, and g_z its one learned scale, a standard deviation.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from gamix_keras import gaussian
from gamix_keras.layers import GaussianSampling, LearnedLogScale
from gamix_keras.losses import StandardKL
from gamix_keras.metrics import ActiveUnits
from gamix_keras.models.base import rebuilt_parts
from gamix_keras.models.networks import functional_pair
from gamix_keras.samplers import Posteriors
from gamix_keras.training import Batch, OptionalMean, Phase, PhasedModel
from gamix_keras.training.fitting import drawn_seed
from gamix_keras.training.pass_noise import SEED, pass_noise

Tensor = Any


@keras.saving.register_keras_serializable("gamix_keras")
class SecondStageVAE(PhasedModel):
    """loss = -log N(z; y(u), g_z^2 I) + KL(q(u|z) || N(0, I)), nats per latent vector (Dai & Wipf 2019, section 4).

    It models q(z) of a first stage, so that y(u) + g_z eps, u ~ N(0, I), are latents that the first decoder knows.
    `fit` takes posteriors of the first stage, mean and log-variance side by side, (B, 2D), see `PosteriorBatches`;
    every step draws z from them anew. As z has noise of its own, the loss is at least the entropy of q(z): unlike a
    scale of pixels, g_z needs no floor.

    Logs `loss`, `reconstruction`, `kl`, `elbo` (nats per latent vector) and `active_units` (of u).

    Args:
        encoder: Network that maps z (B, D) to [mean, log_var] of u, each (B, U).
        decoder: Network that maps u (B, U) to the location of z, (B, D).
        seed: Seed of the draws of z and u; None draws one, see `ImageVAE`.

    Raises:
        ValueError: If the shapes of encoder and decoder do not fit.
    """

    def __init__(self, encoder: keras.Model, decoder: keras.Model, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.encoder, self.decoder = functional_pair("SecondStageVAE", encoder, decoder)
        self.seed = seed = drawn_seed() if seed is None else seed
        # Two streams: with one and the same noise, u would know what z drew. On PyTorch a seed of Keras is the sum of
        # the generator's seed and the number of draws, so seeds must be further apart than draws are many.
        self.first_sampler = GaussianSampling(seed, name="first_sampler")
        self.sampler = GaussianSampling(seed + 2**30, name="sampler")
        self.log_scale = LearnedLogScale(name="log_scale")
        self.kl = StandardKL()
        self._check_shapes()
        names = ("loss", "reconstruction", "kl", "elbo")
        self.trackers = {name: keras.metrics.Mean(name=name) for name in names}
        self.trackers["active_units"] = ActiveUnits(self.latent_dim, name="active_units")
        self.trackers["regularisation"] = OptionalMean("regularisation")
        self.build((None, 2 * self.data_dim))

    @property
    def data_dim(self) -> int:
        """D, the latents of the first stage."""
        return self.decoder.output_shape[-1]

    @property
    def latent_dim(self) -> int:
        """U."""
        return self.decoder.input_shape[-1]

    @property
    def phase_names(self) -> tuple[str, ...]:
        """One phase, under the name that all autoencoders have."""
        return ("autoencoder",)

    def build(self, input_shape: Any = None) -> None:
        """Build the layers that are not networks."""
        for layer, size in ((self.first_sampler, self.data_dim), (self.sampler, self.latent_dim)):
            if not layer.built:
                layer.build((None, size), (None, size))
        if not self.log_scale.built:
            self.log_scale.build(())

    def call(self, posteriors: Tensor, training: bool = False) -> Tensor:
        """Return the location of z that the mean of u decodes to; outside training z is the posterior's mean."""
        z = self.first_sampler(*ops.split(posteriors, 2, axis=-1), training=training)
        mean, log_var = self.encoder(z, training=training)
        return self.decoder(self.sampler(mean, log_var, training=training), training=training)

    def phases(self) -> list[Phase]:
        """Return one: the negative ELBO of z over encoder, decoder and g_z."""
        parts = (self.encoder, self.decoder, self.log_scale)
        variables = [variable for part in parts for variable in part.trainable_variables]
        return [Phase("autoencoder", self.autoencoder_losses, variables, self.phase_optimizer("autoencoder"))]

    def autoencoder_losses(self, batch: Batch, training: bool, carry: dict) -> tuple[dict, dict]:
        """Return the terms of the negative ELBO on a batch of posteriors (B, 2D)."""
        posterior = ops.split(batch.images, 2, axis=-1)
        z = self._draw(self.first_sampler, posterior, batch, training, SEED)
        mean, log_var = self.encoder(z, training=training)
        u = self._draw(self.sampler, (mean, log_var), batch, training, SEED + 1)
        location = self.decoder(u, training=training)
        density = gaussian.log_density(z, location, 2.0 * self.log_scale(location))
        reconstruction = -ops.mean(density if batch.weights is None else batch.weights * density)
        kl = self.kl(mean, log_var, sample_weight=batch.weights)
        loss = reconstruction + kl
        terms = {"loss": loss, "reconstruction": reconstruction, "kl": kl, "elbo": -loss}
        terms |= {"active_units": (mean, *batch.pair_weights), **self.metric_terms(z, location)}
        added = self.added_losses(self.encoder, self.decoder)
        if added is not None:
            terms |= {"regularisation": added, "loss": loss + added}
        return terms, carry

    @staticmethod
    def _draw(sampler: GaussianSampling, posterior: Any, batch: Batch, training: bool, seed: int) -> Tensor:
        mean, log_var = posterior
        if training:
            return sampler(mean, log_var, training=True)
        deviation = ops.exp(0.5 * gaussian.clip_log_var(log_var))
        return ops.cast(mean, "float32") + deviation * pass_noise(batch.start, ops.shape(mean), seed)

    def _check_shapes(self) -> None:
        for part in (self.encoder, self.decoder):
            if isinstance(part.input_shape, list) or len(part.input_shape) != 2:
                raise ValueError(f"SecondStageVAE: {part.name}: expected an input (B, D), got {part.input_shape}.")
        expected = (self.encoder.output_shape[0][-1], self.encoder.input_shape[-1])
        found = (self.decoder.input_shape[-1], self.decoder.output_shape[-1])
        if found != expected:
            sizes = f"{expected[0]} to {expected[1]} latents"
            raise ValueError(f"SecondStageVAE: decoder: expected the encoder's {sizes}, got {found[0]} to {found[1]}.")

    def get_config(self) -> dict[str, Any]:
        """Return the networks, serialised, and the seed."""
        parts = {"encoder": self.encoder, "decoder": self.decoder}
        serialised = {name: keras.saving.serialize_keras_object(part) for name, part in parts.items()}
        return {"name": self.name, "seed": self.seed, **serialised}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "SecondStageVAE":
        """Rebuild the networks and the model."""
        return cls(**rebuilt_parts(config, custom_objects))


class PosteriorBatches(keras.utils.PyDataset):
    """Posteriors as batches (B, 2D), mean and log-variance side by side, for `SecondStageVAE.fit(..., shuffle=False)`.

    Args:
        posteriors: Posteriors of a data set; plain latents have no noise to be drawn.
        batch_size: Posteriors per batch; in training a last batch that is not whole is dropped, unless it is the only
            one.
        training: Whether each epoch has an order of its own, which depends on `seed` and the epoch only. If not, all
            of them come in their own order.
        seed: Seed of the order.
        epoch: First epoch, from 0, so that a resumed training sees the batches of one that never stopped.

    Raises:
        ValueError: If the batch size is below 1.
    """

    def __init__(
        self, posteriors: Posteriors, batch_size: int = 64, *, training: bool = True, seed: int = 0, epoch: int = 0
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"batch_size: expected at least 1, got {batch_size!r}.")
        self.posteriors = posteriors
        self.batch_size = batch_size
        self.training = training
        self.seed = seed
        self.epoch = epoch
        self._order = self._make_order()

    def _make_order(self) -> np.ndarray:
        count = len(self.posteriors.mean)
        if not self.training:
            return np.arange(count)
        return np.random.default_rng([self.seed, self.epoch]).permutation(count)

    def __len__(self) -> int:
        whole, rest = divmod(len(self._order), self.batch_size)
        return whole + (rest > 0 and (not self.training or whole == 0))

    def __getitem__(self, index: int) -> np.ndarray:
        rows = self._order[index * self.batch_size : (index + 1) * self.batch_size]
        mean, log_var = self.posteriors
        # Plain latents are posteriors with as little noise as `clip_log_var` leaves them.
        spread = np.full_like(mean[rows], gaussian.LOG_VAR_RANGE[0]) if log_var is None else log_var[rows]
        return np.concatenate([mean[rows], spread], axis=-1)

    def on_epoch_end(self) -> None:
        """Go on to the next epoch's order."""
        self.epoch += 1
        self._order = self._make_order()
