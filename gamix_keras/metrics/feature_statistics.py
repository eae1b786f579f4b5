"""Features of a stream of images, reduced as they come, and the scores of generated against real ones."""

import hashlib
import json
import math
import os
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gamix_keras.files import replacing
from gamix_keras.metrics.features import FeatureExtractor, Tensor, to_pixels
from gamix_keras.metrics.generation import (
    DegenerateNeighbourhoods,
    ManifoldScores,
    frechet_distance_of,
    kernel_distance,
    precision_recall_density_coverage,
)
from gamix_keras.metrics.moments import FeatureMoments, UniformSubset

IsFace = Callable[[np.ndarray], np.ndarray]

_CACHE_VERSION = 2  # of the features: files of other versions are not read
ROWS_TOGETHER = 1024
DEFAULT_KEEP = 2000
# A neighbourhood that holds more than a twentieth of all images is no neighbourhood; ours.
IMAGES_PER_NEIGHBOUR = 20


class FeatureStatistics:
    """Moments of all features seen, a uniform random subset of them, and the number of faces among the images.

    The Frechet distance needs the moments only; kernel distance and nearest-neighbour scores use the subset. Memory
    is O(dim^2 + keep dim) and does not grow with the number of images.

    Args:
        dim: Number of features.
        keep: Features kept, at most, at least 2.
        seed: Seed of the subset.
        is_face: From features (B, dim) to whether each is of a face; None if the network cannot tell.

    Raises:
        ValueError: If dim or keep is too small.
    """

    def __init__(self, dim: int, keep: int = DEFAULT_KEEP, seed: int = 0, is_face: IsFace | None = None) -> None:
        self.moments = FeatureMoments(dim)
        self.subset = UniformSubset(dim, keep, seed, np.float32)
        self.is_face, self.faces = is_face, 0

    @property
    def count(self) -> int:
        """Number of images seen."""
        return self.moments.count

    @property
    def face_share(self) -> float | None:
        """Share of the images in which a face was found, in [0, 1]; None if the network cannot tell."""
        return self.faces / self.count if self.is_face and self.count else None

    def update(self, features: np.ndarray) -> "FeatureStatistics":
        """Add features (B, dim) and return this object."""
        self.moments.update(features)
        self.subset.update(features)
        if self.is_face:
            self.faces += int(np.sum(self.is_face(features)))
        return self


def _rebatch(batches: Iterable[Tensor], size: int) -> Iterator[np.ndarray]:
    """Yield the same images as 8-bit pixels, `size` at a time."""
    waiting: list[np.ndarray] = []
    for batch in batches:
        waiting.append(to_pixels(batch))
        if sum(map(len, waiting)) >= size:
            pixels = np.concatenate(waiting)
            whole = len(pixels) - len(pixels) % size
            yield from np.split(pixels[:whole], whole // size)
            waiting = [pixels[whole:]]
    rest = np.concatenate(waiting) if waiting else np.empty(0)
    if len(rest):
        yield rest


def extract_statistics(
    extractor: FeatureExtractor, batches: Iterable[Tensor], keep: int = DEFAULT_KEEP, seed: int = 0
) -> FeatureStatistics:
    """Extract and reduce the features of a stream of images.

    Args:
        extractor: See `feature_extractor`.
        batches: Batches (B, H, W, C) of one image size, uint8 or float in [-1, 1]; B may vary.
        keep: Features kept for kernel distance and nearest-neighbour scores.
        seed: Seed of that subset.

    Returns:
        The statistics.

    Raises:
        ValueError: If the images do not fit.
    """
    return extract_by_each([extractor], batches, keep, seed)[0]


def extract_by_each(
    extractors: Sequence[FeatureExtractor], batches: Iterable[Tensor], keep: int = DEFAULT_KEEP, seed: int = 0
) -> list[FeatureStatistics]:
    """Extract and reduce the features of a stream of images by several networks, while the stream passes once.

    Args:
        extractors: See `feature_extractor`.
        batches: As in `extract_statistics`.
        keep: As in `extract_statistics`.
        seed: As in `extract_statistics`.

    Returns:
        The statistics of each extractor, in order, each as `extract_statistics` returns them.

    Raises:
        ValueError: If the images do not fit.
    """
    found = [FeatureStatistics(extractor.dim, keep, seed, extractor.is_face) for extractor in extractors]
    # Whole batches of every extractor, so that only the last is filled up.
    size = math.lcm(*(extractor.batch_size for extractor in extractors))
    parts = ([extractor(pixels) for extractor in extractors] for pixels in _rebatch(batches, size))
    for rows in _gathered(parts):
        for statistics, features in zip(found, rows, strict=True):
            statistics.update(features)
    return found


def _gathered(parts: Iterable[Sequence[np.ndarray]]) -> Iterator[list[np.ndarray]]:
    """Yield the same rows, at least 1,024 at a time, as an update of a covariance costs as much as a few 100 rows."""
    waiting: list[Sequence[np.ndarray]] = []
    for part in parts:
        waiting.append(part)
        if sum(len(features[0]) for features in waiting) >= ROWS_TOGETHER:
            yield [np.concatenate(rows) for rows in zip(*waiting, strict=True)]
            waiting = []
    if waiting:
        yield [np.concatenate(rows) for rows in zip(*waiting, strict=True)]


def content_hash(batches: Iterable[Tensor]) -> str:
    """Return the SHA-256, in hexadecimal, of the images' 8-bit pixels and shapes, whatever the batches."""
    digest = hashlib.sha256()
    for batch in batches:
        for image in to_pixels(batch):
            digest.update(repr(image.shape).encode())
            digest.update(image.tobytes())
    return digest.hexdigest()


def cached_statistics(
    extractor: FeatureExtractor,
    open_batches: Callable[[], Iterable[Tensor]],
    folder: str | os.PathLike,
    keep: int = DEFAULT_KEEP,
    seed: int = 0,
) -> FeatureStatistics:
    """Extract statistics once, and keep them in a file named by the hash of images and protocol.

    The images are read once to be hashed, which is quick, and a second time if the file is not there. A file that
    cannot be read is replaced. Files are written whole or not at all and hold plain arrays, no pickle.

    Args:
        extractor: See `feature_extractor`.
        open_batches: Called for each reading; returns batches as in `extract_statistics`, in the same order.
        folder: The folder of the files, which is created if it does not exist.
        keep: As in `extract_statistics`.
        seed: As in `extract_statistics`.

    Returns:
        The statistics, equal to the last bit whether computed or read; one read cannot be updated further.

    Raises:
        ValueError: If the images do not fit.
    """
    key = {"version": _CACHE_VERSION, "keep": keep, "seed": seed, "images": content_hash(open_batches())}
    text = json.dumps({**key, **extractor.protocol()}, sort_keys=True)
    path = Path(folder, f"features-{hashlib.sha256(text.encode()).hexdigest()[:32]}.npz")
    found = _read(path, extractor, keep)
    if found is not None:
        return found
    statistics = extract_statistics(extractor, open_batches(), keep, seed)
    try:
        _write(path, statistics)
    except OSError as error:  # computed again the next time
        why = error.strerror or str(error)
        warnings.warn(f"{path} cannot be written ({why}): the features are computed anew the next time", stacklevel=2)
    return statistics


def _write(path: Path, statistics: FeatureStatistics) -> None:
    moments = statistics.moments
    with replacing(path) as temporary:
        np.savez(
            temporary,
            count=moments.count,
            mean=moments.mean,
            scatter=moments.scatter,
            subset=statistics.subset.rows,
            faces=statistics.faces,
        )


def _read(path: Path, extractor: FeatureExtractor, keep: int) -> FeatureStatistics | None:
    """Return the statistics in a file, or None if there is none or it is damaged."""
    dim, is_face = extractor.dim, extractor.is_face
    statistics = FeatureStatistics(dim, keep, is_face=is_face)
    try:
        with np.load(path, allow_pickle=False) as file:
            statistics.moments.count = int(file["count"])
            statistics.moments.mean, statistics.moments.scatter = file["mean"], file["scatter"]
            statistics.subset.rows = file["subset"]
            statistics.faces = int(file["faces"]) if is_face else 0
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    shapes = statistics.moments.mean.shape, statistics.moments.scatter.shape, statistics.subset.rows.shape[1:]
    return statistics if shapes == ((dim,), (dim, dim), (dim,)) else None


def generation_scores(
    extractor: FeatureExtractor,
    real: FeatureStatistics,
    generated: FeatureStatistics,
    neighbours: int = 5,
    blocks: int = 10,
    seed: int = 0,
) -> dict[str, Any]:
    """Compute every distance between generated and real images on one extractor's features, with its protocol.

    Args:
        extractor: The extractor of both statistics; it names the distances.
        real: Statistics of real images.
        generated: Statistics of generated images.
        neighbours: The k of the nearest-neighbour scores.
        blocks: Disjoint blocks behind the kernel distance's confidence interval.
        seed: Seed of the blocks.

    Returns:
        scores: Frechet distance (fid or fd_LABEL), kernel distance (kid or kd_LABEL: value, low, high, blocks,
        block_size; None if there are fewer than two images a block), precision, recall, density, coverage (None if
        there are fewer than 20 images a neighbour, or the neighbourhoods are points); protocol: extractor, resize,
        counts and settings. Ready for JSON.
    """
    rows = real.subset.rows, generated.subset.rows
    return {
        "scores": {
            extractor.frechet_name: frechet_distance_of(real.moments, generated.moments),
            extractor.kernel_name: _kernel_scores(*rows, blocks, seed),
            **_manifold_scores(*rows, neighbours),
        },
        "protocol": {
            **extractor.protocol(),
            "real_images": real.count,
            "generated_images": generated.count,
            "real_subset": len(rows[0]),
            "generated_subset": len(rows[1]),
            "neighbours": neighbours,
            "seed": seed,
        },
    }


def _kernel_scores(real: np.ndarray, generated: np.ndarray, blocks: int, seed: int) -> dict[str, Any] | None:
    if min(len(real), len(generated)) < 2 * blocks:
        return None
    return kernel_distance(real, generated, blocks=blocks, seed=seed)._asdict()


def _manifold_scores(real: np.ndarray, generated: np.ndarray, neighbours: int) -> dict[str, float | None]:
    unknown = dict.fromkeys(ManifoldScores._fields)
    if min(len(real), len(generated)) < IMAGES_PER_NEIGHBOUR * neighbours:
        return unknown
    try:
        return precision_recall_density_coverage(real, generated, neighbours)._asdict()
    except DegenerateNeighbourhoods:
        return unknown
