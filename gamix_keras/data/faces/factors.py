"""The named factors of the embedded faces, their ranges, and their random streams.

Factors are independent of each other. A continuous factor is uniform on its range; a categorical one is an
index into its values, drawn with the stated weights. The value of one factor for image i is a hash of
(seed, name, i), so no image depends on which others are drawn with it, and a new factor moves no old one.
"""

import zlib
from dataclasses import dataclass
from numbers import Integral

import numpy as np

_COUNTER_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_MIX_SECOND = np.uint64(0x94D049BB133111EB)


@dataclass(frozen=True)
class Continuous:
    """A factor which is uniform on [low, high].

    Attributes:
        low: Smallest value.
        high: Largest value.
        meaning: What the two ends look like.
    """

    low: float
    high: float
    meaning: str

    def from_uniform(self, uniform: np.ndarray) -> np.ndarray:
        """Map uniform numbers in [0, 1) to float32 values of this factor."""
        return (self.low + (self.high - self.low) * uniform).astype(np.float32)


@dataclass(frozen=True)
class Categorical:
    """A factor which is one of several named values.

    Attributes:
        values: The names; the factor holds an index into them.
        weights: Relative frequencies, one per name.
        meaning: What is chosen.
    """

    values: tuple[str, ...]
    weights: tuple[float, ...]
    meaning: str

    def from_uniform(self, uniform: np.ndarray) -> np.ndarray:
        """Map uniform numbers in [0, 1) to int64 indices into `values`."""
        edges = np.cumsum(self.weights) / np.sum(self.weights)
        return np.searchsorted(edges[:-1], uniform, side="right").astype(np.int64)


def _signed(meaning: str) -> Continuous:
    return Continuous(-1.0, 1.0, meaning)


def _share(meaning: str) -> Continuous:
    return Continuous(0.0, 1.0, meaning)


SPECS: dict[str, Continuous | Categorical] = {
    "skin_tone": _share("light to dark"),
    "skin_warmth": _signed("rosy to olive"),
    "blush": _share("pale to rosy cheeks"),
    "face_width": _signed("narrow to wide"),
    "face_length": _signed("short to long"),
    "jaw": _signed("pointed to square"),
    "hair_style": Categorical(
        (
            "bald",
            "receding",
            "buzz",
            "short",
            "quiff",
            "side_part",
            "fringe",
            "bob",
            "long",
            "afro",
            "curly_long",
            "bun",
        ),
        (0.05, 0.05, 0.07, 0.12, 0.09, 0.11, 0.10, 0.09, 0.12, 0.07, 0.07, 0.06),
        "how the hair is cut",
    ),
    "hair_colour": _share("black, brown, auburn, ginger, blond, grey, white"),
    "hair_volume": _signed("flat to full"),
    "hair_part": _signed("parted left to right"),
    "hair_strands": _share("phase of the strand pattern"),
    "eye_size": _signed("small to large"),
    "eye_spacing": _signed("close to wide apart"),
    "eye_tilt": _signed("outer corners down to up"),
    "eye_opening": _signed("sleepy to wide open"),
    "eye_colour": _share("brown, hazel, green, blue, grey"),
    "gaze": _signed("looking left to right"),
    "brow_height": _signed("low to raised"),
    "brow_angle": _signed("worried to stern"),
    "brow_thickness": _signed("thin to bushy"),
    "nose_width": _signed("narrow to wide"),
    "nose_length": _signed("short to long"),
    "mouth_width": _signed("narrow to wide"),
    "mouth_opening": _share("closed to open, teeth showing"),
    "smile": _signed("corners down to up"),
    "lip_fullness": _signed("thin to full"),
    "lip_colour": _share("natural to red"),
    "yaw": _signed("turned left to right"),
    "pitch": _signed("looking up to down"),
    "roll": _signed("head tilted left to right"),
    "shift_x": _signed("moved left to right"),
    "shift_y": _signed("moved up to down"),
    "zoom": _signed("far to near"),
    "light_side": _signed("light from the left to the right"),
    "light_height": _share("light from the front to from above"),
    "light_warmth": _signed("cool to warm light"),
    "background": Categorical(
        ("plain", "glow", "diagonal", "bokeh", "horizon"), (0.2, 0.2, 0.2, 0.2, 0.2), "what is behind"
    ),
    "background_hue": _share("hue, red to red"),
    "background_tone": _share("dark to light"),
    "background_detail": _share("arrangement of the background"),
    "clothes": Categorical(("crew", "v_neck", "shirt", "roll_neck"), (0.3, 0.25, 0.25, 0.2), "the neckline"),
    "clothes_hue": _share("hue, red to red"),
    "clothes_tone": _share("dark to light"),
    "glasses": Categorical(
        ("none", "round", "square", "half_rim", "sun"), (0.64, 0.12, 0.1, 0.08, 0.06), "what is worn"
    ),
    "beard": Categorical(
        ("none", "stubble", "moustache", "goatee", "full"), (0.64, 0.1, 0.07, 0.08, 0.11), "facial hair"
    ),
}

FACTORS: tuple[str, ...] = tuple(SPECS)
"""Names of the factors, in order; `SPECS[name]` tells range or values, weights and meaning of each."""


def require_integer(name: str, value: int, minimum: int) -> int:
    """Return `value` as int.

    Args:
        name: The argument's name, for the message.
        value: What the caller passed.
        minimum: Smallest accepted value.

    Raises:
        ValueError: `value` is no integer or below `minimum`.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < minimum:
        raise ValueError(f"`{name}` must be an integer of at least {minimum}; received {value!r}")
    return int(value)


def _scramble(words: np.ndarray) -> np.ndarray:
    """Apply the output function of splitmix64 (Steele et al., OOPSLA 2014), on an array of uint64."""
    words = (words ^ (words >> np.uint64(30))) * _MIX_FIRST
    words = (words ^ (words >> np.uint64(27))) * _MIX_SECOND
    return words ^ (words >> np.uint64(31))


def _uniform(seed: int, name: str, index: np.ndarray) -> np.ndarray:
    """Uniform float64 in [0, 1), a function of seed, factor name and image index alone."""
    entropy = (seed, zlib.crc32(name.encode()))
    offset = np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0]
    return (_scramble(offset + index * _COUNTER_STEP) >> np.uint64(11)) * 2.0**-53


def sample_factors(count: int, seed: int = 0, start: int = 0) -> dict[str, np.ndarray]:
    """Draws the factors of images start, ..., start + count - 1 of the stream of `seed`.

    Args:
        count: Number of images, at least 1.
        seed: Names the stream, 0 or more.
        start: Index of the first image, 0 or more.

    Returns:
        One array of shape (count,) per name in `FACTORS`: float32 in the factor's range, or int64 index into
        the values of a categorical factor.

    Raises:
        ValueError: An argument is no integer or too small.
    """
    count = require_integer("count", count, 1)
    seed = require_integer("seed", seed, 0)
    start = require_integer("start", start, 0)
    index = np.uint64(start) + np.arange(count, dtype=np.uint64)
    return {name: spec.from_uniform(_uniform(seed, name, index)) for name, spec in SPECS.items()}
