"""The computations of the page of `gamix-keras explore`: images from slider values, from two images, from noise.

Symbols: z is a latent, float32 (D,); an image is an array of bytes (H, W, C). q(z) is the distribution of the latents
of the training images.
"""

import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from gamix_keras import latent_space
from gamix_keras.config import UserError
from gamix_keras.data import to_uint8, to_unit_range
from gamix_keras.data.decoding import BrokenImage, decode_image
from gamix_keras.metrics import peak_signal_to_noise
from gamix_keras.models.compiled import CompiledVAE
from gamix_keras.samplers import PrincipalAxes, Sampler

SLIDERS = 8
REACH = 3.0
SAMPLES = 16


MAX_TEMPERATURE, MAX_SEED = 2.0, 2**31 - 1
FARTHEST = 1e6


def number(name: str, value: object) -> float:
    """Return a finite number that a browser sent, as a float.

    Raises:
        UserError: If it is anything else: text, nothing, infinity.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e300 < value < 1e300:
        raise UserError(f"{name}: expected a number, got {str(value)[:40] or 'nothing'}")
    return float(value)


class Reconstruction(NamedTuple):
    """An image, its reconstruction, and the PSNR of the two in decibels."""

    original: np.ndarray
    image: np.ndarray
    psnr: float


class Explorer:
    """A model, the principal axes of its q(z), and its samplers, which are all it keeps between two calls.

    Both networks are compiled at construction, for one image at a time, so `slide`, `between` and `reconstruct` compile
    nothing. Threads may share an explorer; they take turns.

    Args:
        model: A trained VAE.
        axes: The principal axes of its q(z), see `gamix_keras.samplers.principal_axes`.
        samplers: Functions that return the samplers, by name; each is called once, at the first draw.
        sliders: The largest number of axes to move, the widest first.
    """

    def __init__(
        self,
        model: keras.Model,
        axes: PrincipalAxes,
        samplers: dict[str, Callable[[], Sampler]],
        sliders: int = SLIDERS,
    ) -> None:
        self.image_shape, self.latent_dim = tuple(model.image_shape), model.latent_dim
        self.axes, self.samplers = axes, samplers
        self.sliders = min(sliders, model.latent_dim)
        self._fitted: dict[str, Sampler] = {}
        self._turn = threading.RLock()
        self._networks = CompiledVAE(model)
        self._networks.reconstruct(np.zeros((1, *self.image_shape), "float32"))

    @property
    def center(self) -> np.ndarray:
        """The mean of q(z), (D,), at which the sliders start."""
        return self.axes.center

    @property
    def shares(self) -> np.ndarray:
        """The share of the variance of q(z) along the axis of each slider, in (0, 1], in falling order."""
        variance = np.square(self.axes.std.astype("float64"))
        return variance[: self.sliders] / max(variance.sum(), np.finfo("float64").tiny)

    def slide(self, start: np.ndarray, values: Sequence[float]) -> np.ndarray:
        """Decode z = start + sum_i values_i std_i axis_i.

        Args:
            start: A latent (D,).
            values: Standard deviations of q(z) along the first axes, at most D of them.

        Raises:
            UserError: If a value is missing (an empty number box) or is not finite.
        """
        try:
            deltas = np.array([number("slider", value) for value in values], "float32")
        except UserError:
            raise UserError("slider: expected a number in every box, got none in one of them") from None
        if np.abs(deltas).max(initial=0.0) > FARTHEST:
            raise UserError(f"slider: expected at most {FARTHEST:g} standard deviations, got {np.abs(deltas).max():g}")
        steps = (deltas * self.axes.std[: len(deltas)]) @ self.axes.axes[: len(deltas)]
        return self._image(start + steps)

    def between(self, first: np.ndarray, second: np.ndarray, share: float, path: str = "linear") -> np.ndarray:
        """Decode the point of a path from the latent `first` (share 0) to `second` (share 1).

        Raises:
            UserError: If `path` is not in `latent_space.PATHS`, or `share` is not in [0, 1].
        """
        if not isinstance(path, str) or path not in latent_space.PATHS:
            raise UserError(f"path: expected one of {', '.join(latent_space.PATHS)}, got {path!r}")
        if share is None or not 0.0 <= share <= 1.0:
            raise UserError(f"share: expected a number from 0 to 1, got {share}")
        return self._image(latent_space.PATHS[path](first, second, np.array([share], "float32"))[0])

    def draw(self, sampler: str, temperature: float = 1.0, seed: int = 0, count: int = SAMPLES) -> np.ndarray:
        """Decode `count` draws, (count, H, W, C): the images of `latent_space.draw` with the same numbers.

        Raises:
            UserError: If there is no such sampler, it cannot be fitted, or a number is out of its range.
        """
        if not isinstance(sampler, str) or sampler not in self.samplers:
            raise UserError(f"sampler: expected one of {', '.join(self.samplers)}, got {sampler!r}")
        temperature, seed = number("temperature", temperature), number("seed", seed)
        if not 0.0 <= temperature <= MAX_TEMPERATURE:
            raise UserError(f"temperature: expected a number from 0 to {MAX_TEMPERATURE:g}, got {temperature:g}")
        if not 0 <= seed <= MAX_SEED or seed != int(seed):
            raise UserError(f"seed: expected a whole number from 0 to {MAX_SEED}, got {seed:.10g}")
        with self._turn:
            if sampler not in self._fitted:
                self._fitted[sampler] = self.samplers[sampler]()
            latents = self._fitted[sampler].sample(count, int(seed), float(temperature))
            return to_uint8(self._networks.decode(latents))

    def read(self, data: bytes) -> np.ndarray:
        """Decode an image file's bytes to the model's size.

        Raises:
            UserError: If they are not an image, with the reason.
        """
        try:
            return decode_image(data, self.image_shape[:2], self.image_shape[-1])
        except BrokenImage as error:
            raise UserError(f"This file cannot be read as an image: {error}.") from None

    def encode(self, image: np.ndarray) -> np.ndarray:
        """Return the posterior mean of an image, (D,)."""
        with self._turn:
            return self._networks.encode(to_unit_range(image)[None]).mean[0]

    def reconstruct(self, image: np.ndarray) -> Reconstruction:
        """Encode an image and decode its posterior mean."""
        made = self._image(self.encode(image))
        psnr = peak_signal_to_noise(*(to_unit_range(picture)[None] for picture in (image, made)))
        return Reconstruction(image, made, float(ops.convert_to_numpy(psnr)[0]))

    def _image(self, z: np.ndarray) -> np.ndarray:
        with self._turn:
            return to_uint8(self._networks.decode(z[None])[0])
