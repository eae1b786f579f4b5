"""Hair and beard. One formula draws every hair style; a style is a row of numbers.

The hair covers an outer egg around the head, less an opening for the face. Its texture is strands which fan
out from a point above the head, or curls.
"""

from dataclasses import dataclass, fields

import numpy as np

from gamix_keras.data.faces.canvas import Canvas, bump, positive
from gamix_keras.data.faces.features import mouth_frame
from gamix_keras.data.faces.head import HEAD_TOP, chin, half_width, head_radius, light_direction


@dataclass(frozen=True)
class Style:
    """A hair style in head units.

    Attributes:
        crown: Thickness above the skull.
        sides: Thickness beside the head.
        length: How far down the sides reach.
        line: Height of the hairline, negative is above the eyes.
        opening: Half width of the bare face, in half widths of the head.
        square: 0 for a round hairline, 1 for a straight one.
        sweep: How much higher the hairline is at one side of the parting.
        jagged: Roughness of the edges.
        curl: 0 for straight strands, 1 for curls.
        bun: Radius of a bun on the crown.
        cover: Opacity.
    """

    crown: float
    sides: float
    length: float
    line: float
    opening: float
    square: float = 0.5
    sweep: float = 0.0
    jagged: float = 0.0
    curl: float = 0.0
    bun: float = 0.0
    cover: float = 1.0


STYLES: dict[str, Style] = {
    "bald": Style(0.0, 0.0, 0.1, -0.7, 1.0, cover=0.0),
    "receding": Style(0.03, 0.03, 0.16, -0.58, 0.93, 0.1, jagged=0.01, cover=0.95),
    "buzz": Style(0.015, 0.012, 0.1, -0.44, 0.96, 0.7, cover=0.82),
    "short": Style(0.08, 0.035, 0.14, -0.4, 0.93, 0.75, jagged=0.03),
    "quiff": Style(0.17, 0.02, 0.1, -0.45, 0.95, 0.6, 0.1, 0.035),
    "side_part": Style(0.09, 0.05, 0.16, -0.36, 0.92, 0.6, 0.4, 0.015),
    "fringe": Style(0.08, 0.09, 0.56, -0.15, 0.84, 0.95, 0.08, 0.02),
    "bob": Style(0.09, 0.13, 0.5, -0.38, 0.82, 0.2, 0.35, 0.01),
    "long": Style(0.09, 0.13, 1.5, -0.42, 0.84, 0.1, 0.15, 0.012),
    "afro": Style(0.22, 0.23, 0.42, -0.36, 0.9, 0.5, 0.0, 0.02, 1.0),
    "curly_long": Style(0.15, 0.2, 1.0, -0.38, 0.82, 0.3, 0.15, 0.02, 0.8),
    "bun": Style(0.035, 0.015, 0.1, -0.45, 0.94, 0.3, 0.1, bun=0.17),
}


@dataclass(frozen=True)
class HairPlan:
    """Shape and texture of the hair of a canvas, each (N, h, w).

    Attributes:
        radius: Radius of the outer egg, 1 on its outline.
        outline: Coverage of the outer egg and the bun.
        front: Coverage of what lies before the face.
        strands: Texture, about [-1, 1].
    """

    radius: np.ndarray
    outline: np.ndarray
    front: np.ndarray
    strands: np.ndarray


def _style(canvas: Canvas) -> dict[str, np.ndarray]:
    """Every number of the style of each picture, (N, 1, 1)."""
    names = [field.name for field in fields(Style)]
    return {
        name: canvas.choose("hair_style", {value: getattr(style, name) for value, style in STYLES.items()})
        for name in names
    }


def plan_hair(canvas: Canvas) -> HairPlan:
    """Works out shape and texture of the hair."""
    style = _style(canvas)
    strands = _strands(canvas, style["curl"])
    radius = _outer_radius(canvas, style)
    rough = strands * style["jagged"]
    outline = canvas.cover(np.minimum((radius - 1.0) * 0.5 + rough, _bun(canvas, style)), 0.035)
    outline *= style["cover"]
    bare = canvas.cover(_opening(canvas, style) + rough, 0.03)
    return HairPlan(radius, outline, outline * (1.0 - bare), strands)


def _strands(canvas: Canvas, curl: np.ndarray) -> np.ndarray:
    """Texture in about [-1, 1]: locks and fine strands across the fall of the hair, mixed with curls."""
    phase = 6.2832 * canvas["hair_strands"]
    across = (canvas.head_x - 0.25 * canvas["hair_part"]) / np.clip(canvas.head_y + 1.35, 0.3, 3.0)
    bend = 0.12 * np.sin(5.0 * canvas.head_y + phase)
    locks = np.sin(19.0 * (across + bend) + phase)
    fine = np.sin(61.0 * across + 30.0 * bend + 1.5 * locks + 2.0 * phase)
    texture = 0.5 * locks + 0.6 * fine
    curly = np.flatnonzero(curl)
    rings = _rings(canvas.head_x[curly], canvas.head_y[curly], phase[curly])
    texture[curly] += curl[curly] * (1.1 * rings - 0.8 * texture[curly])
    return texture


def _rings(x: np.ndarray, y: np.ndarray, phase: np.ndarray) -> np.ndarray:
    across = np.sin(27.0 * x + 1.3 * np.sin(9.0 * y + 2.0 * phase) + phase)
    return across * np.sin(27.0 * y + 1.3 * np.sin(9.0 * x + phase))


def _outer_radius(canvas: Canvas, style: dict[str, np.ndarray]) -> np.ndarray:
    """Radius of the outer egg: an ellipse above the eyes, a box with rounded ends below."""
    volume = 1.0 + 0.3 * canvas["hair_volume"]
    side = canvas.head_x / (half_width(canvas) + style["sides"] * volume)
    high = np.clip(canvas.head_y, -np.inf, 0.0) / (HEAD_TOP + style["crown"] * volume)
    low = positive(canvas.head_y) / style["length"]
    low *= low
    return np.sqrt(side * side + low * low + high * high)


def _bun(canvas: Canvas, style: dict[str, np.ndarray]) -> np.ndarray:
    """Signed distance to a bun on the crown; far away for styles without one."""
    distance = np.sqrt(canvas.head_x**2 + (canvas.head_y + (HEAD_TOP + 0.1)) ** 2)
    return distance - np.where(style["bun"] > 0.0, style["bun"], np.float32(-9.0))


def _opening(canvas: Canvas, style: dict[str, np.ndarray]) -> np.ndarray:
    """Signed distance to the bare face: a rounded arch under the hairline, open below."""
    x = (canvas.head_x - 0.04 * canvas["yaw"]) / (half_width(canvas) * style["opening"])
    y = canvas.head_y + (style["sweep"] * canvas["hair_part"]) * canvas.head_x
    up = np.clip(y - 0.1, -np.inf, 0.0) / (style["line"] - 0.1)
    x, up = x * x, up * up
    corner = style["square"] * np.clip(x, 0.0, 1.0) * np.clip(up, 0.0, 1.0)
    return (np.sqrt(x + up - corner) - 1.0) * 0.45


def paint_back_hair(canvas: Canvas, plan: HairPlan) -> None:
    """Hair behind neck and ears, in the shade."""
    canvas.paint(plan.outline, canvas.palette.hair_shadow * (1.6 + 0.25 * plan.strands))


def paint_hair_shadow(canvas: Canvas) -> None:
    """Paint the shadow that the hair throws on the skin next to it; it fades towards the jaw."""
    with canvas.crop(-0.66, 0.66, -0.8, 0.46) as part:
        style = _style(part)
        near = np.clip(1.0 + _opening(part, style) / 0.09, 0.0, 1.0)
        near *= np.clip(1.4 - 4.0 * part.head_y, 0.0, 1.0)
        near *= part.cover((head_radius(part) - 1.0) * 0.5)
        part.paint(0.5 * style["cover"] * near, part.palette.skin_shadow)


def paint_front_hair(canvas: Canvas, plan: HairPlan) -> None:
    """Hair before the head: darker in the shade and between strands, with a band of gloss."""
    palette = canvas.palette
    right, down, _ = light_direction(canvas)
    lit = (0.75 * right) * canvas.head_x + (0.75 * down) * canvas.head_y
    lit += 0.62 + 0.26 * plan.strands
    gloss = bump((plan.radius - 0.8 + 0.05 * plan.strands) / 0.17) * np.clip(-2.0 * canvas.head_y, 0.0, 1.0)
    gloss *= 0.6 + 0.4 * plan.strands
    lit = np.clip(lit, 0.0, 1.0)
    canvas.paint(plan.front, palette.hair_shadow + (palette.hair - palette.hair_shadow) * lit)
    canvas.paint(plan.front * gloss, palette.hair_light)


def paint_beard(canvas: Canvas) -> None:
    """Stubble, moustache, goatee or full beard; the mouth is painted over it."""
    bearded = canvas.which("beard", "stubble", "moustache", "goatee", "full")
    with canvas.crop(-0.7, 0.7, -0.2, 0.95, bearded) as part:
        grain = 0.65 * np.sin(62.0 * part.head_x + 2.5 * np.sin(14.0 * part.head_y))
        grain += 0.35 * np.sin(33.0 * part.head_y + 25.0 * part.head_x)
        moustache, full = _moustache(part), _full_beard(part)
        goatee = np.minimum(moustache, _chin_beard(part))
        kinds = {"stubble": full, "moustache": moustache, "goatee": goatee, "full": full}
        shape = part.select("beard", kinds) + 0.012 * grain
        strength = part.choose("beard", {"stubble": 0.4, "moustache": 0.95, "goatee": 0.95, "full": 0.97})
        lit = np.clip(0.5 + 0.4 * grain + 0.5 * part["light_side"] * part.head_x, 0.0, 1.0)
        shadow, hair = part.palette.hair_shadow, part.palette.hair
        part.paint(strength * part.cover(shape, 0.04), shadow + 0.85 * (hair - shadow) * lit)


def _moustache(part: Canvas) -> np.ndarray:
    x, y, _ = mouth_frame(part)
    return np.maximum(np.abs(y + 0.062 - 0.045 * x * x) - 0.034, (np.abs(x) - 1.02) * 0.15)


def _chin_beard(part: Canvas) -> np.ndarray:
    x, y = part.face_x / 0.19, (part.face_y - chin(part) + 0.06) / 0.135
    return (np.sqrt(x * x + y * y) - 1.0) * 0.15


def _full_beard(part: Canvas) -> np.ndarray:
    """Inside the jaw, below a line from the ear to the mouth, and clear of the nose."""
    side = np.abs(part.face_x)
    cheek = 0.37 - 0.9 * positive(side - 0.16) - part.face_y
    nose = 0.055 - np.sqrt((part.face_x / 1.6) ** 2 + (part.face_y - 0.27) ** 2)
    return np.maximum(np.maximum(0.7 * cheek, (head_radius(part) - 1.07) * 0.5), nose)
