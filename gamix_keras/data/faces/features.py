"""Eyes, brows and mouth."""

import numpy as np

from gamix_keras.data.faces.canvas import Canvas, blob, bump
from gamix_keras.data.faces.palette import rgb

_EYE_Y = 0.035
_WHITE = rgb(0.96, 0.95, 0.94)
_SHINE = rgb(1.0, 1.0, 1.0)
_DARK = rgb(0.06, 0.04, 0.05)
_THROAT = rgb(0.3, 0.07, 0.09)


def _eye_spacing(part: Canvas) -> np.ndarray:
    return 0.195 + 0.018 * part["eye_spacing"]


def paint_eyes(canvas: Canvas) -> None:
    """White, iris, pupil, highlight, lids and lashes of both eyes."""
    for side in (-1.0, 1.0):
        with canvas.crop(*sorted((side * -0.16, side * 0.6)), -0.3, 0.32) as part:
            wide = 0.112 + 0.016 * part["eye_size"]
            x = side * part.face_x - _eye_spacing(part)
            y = part.face_y - _EYE_Y + (0.25 * part["eye_tilt"] + 0.08) * x
            arch = 1.0 - (x / wide) ** 2
            upper = -(0.062 + 0.02 * part["eye_opening"] + 0.008 * part["eye_size"]) * arch
            lower = (0.04 + 0.01 * part["eye_opening"]) * arch
            opening = part.cover(np.maximum(upper - y, y - lower))
            part.paint(opening, _WHITE * (0.86 + 0.14 * part.palette.skin))
            _paint_iris(part, side * x, y, opening, side)
            part.paint(opening * 0.45 * bump((y - upper) / 0.05), _DARK)
            _paint_lids(part, x / wide, y, upper, lower)


def _paint_iris(part: Canvas, x: np.ndarray, y: np.ndarray, opening: np.ndarray, side: float) -> None:
    """Iris with a dark ring, pupil, and the reflection of the light; x and y from the middle of the eye."""
    x = x - 0.032 * part["gaze"]
    radius = np.sqrt(x * x + (y + 0.008) ** 2)
    size = 0.058 + 0.005 * part["eye_size"]
    disc = opening * part.cover(radius - size)
    ring = np.clip(radius / size, 0.0, 1.0)
    glow = np.clip(1.05 + 6.0 * y, 0.6, 1.5)
    part.paint(disc, part.palette.iris * (glow * (1.0 - 0.65 * ring * ring * ring)))
    part.paint(disc * part.cover(radius - 0.45 * size), _DARK)
    shine = np.sqrt((x - 0.02 * np.copysign(np.float32(1.0), part["light_side"])) ** 2 + (y + 0.028) ** 2)
    part.paint(disc * part.cover(shine - 0.017), _SHINE)


def _paint_lids(part: Canvas, x: np.ndarray, y: np.ndarray, upper: np.ndarray, lower: np.ndarray) -> None:
    """Lash line (thicker outside), crease above it, and a thin lower edge; x in half widths of the eye."""
    side = np.abs(x)
    ends = np.clip((1.12 - side) * 6.0, 0.0, 1.0)
    lash = part.cover(np.abs(y - upper + 0.006) - (0.013 + 0.006 * np.clip(x, -1.0, 1.0)))
    part.paint(0.9 * ends * lash, part.palette.hair_shadow * 0.35 + 0.03)
    crease = bump((y - 1.25 * upper + 0.035) / 0.022) * np.clip((1.2 - side) * 3.0, 0.0, 1.0)
    part.paint(0.5 * crease, part.palette.skin_shadow)
    part.paint(0.45 * ends * bump((y - lower - 0.006) / 0.02), part.palette.skin_shadow)


def paint_brows(canvas: Canvas) -> None:
    """Arched strokes of hair, thick inside and thin outside."""
    for side in (-1.0, 1.0):
        with canvas.crop(*sorted((side * -0.16, side * 0.64)), -0.46, 0.14) as part:
            x = (side * part.face_x - _eye_spacing(part) - 0.01) / 0.15
            centre = -0.165 - 0.028 * part["brow_height"] - 0.042 * part["brow_angle"] * x + 0.03 * x * x
            thick = (0.021 + 0.009 * part["brow_thickness"]) * (1.0 - 0.3 * x - 0.3 * x * x)
            stroke = part.cover(np.abs(part.face_y - centre) - thick, 0.03)
            stroke *= np.clip((1.0 - np.abs(x)) * 5.0, 0.0, 1.0)
            grain = 0.78 + 0.14 * np.sin(70.0 * part.face_x + 40.0 * side * part.face_y)
            part.paint(stroke * grain, 0.5 * part.palette.hair + 0.3 * part.palette.hair_shadow)


def mouth_frame(part: Canvas) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mouth coordinates: x in half widths, y below the line of the lips; and 1 - x^2, at least -0.3."""
    wide = 0.163 + 0.022 * part["mouth_width"] + 0.018 * part["smile"]
    x = (part.face_x - 0.03 * part["yaw"]) / wide
    square = np.clip(x * x, 0.0, 1.6)
    rise = 0.011 + 0.044 * part["smile"]
    y = part.face_y - (0.415 + 0.01 * part["nose_length"]) - rise * (0.5 - square)
    return x, y, np.clip(1.0 - square, -0.3, 1.0)


def paint_mouth(canvas: Canvas) -> None:
    """Lips with a bow, the dark opening, teeth, and the shadow under the lower lip."""
    with canvas.crop(-0.5, 0.5, 0.14, 0.78) as part:
        x, y, arch = mouth_frame(part)
        gap = 0.055 * np.maximum(part["mouth_opening"] - 0.25, 0.0) * (1.1 + 0.5 * part["smile"]) * arch
        full = 0.9 + 0.3 * part["lip_fullness"]
        bow = 0.82 + 0.35 * bump((np.abs(x) - 0.28) / 0.3)
        top = -gap - 0.048 * full * arch * bow
        bottom = gap + 0.068 * full * arch
        part.paint(0.45 * bump((y - bottom - 0.035) / 0.04) * bump(x / 0.8), part.palette.skin_shadow)
        lips = part.cover(np.maximum(top - y, y - bottom)) * _corners(x)
        part.paint(lips, part.palette.lips * np.clip(0.92 + 2.2 * y, 0.72, 1.12))
        shine = blob((x - 0.2 * part["light_side"]) / 0.45, (y - gap - 0.03 * full) / 0.022)
        part.paint(0.35 * lips * shine, _SHINE)
        _paint_opening(part, x, y, gap, lips)


def _corners(x: np.ndarray) -> np.ndarray:
    """Return 1 along the mouth, falling to 0 just past its corners, at which lips are thinner than a pixel."""
    return np.clip((1.08 - np.abs(x)) * 7.0, 0.0, 1.0)


def _paint_opening(part: Canvas, x: np.ndarray, y: np.ndarray, gap: np.ndarray, lips: np.ndarray) -> None:
    """Paint the line between the lips, and in the gap between them darkness and the upper teeth."""
    part.paint(0.8 * bump(y / 0.022) * _corners(x), part.palette.lips * 0.35)
    inside = lips * part.cover(np.abs(y) - gap)
    part.paint(inside, _THROAT)
    teeth = inside * part.cover(y - 0.35 * gap) * bump(x / 1.1)
    part.paint(np.clip(1.3 * teeth, 0.0, 1.0), _WHITE)
