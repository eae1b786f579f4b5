"""What surrounds a face: background, clothes, glasses, and the colour of the light."""

import numpy as np

from gamix_keras.data.faces.canvas import Canvas, bump, positive
from gamix_keras.data.faces.head import body_frame
from gamix_keras.data.faces.palette import hue_colour, rgb

_LIGHTS = 5
_TURN = 6.2832
_VIVID = {"plain": 0.35, "glow": 0.75, "diagonal": 1.0, "bokeh": 0.9, "horizon": 0.8}
_DOWNWARD = {"plain": 0.35, "glow": 0.12, "diagonal": 0.25, "bokeh": 0.2, "horizon": 0.2}


def paint_background(canvas: Canvas) -> None:
    """Fill the whole picture: two related colours mixed by a gradient, then hills or blurred lights."""
    hue, tone = canvas["background_hue"], canvas["background_tone"]
    vivid = canvas.choose("background", _VIVID)
    near = hue_colour(hue, vivid * (0.45 - 0.2 * tone), 0.45 + 0.5 * tone)
    far = hue_colour(hue + 0.09, vivid * (0.65 - 0.2 * tone), 0.12 + 0.6 * tone)
    share = np.clip(_gradient(canvas), 0.0, 1.0)
    np.multiply(far - near, share, out=canvas.planes)
    np.add(canvas.planes, near, out=canvas.planes)
    _paint_hills(canvas)
    _paint_lights(canvas)


def _gradient(canvas: Canvas) -> np.ndarray:
    """Share of the far colour, before clipping: a plane, or a hill of light for the glow."""
    detail = canvas["background_detail"]
    down = canvas.choose("background", _DOWNWARD)
    across = canvas.choose("background", {"plain": 0.3, "diagonal": 0.9}) * (detail - 0.5)
    share = (0.5 + across * canvas.x) + down * canvas.y
    glow = canvas.choose("background", {"glow": 0.8})
    bend = glow * 0.6 * (canvas.x - 1.4 * (detail - 0.5)) ** 2 - glow * 0.8
    return share + np.minimum(bend + glow * 0.6 * (canvas.y + 0.25) ** 2, 0.0)


def _paint_hills(canvas: Canvas) -> None:
    """Paint a soft line of hills below the horizon."""
    with canvas.crop(-1.0, 1.0, -0.6, 1.0, canvas.which("background", "horizon")) as part:
        detail, tone = part["background_detail"], part["background_tone"]
        phase = _TURN * detail
        hills = 0.1 * np.sin(4.0 * part.x + phase) + 0.05 * np.sin(9.0 * part.x - 2.0 * phase)
        ground = hue_colour(part["background_hue"] + 0.35, np.float32(0.4), 0.22 + 0.35 * tone)
        part.paint(part.cover((0.5 * detail - 0.25 + hills) - part.y, 0.09), ground)


def _paint_lights(canvas: Canvas) -> None:
    """Blurred lights, as behind a portrait taken with an open lens."""
    with canvas.crop(-1.0, 1.0, -1.0, 0.5, canvas.which("background", "bokeh")) as part:
        detail, tone = part["background_detail"], part["background_tone"]
        light = np.zeros(part.head_x.shape, np.float32)
        for number in range(_LIGHTS):
            angle = _TURN * (detail + 1.618 * number)
            x, y = part.x - 0.78 * np.cos(angle), part.y + 0.3 - 0.5 * np.sin(3.1 * angle)
            radius = 0.13 + 0.09 * np.sin(5.0 * angle)
            light += np.clip((radius - np.sqrt(x * x + y * y)) * 11.0, 0.0, 0.55)
        colour = hue_colour(part["background_hue"] - 0.06, 0.3 - 0.2 * tone, 0.85 + 0.15 * tone)
        part.paint(np.minimum(light, 1.0), colour)


def paint_clothes(canvas: Canvas) -> None:
    """Shoulders, neckline, and a lighter collar for shirts and roll necks. Painted after the neck."""
    with canvas.crop(-1.0, 1.0, 0.45, 1.0) as part:
        x, y, shoulder = body_frame(part)
        side = np.abs(x)
        collar = np.maximum(side - 0.25, 0.58 - y) + 9.0 - part.choose("clothes", {"roll_neck": 9.0})
        edge = _neckline(part, side, y)
        torso = part.cover(np.maximum(np.minimum(shoulder, collar), edge))
        shade = np.clip(0.75 + 0.4 * part["light_side"] * x - 0.5 * (y - 0.7), 0.25, 1.1)
        part.paint(torso, part.palette.clothes * shade)
        rim = part.choose("clothes", {"shirt": 1.0, "roll_neck": 0.5}) * torso * bump((edge + 0.045) / 0.06)
        part.paint(rim, part.palette.clothes + 0.45 * (1.0 - part.palette.clothes))


def _neckline(part: Canvas, side: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the signed distance, positive on the visible skin of the neck."""
    return part.select(
        "clothes",
        {
            "crew": 0.19 - 0.2 * np.sqrt((side / 0.27) ** 2 + ((y - 0.68) / 0.2) ** 2),
            "v_neck": 0.6 * (0.26 - side - (y - 0.66) / 1.15),
            "shirt": 0.6 * (0.26 - side - (y - 0.66) / 0.9),
            "roll_neck": 0.58 - y + 0.0 * side,
        },
    )


def paint_glasses(canvas: Canvas) -> None:
    """Rims, bridge, temples and a faint reflection; dark lenses for sunglasses."""
    worn = canvas.which("glasses", "round", "square", "half_rim", "sun")
    with canvas.crop(-0.75, 0.75, -0.42, 0.42, worn) as part:
        lens = _lens(part)
        width = part.choose("glasses", {"round": 0.013, "square": 0.02, "half_rim": 0.018, "sun": 0.02})
        rim = np.abs(lens) - width + part.choose("glasses", {"half_rim": 1.0}) * positive(part.face_y - 0.03)
        glass = part.cover(lens)
        dark = part.choose("glasses", {"round": 0.04, "square": 0.04, "half_rim": 0.04, "sun": 0.88})
        part.paint(glass * dark, 0.12 * part.palette.clothes + 0.05)
        gleam = bump((np.abs(part.face_x + 0.17) - 0.34 + 0.8 * part.face_y) / 0.05)
        part.paint(0.2 * glass * gleam, rgb(1.0, 1.0, 1.0))
        part.paint(part.cover(np.minimum(rim, _bars(part, width))), _frame_colour(part))


def _lens(part: Canvas) -> np.ndarray:
    """Signed distance to the two lenses: rectangles with rounded corners, up to circles."""
    corner = part.choose("glasses", {"round": 0.15, "square": 0.05, "half_rim": 0.06, "sun": 0.09})
    tall = part.choose("glasses", {"round": 0.15, "square": 0.12, "half_rim": 0.11, "sun": 0.13})
    wide = part.choose("glasses", {"round": 0.15, "square": 0.165, "half_rim": 0.165, "sun": 0.17})
    x = np.abs(np.abs(part.face_x) - 0.2) - (wide - corner)
    y = np.abs(part.face_y - 0.04) - (tall - corner)
    outside = np.sqrt(positive(x) ** 2 + positive(y) ** 2)
    return outside + np.minimum(np.maximum(x, y), 0.0) - corner


def _bars(part: Canvas, width: np.ndarray) -> np.ndarray:
    """Signed distance to the bridge between the lenses and to the temples at their outer ends."""
    side = np.abs(part.face_x)
    bridge = np.maximum(np.abs(part.face_y - 1.5 * side * side) - width, side - 0.06)
    temple = np.maximum(np.abs(part.face_y + 0.01) - width, np.abs(side - 0.41) - 0.06)
    return np.minimum(bridge, temple)


def _frame_colour(part: Canvas) -> np.ndarray:
    """Metal for round glasses, brown for half rims, black for the others."""
    red = part.choose("glasses", {"round": 0.45, "square": 0.08, "half_rim": 0.3, "sun": 0.07})
    green = part.choose("glasses", {"round": 0.38, "square": 0.08, "half_rim": 0.17, "sun": 0.07})
    blue = part.choose("glasses", {"round": 0.3, "square": 0.1, "half_rim": 0.1, "sun": 0.08})
    return np.stack([red, green, blue])


def tint_light(canvas: Canvas) -> None:
    """Make the whole picture warmer or cooler."""
    np.multiply(canvas.planes, 1.0 + canvas["light_warmth"] * rgb(0.06, 0.0, -0.1), out=canvas.planes)
