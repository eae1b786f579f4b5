"""Client for a model on TensorFlow Serving, over REST or gRPC: it takes and returns arrays and PIL images.

    client = Client("http://localhost:8501", "faces")          # grpc://localhost:8500 for gRPC
    images = client.sample(16, seed=0)                          # uint8 (16, H, W, C)
    mean, log_var = client.encode(images)
    client.decode(mean, as_pil=True)[0].save("face.png")

Images are sent as PNG, a tenth of the size of numbers in JSON or less. REST needs only NumPy and Pillow; gRPC needs the
extra `serving`. Threads may share a client.
"""

import io
import random
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from gamix_keras.export import MOST_IMAGES
from gamix_keras.export.transports import Arrays, GrpcTransport, RestTransport, ServingError, Transport, Unavailable

__all__ = ["Client", "ServingError"]

_FIRST_WAIT, _LONGEST_WAIT = 0.1, 5.0

Images = np.ndarray | list[Image.Image]


class Client:
    """One model on one server.

    Every method raises `ServingError` if the server cannot be reached, does not have the model, or refuses the request.

    Args:
        address: `http://HOST:8501`, `https://...`, or `grpc://HOST:8500`.
        model: The model's name on the server.
        version: A version number; None takes the newest on the server.
        label: A label of a version, such as `stable`, instead of its number.
        timeout: The seconds that one attempt may take.
        retries: The number of further attempts if the server is away or too busy; waits double from 0.1 s to 5 s.
        batch_size: The most images in one request, at most 64; longer calls are split.

    Raises:
        ValueError: If the address has another form, both version and label are given, or a number is out of range.
    """

    def __init__(
        self,
        address: str,
        model: str,
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float = 10.0,
        retries: int = 3,
        batch_size: int = 32,
    ) -> None:
        if version is not None and label is not None:
            raise ValueError(f"label: expected none beside version {version}, got {label!r}")
        if not (timeout > 0 and retries >= 0 and 1 <= batch_size <= MOST_IMAGES):
            wanted = f"timeout > 0, retries >= 0 and batch_size from 1 to {MOST_IMAGES}"
            raise ValueError(f"Client: expected {wanted}, got {timeout}, {retries} and {batch_size}")
        self.retries, self.batch_size = retries, batch_size
        self._transport = _transport(address)(address, model, version, label, timeout)
        self._sizes: tuple[int, tuple[int, ...]] | None = None

    @property
    def latent_dim(self) -> int:
        """The number of latents D, from the server's metadata."""
        return self._shapes()[0]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The shape (H, W, C) of an image, from the server's metadata."""
        return self._shapes()[1]

    def is_ready(self) -> bool:
        """Return whether the server answers and serves a version of the model; it asks once."""
        try:
            return "AVAILABLE" in self._transport.states().values()
        except ServingError:
            return False

    def versions(self) -> dict[int, str]:
        """Return the state of each version on the server: START, LOADING, AVAILABLE, UNLOADING or END."""
        return self._retrying(self._transport.states)

    def sample(self, count: int, seed: int | None = None, temperature: float = 1.0, as_pil: bool = False) -> Images:
        """Draw new images. The same seed gives the same images; a larger count adds to them.

        Args:
            count: The number of images, at least 1.
            seed: The seed of the noise; None gives other images each time.
            temperature: The factor on the noise, at least 0.
            as_pil: Whether to return PIL images rather than an array.

        Returns:
            Bytes (count, H, W, C), or PIL images.

        Raises:
            ValueError: If an argument is out of its range.
        """
        if count < 1 or not 0.0 <= temperature < float("inf"):
            raise ValueError(f"sample: expected count >= 1 and temperature >= 0, got {count!r} and {temperature!r}")
        seed = random.getrandbits(62) if seed is None else seed
        files: list[bytes] = []
        # Always in parts of 64, because the batch size must not change the images.
        for part, start in enumerate(range(0, count, MOST_IMAGES)):
            asked = min(MOST_IMAGES, count - start)
            arguments = {"count": _int32(asked), "seed": _seed(seed, part), "temperature": np.float32([temperature])}
            files.extend(self._call("sample_png", arguments)["image_bytes"][0][:asked])
        return _pictures(files, as_pil)

    def decode(self, z: np.ndarray, as_pil: bool = False) -> Images:
        """Decode latents (B, D) to bytes (B, H, W, C), or to PIL images.

        Raises:
            ValueError: If the shape is not (B, D) with the model's D, or a number is not finite.
        """
        z = np.asarray(z, "float32")
        if z.ndim != 2 or not len(z) or z.shape[1] != self.latent_dim:
            raise ValueError(f"z: expected shape (B, {self.latent_dim}), got {z.shape}")
        if not np.isfinite(z).all():
            raise ValueError("z: expected finite numbers, got NaN or infinity")
        files = [file for part in self._parts(z) for file in self._call("decode_png", {"z": part})["image_bytes"]]
        return _pictures(files, as_pil)

    def encode(self, images: np.ndarray | Sequence[Image.Image]) -> tuple[np.ndarray, np.ndarray]:
        """Encode images to mean and log-variance of their posteriors, each (B, D).

        Args:
            images: Bytes (B, H, W, C), or PIL images of that size.

        Raises:
            ValueError: If they are not bytes of the model's image shape.
        """
        pixels = _pixels(images)
        if pixels.dtype != np.uint8 or pixels.shape[1:] != self.image_shape:
            expected = ", ".join(map(str, self.image_shape))
            raise ValueError(f"images: expected uint8 (B, {expected}), got {pixels.dtype} {pixels.shape}")
        parts = [self._call("encode", {"image": part}) for part in self._parts(pixels)]
        mean, log_var = (np.concatenate([part[name] for part in parts]) for name in ("mean", "log_var"))
        return mean, log_var

    def reconstruct(self, images: Iterable[Any], as_pil: bool = False) -> Images:
        """Encode and decode images of any size: uint8 arrays, PIL images, or the bytes of PNG or JPEG files."""
        files = np.array([_file(image) for image in images], object)
        done = [self._call("reconstruct_png", {"image_bytes": part}) for part in self._parts(files)]
        return _pictures([file for part in done for file in part["image_bytes"]], as_pil)

    def interpolate(self, first: Any, second: Any, steps: int = 8, as_pil: bool = False) -> Images:
        """Walk from one image to another in latent space: `steps` images, from one reconstruction to the other.

        Raises:
            ValueError: If `steps` is not from 2 to 64.
        """
        if not 2 <= steps <= MOST_IMAGES:
            raise ValueError(f"steps: expected 2 to {MOST_IMAGES}, got {steps!r}")
        ends = {"first_bytes": first, "second_bytes": second}
        files = {name: np.array([_file(image)], object) for name, image in ends.items()}
        answer = self._call("interpolate_png", {**files, "steps": _int32(steps)})
        return _pictures(answer["image_bytes"][0][:steps], as_pil)

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _parts(self, values: np.ndarray) -> list[np.ndarray]:
        return [values[start : start + self.batch_size] for start in range(0, len(values), self.batch_size)]

    def _shapes(self) -> tuple[int, tuple[int, ...]]:
        if self._sizes is None:
            found = self._retrying(self._transport.shapes)
            self._sizes = found["decode"]["inputs"]["z"][-1], tuple(found["encode"]["inputs"]["image"][1:])
        return self._sizes

    def _call(self, signature: str, arguments: Arrays) -> Arrays:
        return self._retrying(lambda: self._transport.predict(signature, arguments))

    def _retrying(self, attempt: Callable[[], Any]) -> Any:
        """Retry while the server is away or busy, after waits that double, with jitter to keep clients apart."""
        for retry in range(self.retries + 1):
            try:
                return attempt()
            except Unavailable:
                if retry == self.retries:
                    raise
                time.sleep(min(_FIRST_WAIT * 2**retry, _LONGEST_WAIT) * random.uniform(0.5, 1.0))
        raise AssertionError("unreachable")


def _transport(address: str) -> type[Transport]:
    scheme = address.partition("://")[0]
    kinds = {"http": RestTransport, "https": RestTransport, "grpc": GrpcTransport}
    if "://" not in address or scheme not in kinds:
        raise ValueError(f"address: expected http://HOST:PORT or grpc://HOST:PORT, got {address!r}")
    return kinds[scheme]


def _int32(value: int) -> np.ndarray:
    return np.array([value], "int32")


def _seed(seed: int, part: int) -> np.ndarray:
    """Return the seed of a part: the seed itself for the first, a hash of seed and part for later ones."""
    if part > 0:
        seed = int(np.random.SeedSequence([abs(seed), part]).generate_state(1, "uint64")[0] >> 1)
    return np.array([seed], "int64")


def _pixels(images: np.ndarray | Sequence[Image.Image]) -> np.ndarray:
    pixels = np.stack([np.asarray(image) for image in images])
    return pixels[..., None] if pixels.ndim == 3 else pixels


def _file(image: Any) -> bytes:
    if isinstance(image, bytes):
        return image
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image)
    out = io.BytesIO()
    image.save(out, format="PNG")
    return out.getvalue()


def _pictures(files: Sequence[bytes], as_pil: bool) -> Images:
    pictures = [Image.open(io.BytesIO(file)) for file in files]
    return pictures if as_pil else _pixels(pictures)
