"""What every image VAE can do: encode, decode, reconstruct, sample, be saved."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import MappingProxyType
from typing import Any

import keras
import numpy as np
from keras import ops

from gamix_keras import gaussian
from gamix_keras.layers import AverageDistance, GaussianSampling, LearnedLogScale
from gamix_keras.layers.ema import MovingAverage
from gamix_keras.losses import PerceptualLoss, StandardKL
from gamix_keras.metrics import ActiveUnits, PeakSignalToNoise
from gamix_keras.models.networks import functional_pair
from gamix_keras.models.perceptual_term import PerceptualTerm
from gamix_keras.models.pixels import check_pixels
from gamix_keras.models.term_weights import TermWeights
from gamix_keras.training import Batch, OptionalMean, PhasedModel, Terms
from gamix_keras.training.fitting import drawn_seed
from gamix_keras.training.pass_noise import pass_noise
from gamix_keras.training.trackers import PassMean, PassStatistics

Tensor = Any


class ImageVAE(PerceptualTerm, PhasedModel):
    """Interface of the image VAEs. Images are float32 (B, H, W, C) in [-1, 1], latents float32 (B, D).

    | `fit`, `evaluate` | what happens |
    | --- | --- |
    | `y` of the images' shape | the target: the model reconstructs y from x (a denoising VAE) |
    | `y` of labels, (B,) or (B, K) | ignored, but for `class_weight` |
    | `sample_weight`, `class_weight` | each image's terms are multiplied by its weight and averaged over all images |

    The moments of q(z) and the free bits, which are one number for a batch, do not weigh images. `psnr` and
    `active_units` are means by weight. What regularisers and `add_loss` of the networks add to the loss is logged as
    `regularisation` (of the critic, which minimises it in its own phase, as `critic_regularisation`).

    Args:
        encoder: Maps images to [mean, log_var], each (B, D). A subclassed network need not be functional: one that was
            never called is built to fit the other, if that one was.
        decoder: Maps latents (B, D) to the location of the likelihood, (B, H, W, C), or (B, H, W, 2C) if it also gives
            a scale per pixel.
        likelihood: Reconstruction term, a class of `gamix_keras.losses`.
        seed: Seed of the posterior's noise; None draws one, which `keras.utils.set_random_seed` governs.
        ema_decay: None, or the decay of a moving average of the weights that is kept beside them, see `MovingAverage`
            and `averaged`.
        ema_start: Training steps before that average begins.
        term_weights: Weights of terms by name, see `TermWeights`.
        perceptual: None, or what `use_perceptual` takes.
        perceptual_weight: See `use_perceptual`; needed with `perceptual`.

    Attributes:
        term_weights: The weights of the terms by name; schedules and other callbacks may assign them.
        perceptual: The perceptual loss, or None.
        encoder_rests: Whether `freeze_encoder` was called.
    """

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        likelihood: keras.losses.Loss,
        seed: int | None = None,
        ema_decay: float | None = None,
        ema_start: int = 0,
        term_weights: Mapping[str, float] = MappingProxyType({}),
        perceptual: PerceptualLoss | Sequence[str] | keras.Model | None = None,
        perceptual_weight: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.term_weights = TermWeights(term_weights)
        owner = type(self).__name__
        if not isinstance(likelihood, keras.losses.Loss):
            raise ValueError(f"{owner}: likelihood: expected one of gamix_keras.losses, got {likelihood!r}")
        self.encoder, self.decoder = functional_pair(owner, encoder, decoder, _channel_factor(likelihood))
        self.likelihood = likelihood
        self.seed = drawn_seed() if seed is None else seed
        self.sampler = GaussianSampling(self.seed, name="sampler")
        self.log_scale = LearnedLogScale(name="log_scale") if likelihood.scale == "learned" else None
        self.average_distance = AverageDistance(name="average_distance") if likelihood.scale == "optimal" else None
        self.encoder_rests = False
        self.ema_decay, self.ema_start = ema_decay, ema_start
        self.ema = None if ema_decay is None else MovingAverage(ema_decay, ema_start, name="ema")
        self.kl = self.standard_kl = StandardKL()
        self._check_shapes()
        names = ("loss", "reconstruction", "kl", "elbo", *self.extra_terms)
        self.trackers = {name: PassMean(name) for name in names}
        self.pass_statistics: str | None = None
        self.trackers["psnr"] = PeakSignalToNoise(name="psnr")
        self.trackers["active_units"] = ActiveUnits(self.latent_dim, name="active_units")
        for name in self.optional_terms:
            self.trackers[name] = OptionalMean(name)
        for name, tracker in self.trackers.items():  # for mode="auto" of Keras's callbacks
            tracker._direction = "up" if name in ("elbo", "psnr", "active_units") else "down"
        if perceptual is not None:
            self.use_perceptual(perceptual, perceptual_weight)

    def objective(self, terms: Terms) -> Tensor:
        """Return the loss that is made of terms."""
        raise NotImplementedError

    def gather(self, statistics: PassStatistics, term: str | None = None) -> None:
        """Take the loss of a validation pass, and maybe a term, over the whole pass rather than batch by batch.

        Args:
            statistics: What the pass gathers from (mean, log_var) and maybe weights of images.
            term: Name of the term that is the statistics' value.
        """
        self.pass_statistics = statistics.name
        self.trackers[statistics.name] = statistics
        if term is not None:
            self.trackers[term].attach(statistics)
        self.trackers["loss"].attach(statistics, self._objective_of_pass)

    def _objective_of_pass(self) -> Tensor:
        means = [tracker for tracker in self.trackers.values() if isinstance(tracker, PassMean)]
        terms = {tracker.name: tracker.result() for tracker in means if tracker.name != "loss"}
        optional = [self.trackers[name] for name in self.optional_terms]
        return self.objective(terms | {tracker.name: tracker.mean() for tracker in optional if not tracker.is_silent})

    @property
    def optional_terms(self) -> tuple[str, ...]:
        """The names of terms that are logged only if the model turns out to have them."""
        return ("regularisation", "perceptual")

    @property
    def extra_terms(self) -> tuple[str, ...]:
        """The names of the terms that a model logs in addition to those that all have."""
        return ()

    @property
    def phase_names(self) -> tuple[str, ...]:
        """The names of the phases: one, unless a model says otherwise."""
        return ("autoencoder",)

    @property
    def latent_dim(self) -> int:
        """D, the number of latents."""
        return self.decoder.input_shape[-1]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        return tuple(self.encoder.input_shape[1:])

    @property
    def autoencoder_variables(self) -> list[keras.Variable]:
        """The variables that the autoencoder's phase moves."""
        scale = self.log_scale.trainable_variables if self.log_scale else []
        return [*self.encoder.trainable_variables, *self.decoder.trainable_variables, *scale]

    @property
    def averaged_variables(self) -> list[keras.Variable]:
        """What `ema` averages: encoder, decoder and log-scale, moving statistics of their normalisations included."""
        return [v for part in (self.encoder, self.decoder, self.log_scale) if part is not None for v in part.weights]

    def freeze_encoder(self) -> None:
        """Leave the encoder as it is from now on, to the bit: only the decoder, its scale and a critic train on.

        The posteriors of an image stay the same, so a sampler that was fitted to them stays valid. The encoder runs as
        at inference: its normalisation takes moving statistics and moves none, its dropout is off. If averaged weights
        are kept, it takes its averages first, so that both remain one encoder. The terms of the latents are constants
        of its posteriors.

        A step then has no pass back through the encoder; the train function is compiled anew. No file says so: after
        loading, call it again, or train with `EncoderFreeze`. In the midst of a fit on JAX, `jax_state_sync()` comes
        first.
        """
        if self.encoder_rests:
            return
        if self.ema is not None:
            self.ema.settle(self.averaged_variables, self.encoder.weights)
        self.encoder_rests = True
        if self.train_function is not None:
            self.make_train_function(force=True)

    @property
    def resting_variables(self) -> list[keras.Variable]:
        """Those of the encoder, once it is frozen."""
        return self.encoder.trainable_variables if self.encoder_rests else []

    def after_step(self) -> None:
        """Move the average of the weights, if one is kept."""
        if self.ema is not None:
            self.ema.update(self.averaged_variables, self.has_moved())

    @property
    def settled_variables(self) -> list[keras.Variable]:
        """The averages follow the weights."""
        return [] if self.ema is None else self.ema.variables

    def averaged(self) -> AbstractContextManager[None]:
        """Return a context in which the networks hold their averaged weights: `with model.averaged(): ...`.

        For sampling, evaluation and export, not for training or saving. It does nothing if no average is kept.
        """
        return nullcontext() if self.ema is None else self.ema.swapped(self.averaged_variables)

    def adopt_average(self) -> None:
        """Put the moving average into the networks for good, if one is kept: for a model that is not trained on."""
        if self.ema is not None:
            self.ema.adopt(self.averaged_variables)

    @property
    def setting_variables(self) -> list[keras.Variable]:
        """The weights of the terms."""
        return self.term_weights.variables

    def build(self, input_shape: Any = None) -> None:
        """Build the layers that are not networks."""
        latent = (None, self.latent_dim)
        if not self.sampler.built:
            self.sampler.build(latent, latent)
        if self.log_scale is not None and not self.log_scale.built:
            self.log_scale.build(())
        if self.average_distance is not None and not self.average_distance.built:
            self.average_distance.build(())
        if self.ema is not None and not self.ema.built:
            self.ema.build([tuple(variable.shape) for variable in self.averaged_variables])

    def call(self, images: Tensor, training: bool = False) -> Tensor:
        """Return reconstructions from the posterior mean, or from a sample in training, clipped to [-1, 1]."""
        mean, log_var = self.encoder(images, training=training)
        output = self.decoder(self.sampler(mean, log_var, training=training), training=training)
        return self.likelihood.image(output)

    def encode(self, images: Any) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of q(z|x), each (B, D); the log-variance is within [-30, 20]."""
        mean, log_var = self.encoder(_tensor(images), training=False)
        return ops.cast(mean, "float32"), gaussian.clip_log_var(log_var)

    def decode(self, latents: Any) -> Tensor:
        """Return images (B, H, W, C) in [-1, 1] of latents (B, D)."""
        return self.likelihood.image(self.decoder(_tensor(latents), training=False))

    def reconstruct(self, images: Any) -> Tensor:
        """Return images decoded from the posterior means."""
        return self.decode(self.encode(images)[0])

    def unpack(self, data: Any) -> Batch:
        """Return a batch, checked to be of the model's images."""
        batch = super().unpack(data)
        shape = tuple(batch.images.shape[1:])
        if len(shape) != 3:
            hint = "; add the channel axis: images[..., None]" if len(shape) == 2 else ""
            raise ValueError(f"images: expected (B, H, W, C), got (B, {self._shown(shape)}){hint}")
        if any(None not in sides and sides[0] != sides[1] for sides in zip(shape, self.image_shape, strict=True)):
            raise ValueError(f"images: expected (B, {self._shown(self.image_shape)}), got (B, {self._shown(shape)})")
        return batch

    @staticmethod
    def _shown(shape: tuple[int | None, ...]) -> str:
        return ", ".join(map(str, shape))

    def look_at(self, data: Any) -> None:
        """Judge the pixels of a fit's first batch, see `check_pixels`."""
        batch = self.unpack(data)  # which refuses what are no floats
        check_pixels("images", batch.images, self.guarding)
        if batch.targets is not batch.images:
            check_pixels("y", batch.targets, self.guarding)

    def sample(self, count: int, seed: int | None = None, temperature: float = 1.0) -> Tensor:
        """Decode `count` draws from the prior N(0, temperature^2 I); the same seed gives the same images.

        Without a seed, `keras.utils.set_random_seed` governs the draw. Like every method of the model it returns a
        tensor of the backend, so that gradients pass; the methods of `gamix_keras.load(...)` return NumPy arrays.

        The aggregate posterior of GAMIX is not Gaussian: a fitted sampler of `gamix_keras.samplers` samples it better.

        Raises:
            ValueError: If `count` < 1 or `temperature` < 0.
        """
        if count < 1 or temperature < 0:
            raise ValueError(f"sample: expected count >= 1 and temperature >= 0, got {count!r} and {temperature!r}.")
        generator = np.random.default_rng(drawn_seed() if seed is None else seed)
        noise = generator.standard_normal((count, self.latent_dim), dtype="float32")
        return self.decode(temperature * noise)

    def posterior(self, batch: Batch, training: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Return (mean, log_var, z) of a batch.

        Outside training the noise of z depends only on an image's place in the pass, see `pass_noise`: every evaluation
        sees the same, whatever its batches, its devices and the backend.
        """
        mean, log_var = self.encoder(batch.images, training=training and not self.encoder_rests)
        mean, log_var = ops.cast(mean, "float32"), gaussian.clip_log_var(log_var)
        if self.encoder_rests:
            mean, log_var = ops.stop_gradient(mean), ops.stop_gradient(log_var)
        if training:
            return mean, log_var, self.sampler(mean, log_var, training=True)
        return mean, log_var, mean + ops.exp(0.5 * log_var) * pass_noise(batch.start, ops.shape(mean))

    def negative_log_likelihood(
        self, images: Tensor, output: Tensor, weights: Tensor | None = None, training: bool | None = None
    ) -> Tensor:
        """Return the reconstruction term of a decoder's output: nats per image, mean over the batch.

        Args:
            images: Images, (B, H, W, C).
            output: What the decoder returns.
            weights: None, or the weight of each image, (B,).
            training: For an optimal scale: True takes that of the batch and moves the running average, False takes the
                average, None takes that of the batch and moves nothing.
        """
        if self.log_scale is not None:
            output = (output, self.log_scale(output))
        elif self.average_distance is not None and training is not None:
            distance = self.likelihood.mean_distance(images, output)
            distance = self.average_distance(distance, training=training)
            output = (output, self.likelihood.optimal_log_scale(distance))
        return self.likelihood(images, output, sample_weight=weights)

    def common_terms(
        self,
        batch: Batch,
        posterior: tuple[Tensor, Tensor, Tensor],
        training: bool,
        output: Tensor | None = None,
        perceptual: Tensor | None = None,
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Return the terms that every VAE logs, and the decoder's output from z, unless it is given.

        So may be the perceptual term, if there is one.

        `psnr` is of what training sees (a sample's reconstruction); in validation it is of the posterior mean's.
        """
        mean, log_var, z = posterior
        output = self.decoder(z, training=training) if output is None else output
        added = self.added_losses(self.encoder, self.decoder)
        reconstruction = self.negative_log_likelihood(batch.targets, output, batch.weights, training)
        standard = self.standard_kl(mean, log_var, sample_weight=batch.weights)
        kl = self.kl(mean, log_var) if self.kl.free_bits else standard
        shown = self.likelihood.image(output if training else self.decoder(mean, training=False))
        terms = {
            "reconstruction": reconstruction,
            "kl": kl,
            "elbo": -(reconstruction + standard),
            "psnr": (batch.targets, shown, *batch.pair_weights),
            "active_units": (mean, *batch.pair_weights),
            **self.metric_terms(batch.targets, shown),
        }
        if added is not None:
            terms["regularisation"] = added
        if self.perceptual is not None:
            given = perceptual is not None
            terms["perceptual"] = perceptual if given else self.perceptual_term(batch, output, training)
        if self.pass_statistics is not None and not training:
            terms[self.pass_statistics] = (mean, log_var, *batch.pair_weights)
        return terms, output

    def _check_shapes(self) -> None:
        outputs = self.decoder.output_shape[1:]
        expected = (*self.image_shape[:2], _channel_factor(self.likelihood) * self.image_shape[2])
        if tuple(outputs) != expected:
            raise ValueError(f"{type(self).__name__}: decoder: expected output {expected}, got {tuple(outputs)}.")
        latent = self.encoder.output_shape[0][-1]
        if latent != self.latent_dim:
            raise ValueError(
                f"{type(self).__name__}: decoder: expected the encoder's {latent} latents, got {self.latent_dim}."
            )

    def get_config(self) -> dict[str, Any]:
        """Return the parts, serialised, the seed and the moving average's numbers."""
        parts = {"encoder": self.encoder, "decoder": self.decoder, "likelihood": self.likelihood}
        serialised = {name: keras.saving.serialize_keras_object(part) for name, part in parts.items()}
        average = {"ema_decay": self.ema_decay, "ema_start": self.ema_start}
        changed = self.term_weights.changed()
        weights = {"term_weights": changed} if changed else {}
        return {"name": self.name, "seed": self.seed, **average, **weights, **self.perceptual_config(), **serialised}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "ImageVAE":
        """Rebuild the parts and the model, with the weights of the terms as they were."""
        config = dict(config)
        changed = config.pop("term_weights", {})
        model = cls(**rebuilt_parts(config, custom_objects))
        model.term_weights.assign(changed)
        return model


def rebuilt_parts(config: dict[str, Any], custom_objects: Any = None) -> dict[str, Any]:
    """Return a configuration with every serialised part made an object again; numbers and names stay."""
    restore = keras.saving.deserialize_keras_object
    is_part = lambda value: isinstance(value, dict) and "class_name" in value  # noqa: E731
    return {k: restore(v, custom_objects=custom_objects) if is_part(v) else v for k, v in config.items()}


def _channel_factor(likelihood: keras.losses.Loss) -> int:
    return 2 if likelihood.scale == "per_pixel" else 1


def _tensor(values: Any) -> Tensor:
    return ops.convert_to_tensor(values, dtype="float32")
