"""Reads an evaluation by its extractors. The first one's scores stand where they stood when there was only one."""

from collections.abc import Mapping
from typing import Any

Scores = Mapping[str, Any]


def by_extractor(result: Mapping[str, Any]) -> dict[str, Scores]:
    """Return what each extractor measured, the deciding one first.

    Args:
        result: What `evaluation.json` holds, of this version or an older one.

    Returns:
        By the extractor's name: `reconstruction`, `samplers` and `real`, with `frechet`, `kid` and further scores
        each, and `protocol`. `real` is None in files that have no floor.
    """
    protocol = result.get("protocol", {})
    first = {name: result.get(name) for name in ("reconstruction", "samplers", "real")} | {"protocol": protocol}
    return {protocol.get("extractor", ""): first, **result.get("further_extractors", {})}


def is_trained_on(scores: Scores) -> bool:
    """Return whether the model was trained on the features behind these scores."""
    return bool(scores["protocol"].get("trained_on"))


def face_shares(scores: Scores) -> dict[str, float]:
    """Return the share of images with a face: of real ones, reconstructions and each sampler, if it was measured."""
    sets = {"real": scores["real"] or {}, "reconstruction": scores["reconstruction"], **scores["samplers"]}
    return {name: values["face_share"] for name, values in sets.items() if values.get("face_share") is not None}
