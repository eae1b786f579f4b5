"""The feature extractors that judge a model, and what each says.

A distance on features that the model was trained on is what was minimised, more or less. It is marked so, is never the
only one if another extractor is at hand, and decides nothing if there is another.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import keras

from gamix_keras import data, metrics
from gamix_keras.config.protocol import DEFAULT_EXTRACTOR, FACE_EXTRACTOR, SMALLEST_FACE
from gamix_keras.evaluation import floor, measures
from gamix_keras.metrics import onet

Asked = str | keras.Model | Sequence[str | keras.Model] | None
Statistics = Callable[[metrics.FeatureExtractor, data.Source], metrics.FeatureStatistics]


class Judge(NamedTuple):
    """One extractor, and what it says of real images.

    Attributes:
        extractor: The extractor.
        trained_on: Whether the model was trained on its features.
        real: Statistics of the held-out images.
        floor: Scores of real images against other real images.
    """

    extractor: metrics.FeatureExtractor
    trained_on: bool
    real: metrics.FeatureStatistics
    floor: dict[str, Any]

    def scores(self, made: metrics.FeatureStatistics, seed: int) -> dict[str, Any]:
        """Return the scores of generated images or reconstructions, with the floor beside each distance."""
        return floor.with_floor(measures.generation(self.extractor, self.real, made, seed), self.floor)


def names_of(asked: Asked) -> list[str | keras.Model]:
    """Return what was asked for as a list; the default if nothing was."""
    if asked is None:
        return [DEFAULT_EXTRACTOR]
    return [asked] if isinstance(asked, str | keras.Model) else list(asked)


def with_face_detector(
    asked: Asked,
    extractors: Sequence[metrics.FeatureExtractor],
    held_out: data.Source,
    trained_on: frozenset[str],
    statistics: Statistics,
) -> list[metrics.FeatureExtractor]:
    """Return the extractors, and O-Net behind them if it can judge these images and is needed.

    It is needed if no extractor was named, or the model was trained on all that were. It can judge if its weights are
    installed, the images are at least 48 pixels high and wide, and it finds a face in more than half of them.

    Args:
        asked: What was asked for.
        extractors: The extractors of that.
        held_out: The real images.
        trained_on: Names of the extractors on whose features the model was trained.
        statistics: Called for the features of real images.
    """
    names = {extractor.name for extractor in extractors}
    needed = (asked is None or names <= trained_on) and FACE_EXTRACTOR not in names
    if not needed or min(held_out.image_shape[:2]) < SMALLEST_FACE or not onet.is_installed():
        return list(extractors)
    detector = metrics.feature_extractor(FACE_EXTRACTOR, batch_size=extractors[0].batch_size)
    are_faces = (statistics(detector, held_out).face_share or 0.0) > 0.5
    return [*extractors, detector] if are_faces else list(extractors)


def judge(
    extractors: Sequence[metrics.FeatureExtractor],
    held_out: data.Source,
    second: floor.Second | None,
    trained_on: frozenset[str],
    statistics: Statistics,
    seed: int,
) -> list[Judge]:
    """Let the extractors see the real images; those on which the model was not trained come first."""
    found = []
    for extractor in sorted(extractors, key=lambda extractor: extractor.name in trained_on):
        real = statistics(extractor, held_out)
        others = (None, None) if second is None else (statistics(extractor, second.source), second.what)
        scores = floor.real_scores(extractor, real, *others, seed)
        found.append(Judge(extractor, extractor.name in trained_on, real, scores))
    return found


def further(judges: Sequence[Judge], made: Mapping[str, Sequence[metrics.FeatureStatistics]], seed: int) -> Any:
    """Return what all judges but the first say, by name: scores as the first's stand in the evaluation.

    Args:
        judges: All judges.
        made: Statistics by each judge of the reconstructions and of the draws of each sampler.
        seed: Seed of the scores.
    """
    found = {}
    for index, judge in enumerate(judges[1:], 1):
        scores = {name: judge.scores(statistics[index], seed) for name, statistics in made.items()}
        found[judge.extractor.name] = {
            "reconstruction": scores.pop("reconstruction"),
            "samplers": scores,
            "real": judge.floor,
            "protocol": {**judge.extractor.protocol(), "trained_on": judge.trained_on},
        }
    return found
