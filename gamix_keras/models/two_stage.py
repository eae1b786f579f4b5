"""Two-Stage VAE: an image VAE, and a second VAE that models its latents."""

from operator import attrgetter
from typing import Any, NamedTuple

import keras

from gamix_keras.models.base import ImageVAE, rebuilt_parts
from gamix_keras.models.second_stage import PosteriorBatches, SecondStageVAE
from gamix_keras.samplers import Posteriors, collect_posteriors, fit_sampler
from gamix_keras.training.fitting import drawn_seed, refuse_h5

Tensor = Any
_STAGES = ("stage1", "second_stage")


def _of_first(name: str, meaning: str) -> property:
    return property(attrgetter(f"stage1.{name}"), doc=meaning)


class Histories(NamedTuple):
    """What `TwoStageVAE.fit` returns: the history of each stage."""

    first: keras.callbacks.History
    second: keras.callbacks.History


@keras.saving.register_keras_serializable("gamix_keras")
class TwoStageVAE(keras.Model):
    """u ~ N(0, I), z = second decoder(u) + g_z eps, x = first decoder(z) (Dai & Wipf 2019).

    The first stage is trained on images, then the second on the first one's latents, drawn anew from their posteriors
    in every step. The first stage decides how well images are reconstructed, the second how well they are sampled.
    Saving, and loading on any backend, keeps both stages with their optimizers and random states in one file. Wherever
    an image VAE is wanted, this is one.

        model.compile("adam", second_stage_optimizer="adam")
        model.fit(images, epochs=20, second_stage_epochs=40)          # or, in two calls:
        model.fit_first(images, epochs=20); model.fit_second(images, epochs=40)

    Args:
        stage1: Any image VAE of this package.
        second_stage: A VAE of its latents.

    Raises:
        ValueError: If the second stage models another number of latents than the first has.
    """

    def __init__(self, stage1: ImageVAE, second_stage: SecondStageVAE, **kwargs: Any) -> None:
        super().__init__(dtype="float32", **kwargs)
        if second_stage.data_dim != stage1.latent_dim:
            sizes = f"{stage1.latent_dim} latents, got {second_stage.data_dim}"
            raise ValueError(f"TwoStageVAE: second_stage: expected one of {sizes}.")
        self.stage1 = stage1
        self.second_stage = second_stage
        self.build((None, *self.image_shape))

    def build(self, input_shape: Any = None) -> None:
        """Do nothing: both stages are built."""

    latent_dim = _of_first("latent_dim", "D, the latents of the first stage.")
    image_shape = _of_first("image_shape", "(H, W, C).")
    encoder = _of_first("encoder", "The first stage's encoder.")
    decoder = _of_first("decoder", "The first stage's decoder.")
    likelihood = _of_first("likelihood", "The first stage's likelihood.")
    log_scale = _of_first("log_scale", "The learned scale of the first stage's likelihood, or None.")
    ema = _of_first("ema", "The moving average of the first stage's weights, or None.")

    def compile(
        self,
        optimizer: str | keras.optimizers.Optimizer = "adam",
        second_stage_optimizer: str | keras.optimizers.Optimizer | None = None,
        jit_compile: bool | str = "auto",
        **first_stage: Any,
    ) -> None:
        """Configure the training of both stages.

        Args:
            optimizer: Optimizer of the first stage.
            second_stage_optimizer: None is the paper's Adam with a step size of 1e-4.
            jit_compile: Setting of both, see `PhasedModel.compile`.
            **first_stage: `critic_optimizer=` and whatever else the first stage's `compile` takes.
        """
        self.stage1.compile(optimizer, jit_compile=jit_compile, **first_stage)
        self.second_stage.compile(second_stage_optimizer or keras.optimizers.Adam(1e-4), jit_compile=jit_compile)

    def fit(
        self,
        dataset: Any,
        *,
        epochs: int = 1,
        second_stage_epochs: int = 1,
        second_stage_batch_size: int = 64,
        second_stage_callbacks: list[keras.callbacks.Callback] | None = None,
        validation_data: Any = None,
        limit: int | None = None,
        verbose: str | int = "auto",
        **first_stage: Any,
    ) -> Histories:
        """Train the first stage, then the second: `fit_first` and `fit_second` in one call.

        Args:
            dataset: What `keras.Model.fit` takes.
            epochs: Epochs of the first stage.
            second_stage_epochs: Epochs of the second stage.
            second_stage_batch_size: See `fit_second`.
            second_stage_callbacks: Callbacks of the second stage.
            limit: See `fit_second`.
            validation_data: Images that both stages are evaluated on.
            verbose: As in `keras.Model.fit`.
            **first_stage: `batch_size`, `callbacks`, `steps_per_epoch` and the like.
        """
        shared = {"validation_data": validation_data, "verbose": verbose}
        first = self.fit_first(dataset, epochs=epochs, **shared, **first_stage)
        second = {"batch_size": second_stage_batch_size, "callbacks": second_stage_callbacks, "limit": limit}
        return Histories(first, self.fit_second(dataset, epochs=second_stage_epochs, **second, **shared))

    def fit_first(self, dataset: Any, **kwargs: Any) -> keras.callbacks.History:
        """Train the first stage alone, by `keras.Model.fit`."""
        return self.stage1.fit(dataset, **kwargs)

    def fit_second(
        self,
        dataset: Any,
        *,
        epochs: int = 1,
        batch_size: int = 64,
        validation_data: Any = None,
        initial_epoch: int = 0,
        limit: int | None = None,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Train the second stage on the first one's latents; the first stage stays as it is.

        If the first stage keeps averaged weights, call this and `sample` both within `with model.averaged()`, or
        both outside of it: latents belong to the networks that they came from.

        Args:
            dataset: Images, see `collect_posteriors`, which are encoded once; or their `Posteriors`.
            epochs: Epoch to end at, as in `keras.Model.fit`.
            batch_size: Posteriors per step.
            validation_data: Images or posteriors to evaluate on.
            initial_epoch: Epoch to begin at, for a training that goes on: each epoch has an order of its own.
            limit: Most images to encode; needed if `dataset` has no end.
            **kwargs: `callbacks`, `verbose` and the like.

        Raises:
            ValueError: As `collect_posteriors`.
        """
        batches = PosteriorBatches(
            self._posteriors(dataset, limit), batch_size, seed=self.second_stage.seed, epoch=initial_epoch
        )
        if validation_data is not None:
            held_out = self._posteriors(validation_data, limit)
            kwargs["validation_data"] = PosteriorBatches(held_out, batch_size, training=False)
        return self.second_stage.fit(batches, epochs=epochs, initial_epoch=initial_epoch, shuffle=False, **kwargs)

    def _posteriors(self, dataset: Any, limit: int | None) -> Posteriors:
        return dataset if isinstance(dataset, Posteriors) else collect_posteriors(self.stage1, dataset, limit)

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """Return the first stage's evaluation, which is that of the reconstructions."""
        return self.stage1.evaluate(*args, **kwargs)

    def call(self, images: Tensor, training: bool = False) -> Tensor:
        """Return reconstructions, by the first stage."""
        return self.stage1(images, training=training)

    def encode(self, images: Any) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of q(z|x), by the first stage."""
        return self.stage1.encode(images)

    def decode(self, latents: Any) -> Tensor:
        """Return images (B, H, W, C) in [-1, 1] of latents z (B, D), by the first stage."""
        return self.stage1.decode(latents)

    def reconstruct(self, images: Any) -> Tensor:
        """Return images decoded from the posterior means, by the first stage."""
        return self.stage1.reconstruct(images)

    def averaged(self) -> Any:
        """Return the first stage's context of averaged weights, see `ImageVAE.averaged`."""
        return self.stage1.averaged()

    def sample(self, count: int, seed: int | None = None, temperature: float = 1.0) -> Tensor:
        """Decode `count` draws: from u to z, g_z noise included, to x. The same seed gives the same images.

        Args:
            count: How many, at least 1.
            seed: None for a draw that `keras.utils.set_random_seed` governs.
            temperature: Factor on all noise, >= 0.

        Raises:
            ValueError: If an argument is out of its range.
        """
        seed = drawn_seed() if seed is None else seed
        return self.decode(fit_sampler("second_stage", self).sample(count, seed, temperature))

    def save(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Save both stages as `keras.Model.save` does, to a path that ends in `.keras`."""
        refuse_h5(filepath)
        super().save(filepath, *args, **kwargs)

    def get_compile_config(self) -> dict[str, Any]:
        """Return the settings of each stage that is compiled."""
        stages = {name: getattr(self, name) for name in _STAGES}
        return {name: stage.get_compile_config() for name, stage in stages.items() if stage.compiled}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile the stages of a loaded model."""
        for name, settings in config.items():
            getattr(self, name).compile_from_config(settings)

    def get_config(self) -> dict[str, Any]:
        """Return both stages, serialised, without their optimizers: those belong to the compilation."""
        stages = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in _STAGES}
        for stage in stages.values():
            stage.pop("compile_config", None)
        return {"name": self.name, **stages}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "TwoStageVAE":
        """Rebuild both stages and the model."""
        return cls(**rebuilt_parts(config, custom_objects))
