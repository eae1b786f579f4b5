"""Colours of skin, hair, eyes, lips and clothes of a batch of faces; each array is (3, N, 1, 1) in [0, 1]."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

_SKIN = ("ffe3cf", "f6cfb0", "e6b48c", "cd9468", "a66f48", "7d4f34", "573626")
_HAIR = ("17131a", "32231e", "5a3a26", "82432a", "b5622f", "c9975a", "e3c68d", "9d989b", "dedad8")
_EYES = ("4a2c1a", "7a5230", "6f7b3d", "3f8268", "3f79b0", "8799a8")


@dataclass(frozen=True)
class Palette:
    """Colours of a batch of faces.

    Attributes:
        skin: Skin in even light.
        skin_shadow: Skin turned away from the light: darker, redder.
        skin_light: Skin facing the light.
        rose: The blush of the cheeks.
        hair: Hair in even light.
        hair_shadow: Hair in the shade.
        hair_light: Its gloss.
        iris: Colour of the eyes.
        lips: Colour of the lips.
        clothes: Colour of the clothes.
    """

    skin: np.ndarray
    skin_shadow: np.ndarray
    skin_light: np.ndarray
    rose: np.ndarray
    hair: np.ndarray
    hair_shadow: np.ndarray
    hair_light: np.ndarray
    iris: np.ndarray
    lips: np.ndarray
    clothes: np.ndarray

    def take(self, images: slice | np.ndarray) -> "Palette":
        """Return the colours of some of the faces."""
        return Palette(*(getattr(self, field.name)[:, images] for field in fields(self)))


def rgb(red: float, green: float, blue: float) -> np.ndarray:
    """One colour for all pictures, (3, 1, 1, 1)."""
    return np.array([red, green, blue], np.float32).reshape(3, 1, 1, 1)


def colour_ramp(stops: Sequence[str], place: np.ndarray) -> np.ndarray:
    """Colours along a list of hexadecimal stops.

    Args:
        stops: "rrggbb" strings, spread evenly over [0, 1].
        place: Values in [0, 1], shape (N, 1, 1).

    Returns:
        float32 (3, N, 1, 1) in [0, 1].
    """
    table = np.array([list(bytes.fromhex(stop)) for stop in stops]) / 255.0
    at = np.linspace(0.0, 1.0, len(stops))
    return np.stack([np.interp(place, at, channel) for channel in table.T]).astype(np.float32)


def hue_colour(hue: np.ndarray, saturation: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Colours from hue (period 1), saturation and value in [0, 1], each (N, 1, 1): float32 (3, N, 1, 1)."""
    sector = np.stack([(6.0 * hue + turn) % 6.0 for turn in (0.0, 4.0, 2.0)])
    pure = np.clip(np.abs(sector - 3.0) - 1.0, 0.0, 1.0)
    return (value * (1.0 - saturation * (1.0 - pure))).astype(np.float32)


def _lips(skin: np.ndarray, red: np.ndarray) -> np.ndarray:
    natural = skin * rgb(0.88, 0.62, 0.62)
    painted = rgb(0.78, 0.16, 0.22) * (0.55 + 0.45 * skin[:1])
    return natural + 0.75 * red * (painted - natural)


def make_palette(factors: Mapping[str, np.ndarray]) -> Palette:
    """Chooses the colours from factors of shape (N, 1, 1)."""
    warmth = factors["skin_warmth"] * rgb(-0.02, 0.02, -0.035)
    skin = np.clip(colour_ramp(_SKIN, factors["skin_tone"]) + warmth, 0.0, 1.0)
    hair = colour_ramp(_HAIR, factors["hair_colour"])
    tone = factors["clothes_tone"]
    return Palette(
        skin=skin,
        skin_shadow=skin * rgb(0.62, 0.47, 0.45),
        skin_light=skin + 0.55 * (1.0 - skin) * rgb(0.75, 0.62, 0.5),
        rose=skin * rgb(0.95, 0.42, 0.42) + rgb(0.114, 0.05, 0.05),
        hair=hair,
        hair_shadow=hair * rgb(0.42, 0.38, 0.42),
        hair_light=hair + 0.42 * (1.0 - hair) * rgb(0.85, 0.78, 0.7),
        iris=colour_ramp(_EYES, factors["eye_colour"]),
        lips=_lips(skin, factors["lip_colour"]),
        clothes=hue_colour(factors["clothes_hue"], 0.62 - 0.3 * tone, 0.2 + 0.7 * tone),
    )
