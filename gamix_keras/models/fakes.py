"""What a critic judges as fakes: reconstructions, and decodings of draws from q(z)."""

from collections.abc import Callable
from typing import Any, NamedTuple

from keras import ops

from gamix_keras.layers import AggregateDraws

Tensor = Any


class Decoded(NamedTuple):
    """What the decoder made of latents.

    Attributes:
        output: Its output.
        features: What its last layer with a kernel was given; None if nobody asks.
    """

    output: Tensor
    features: Tensor | None = None


class Fakes(NamedTuple):
    """Decoder outputs to judge.

    Attributes:
        decoded: Outputs, (N, ...), reconstructions first.
        weights: None, or the weight of each in a mean over all N.
        has_draws: Whether decodings of draws follow the reconstructions.
    """

    decoded: Decoded
    weights: Tensor | None
    has_draws: bool = False

    def joined(self, drawn: Decoded, are_there: Tensor) -> "Fakes":
        """Return these with more of weight 1 each, or of no weight unless they are there."""
        pairs = zip(self.decoded, drawn, strict=True)
        both = Decoded(*(None if own is None else ops.concatenate([own, more]) for own, more in pairs))
        own, more = (ops.ones(ops.shape(part.output)[:1], dtype="float32") for part in (self.decoded, drawn))
        weights = ops.concatenate([own if self.weights is None else self.weights, more * are_there])
        whole = ops.sum(own) + ops.sum(more)
        return Fakes(both, weights * (whole / (ops.sum(own) + ops.sum(more) * are_there)), has_draws=True)


def with_draws(
    fakes: Fakes, draws: AggregateDraws, share: float, decode: Callable[[Tensor], Decoded], is_asked: Any, is_pure: bool
) -> Fakes:
    """Return reconstructions with decodings of draws beside them (Larsen et al. 2016), once the moments are warm.

    Args:
        fakes: The reconstructions.
        draws: The draws, which have taken in this batch.
        share: Draws, as a share of the reconstructions.
        decode: The decoder.
        is_asked: Whether there is a critic to judge them now.
        is_pure: Whether decoding changes no variable, so that it can be left out of a step.
    """
    count = _share(ops.shape(fakes.decoded.output)[0], share)
    noise, is_wanted = draws.noise(count), ops.logical_and(draws.is_warm, is_asked)
    there = [part for part in fakes.decoded if part is not None]

    def made() -> tuple[Tensor, ...]:
        return tuple(part for part in decode(draws.draw(noise)) if part is not None)

    def none() -> tuple[Tensor, ...]:
        return tuple(ops.zeros((count, *part.shape[1:]), dtype=part.dtype) for part in there)

    drawn = ops.cond(is_wanted, made, none) if is_pure else made()
    return fakes.joined(Decoded(*drawn), ops.cast(is_wanted, "float32"))


def _share(size: Any, share: float) -> Any:
    if isinstance(size, int):
        return max(1, round(share * size))
    return ops.maximum(1, ops.cast(ops.round(share * ops.cast(size, "float32")), "int32"))
