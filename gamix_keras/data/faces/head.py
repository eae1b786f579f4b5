"""Neck, ears, head and nose: the skin and the light on it."""

import numpy as np

from gamix_keras.data.faces.canvas import Canvas, blob, bump, positive

HEAD_TOP = 0.66


def half_width(canvas: Canvas) -> np.ndarray:
    """Half the width of the head at the eyes, (N, 1, 1)."""
    return 0.465 + 0.035 * canvas["face_width"]


def chin(canvas: Canvas) -> np.ndarray:
    """Height of the chin below the origin of the head, (N, 1, 1)."""
    return 0.65 + 0.05 * canvas["face_length"]


def head_radius(canvas: Canvas) -> np.ndarray:
    """Radius k of the egg of the head, 1 on its outline: (N, h, w).

    k^2 = (x (1 + taper l^2))^2 + l^2 + h^2, with x in half widths; l and h are the heights below and
    above the eyes in units of chin and crown; taper > 0 makes a pointed jaw, taper < 0 a square one.
    """
    low = positive(canvas.head_y) / chin(canvas)
    low *= low
    high = np.clip(canvas.head_y, -np.inf, 0.0) * (1.0 / HEAD_TOP)
    side = canvas.head_x / half_width(canvas) * (1.0 + (0.2 - 0.25 * canvas["jaw"]) * low)
    return np.sqrt(side * side + low + high * high)


def light_direction(canvas: Canvas) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the unit vector to the light: right, down, to the viewer; each (N, 1, 1)."""
    side = 0.95 * canvas["light_side"]
    down = -0.15 - 0.6 * canvas["light_height"]
    length = np.sqrt(side * side + down * down + 0.8)
    return side / length, down / length, np.sqrt(np.float32(0.8)) / length


def _skin(canvas: Canvas, lit: np.ndarray) -> np.ndarray:
    """Colour of skin from shadow (0) to even light (1)."""
    palette = canvas.palette
    return palette.skin_shadow + (palette.skin - palette.skin_shadow) * lit


def body_frame(part: Canvas) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Body coordinates x and y, which follow the head a little, and the signed distance to the shoulders."""
    x, y = part.x - 0.05 * part["shift_x"], part.y - 0.03 * part["shift_y"]
    side = np.abs(x)
    return x, y, 0.7 + 0.27 * positive(side - 0.2) + 1.6 * positive(side - 0.72) ** 2 - y


def paint_neck(canvas: Canvas) -> None:
    """Neck and chest, with the shadow that the chin throws on them."""
    with canvas.crop(-0.6, 0.6, 0.2, 1.0) as part:
        x, y = part.head_x, part.head_y
        width = 0.225 + 0.03 * part["face_width"] + 0.02 * part["jaw"]
        across = 1.0 - 0.5 * (x / width) ** 2 + 0.6 * part["light_side"] * x
        shade = np.clip(across * (0.25 + 1.1 * positive(y - (chin(part) + 0.02))), 0.0, 0.8)
        neck = np.abs(x) - 0.06 * positive(y - 0.6) - width
        chest = np.maximum(body_frame(part)[2], np.abs(part.x) - 0.42)
        part.paint(part.cover(np.minimum(neck, chest)), _skin(part, shade))


def paint_ears(canvas: Canvas) -> None:
    """Ears, seen less on the side to which the head turns."""
    for side in (-1.0, 1.0):
        with canvas.crop(*sorted((side * 0.24, side * 0.8)), -0.3, 0.4) as part:
            centre = half_width(part) - 0.05 * side * part["yaw"]
            x, y = (side * part.head_x - centre) / 0.068, (part.head_y - 0.08) / 0.12
            lit = np.clip(0.6 + 0.35 * side * part["light_side"], 0.0, 1.0)
            part.paint(part.cover((np.sqrt(x * x + y * y) - 1.0) * 0.09), _skin(part, lit))
            part.paint(0.55 * blob(x / 0.75, y / 0.75), part.palette.skin_shadow)


def paint_head(canvas: Canvas) -> None:
    """Shade the head as a solid by its normal and the light."""
    with canvas.crop(-0.66, 0.66, -0.84, 0.84) as part:
        radius = head_radius(part)
        right, down, front = light_direction(part)
        depth = np.sqrt(positive(1.04 - radius * radius))
        lit = (0.85 * right / 0.47) * part.head_x + (0.85 * down / 0.7) * part.head_y + (0.85 * front) * depth
        lit += 0.3
        part.paint(part.cover((radius - 1.0) * 0.5), _skin(part, np.clip(lit, 0.0, 1.0)))
    _paint_relief(canvas)


def _paint_relief(canvas: Canvas) -> None:
    """Eye sockets, cheeks, and the light on forehead, cheek and chin."""
    with canvas.crop(-0.66, 0.66, -0.68, 0.8) as part:
        x, y, palette = part.face_x, part.face_y, part.palette
        side = np.abs(x)
        part.paint(0.3 * blob((side - 0.18) / 0.2, (y + 0.02) / 0.16), palette.skin_shadow)
        cheek = blob((side - 0.27) / 0.17, (y - 0.24) / 0.14)
        part.paint((0.06 + 0.34 * part["blush"]) * cheek, palette.rose)
        glow = blob((x - 0.2 * part["light_side"]) / 0.32, (y + 0.32) / 0.2)
        glow += blob((x - 0.27 * part["light_side"]) / 0.15, (y - 0.16) / 0.1)
        glow += 0.7 * blob(x / 0.13, (y - (chin(part) - 0.11)) / 0.08)
        part.paint(0.34 * glow, palette.skin_light)


def paint_nose(canvas: Canvas) -> None:
    """Bridge lit from one side, ball, shadow below it, wings and nostrils."""
    with canvas.crop(-0.42, 0.42, -0.32, 0.5) as part:
        palette = part.palette
        x = part.face_x - 0.05 * part["yaw"] * np.clip(part.face_y * 4.0 + 0.4, 0.0, 1.0)
        tip = 0.235 + 0.03 * part["nose_length"] + 0.015 * part["pitch"]
        wide = 0.085 + 0.022 * part["nose_width"]
        _paint_bridge(part, x, tip, wide)
        y, side = part.face_y - tip, np.abs(x)
        part.paint(0.55 * blob(x / (1.25 * wide), (y - 0.055) / 0.05), palette.skin_shadow)
        ball = blob((x - 0.02 * part["light_side"]) / 0.055, (y + 0.02) / 0.06)
        part.paint(0.75 * ball, palette.skin_light)
        part.paint(0.5 * blob((side - wide) / 0.03, (y - 0.005) / 0.055), palette.skin_shadow)
        hole = np.sqrt(((side - 0.52 * wide) / 0.032) ** 2 + ((y - 0.04) / 0.02) ** 2)
        part.paint(0.75 * part.cover((hole - 1.0) * 0.025, 0.03), palette.skin_shadow * 0.55)


def _paint_bridge(part: Canvas, x: np.ndarray, tip: np.ndarray, wide: np.ndarray) -> None:
    """Shade the nose: the side away from the light dark, the ridge light; both fade at brow and tip."""
    along = np.clip((part.face_y + 0.12) / (tip + 0.12), 0.0, 1.0)
    inside = bump((part.face_y - 0.5 * tip + 0.05) / (0.5 * tip + 0.09))
    away = x * np.copysign(np.float32(1.0), -part["light_side"])
    edge = 0.035 + (0.8 * wide - 0.02) * along * along
    dark = bump((away - edge) / (0.035 + 0.03 * along)) * inside
    part.paint((0.2 + 0.35 * np.abs(part["light_side"])) * dark, part.palette.skin_shadow)
    part.paint(0.4 * bump((x - 0.01 * part["light_side"]) / 0.045) * inside, part.palette.skin_light)
