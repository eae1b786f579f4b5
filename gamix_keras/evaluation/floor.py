"""Real images against other real images: what a perfect model would score at the same number of images.

A distance between two finite sets is not 0 if both come from one distribution. The Frechet distance is biased upwards
by about 1 / N, and by far the most if there are fewer images than features. A score that is not seen beside this floor
says nothing.
"""

from typing import Any, NamedTuple

import numpy as np

from gamix_keras import assembly, data, metrics
from gamix_keras.config import UserError
from gamix_keras.evaluation import measures
from gamix_keras.runs import Run, measured

_NAMED = ("name", "value")
_OTHERS, _TRAINING, _HALVES = "other held-out images", "training images", "the other half of them"


class Second(NamedTuple):
    """Real images to compare the held-out images with.

    Attributes:
        source: As many images as are evaluated, none of them among these.
        what: What they are, in words.
    """

    source: data.Source
    what: str


def split(source: data.Source, count: int, seed: int) -> tuple[data.Source, data.Source | None]:
    """Return at most `count` images of a source, chosen at random, and as many of the others if there are enough."""
    if count >= len(source):
        return source, None
    order = np.random.default_rng([seed, 0]).choice(len(source), len(source), replace=False)
    others = order[count : 2 * count]
    rest = source.subset(np.sort(others)) if len(others) == count else None
    return source.subset(np.sort(order[:count])), rest


def second_set(others: data.Source | None, run: Run | None, count: int, seed: int) -> Second | None:
    """Choose the images of the floor: other held-out images, else as many training images.

    Args:
        others: Held-out images that are not evaluated, if there are enough.
        run: The run whose training images may be taken, or None if the held-out images are not of its data.
        count: Number of images that are evaluated.
        seed: Seed of the choice.

    Returns:
        The images; None if there are not enough, or they cannot be read.
    """
    if others is not None:
        return Second(others, _OTHERS)
    if run is None:
        return None
    try:
        training = assembly.open_source(run.config, "train")
    except UserError:
        return None
    chosen, _ = split(training, count, seed)
    return Second(chosen, _TRAINING) if len(chosen) == count else None


def real_scores(
    extractor: metrics.FeatureExtractor,
    real: metrics.FeatureStatistics,
    second: metrics.FeatureStatistics | None,
    what: str | None,
    seed: int,
) -> dict[str, Any]:
    """Score real images against real images, as `measures.generation` scores generated ones.

    Args:
        extractor: Extractor of both statistics.
        real: Statistics of the held-out images.
        second: Statistics of the second set, or None: then the held-out images are split into halves.
        what: What the second set is, in words.
        seed: Seed of the halves and of the scores.

    Returns:
        The scores; `images`, the number on either side; `against`, what the second set is.
    """
    if second is None:
        whole, (real, second), what = real, _halves(real, seed), _HALVES
    else:
        whole = real
    scores = {**measures.generation(extractor, real, second, seed), "images": second.count, "against": what}
    # The share that generated images are to have is that of the held-out images themselves.
    return scores if whole.face_share is None else {**scores, "face_share": whole.face_share}


def _halves(real: metrics.FeatureStatistics, seed: int) -> list[metrics.FeatureStatistics]:
    rows = np.random.default_rng([seed, 4]).permutation(real.subset.rows)
    size = len(rows) // 2
    parts = rows[:size], rows[size : 2 * size]
    return [metrics.FeatureStatistics(rows.shape[1], max(2, size), seed).update(part) for part in parts]


def with_floor(scores: dict[str, Any], real: dict[str, Any]) -> dict[str, Any]:
    """Return scores with the floor beside each distance."""
    return {**scores, **{name: {**scores[name], "floor": real[name]["value"]} for name in ("frechet", "kid")}}


def warnings(result: dict[str, Any]) -> list[str]:
    """Say, a line each, what keeps the scores of an evaluation from being taken at their face value."""
    images, extractors = result["protocol"]["real_images"], measured.by_extractor(result)
    lines = []
    for scores in extractors.values():
        features, (name, value) = scores["protocol"]["features"], (scores["real"]["frechet"][n] for n in _NAMED)
        if images < features:
            floor = f"{name} of real images alone is {measures.rounded(value)}"
            lines.append(
                f"{images:,} images are fewer than the {features:,} features: {floor}; compare at one count only"
            )
    if all(map(measured.is_trained_on, extractors.values())):
        lines.append(
            f"the model was trained on the features of {' and '.join(extractors)}, so these distances flatter it; name "
            "another extractor too"
        )
    sets = [result["reconstruction"], *result["samplers"].values()]
    if all(scores["precision"] is None for scores in sets):
        lines.append(measures.NO_NEIGHBOURS)
    elif all(scores[name] == 0 for scores in sets for name in measures.SHARES):
        lines.append(
            "precision, recall, density and coverage are 0 for every set: no decoded image comes as close to a real "
            "one as real images come to each other, so they cannot rank the samplers; the distances can"
        )
    return lines


def in_words(result: dict[str, Any]) -> str:
    """Say, in a sentence, what the row of real images is."""
    real, evaluated = result["real"], result["protocol"]["real_images"]
    text = f"Real images: {real['images']:,} held-out images against {real['against']}"
    if real["images"] < evaluated:
        return f"{text}; fewer than the {evaluated:,} of the other rows, so its distances are too high"
    return f"{text}, as many; a model that scores the same cannot be told from the data"
