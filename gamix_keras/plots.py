"""Arrays to pictures: grids of images as PNG. Computes nothing.

Images are arrays (N, H, W, C) in [-1, 1], C = 1 or 3 (a fourth channel is not shown).
"""

import os
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gamix_keras.files import replacing

Path = str | os.PathLike

GAP = 2
LABEL_SIZE = 13
SMALLEST_TILE = 64
PAPER = (255, 255, 255)
INK = (40, 40, 40)


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Map [-1, 1] to 0...255, rounded; what lies outside is clipped."""
    return np.clip(np.rint((np.asarray(images, "float32") + 1.0) * 127.5), 0, 255).astype("uint8")


def save_image(image: np.ndarray, path: Path) -> None:
    """Write one image (H, W, C) as PNG, pixel for pixel."""
    _save(_picture(to_uint8(image)), path)


def save_sheet(images: np.ndarray, path: Path, columns: int | None = None) -> None:
    """Write a contact sheet, row by row; without ``columns`` it is about square."""
    columns = columns or max(1, int(np.ceil(np.sqrt(len(images)))))
    _save(_grid([images[start : start + columns] for start in range(0, len(images), columns)]), path)


def save_rows(rows: Mapping[str, np.ndarray], path: Path, column_labels: Sequence[str] = (), title: str = "") -> None:
    """Write one row of images for each entry of ``rows``, with its name at the left.

    Args:
        rows: Label to images (N, H, W, C); rows may differ in length.
        path: The PNG to write.
        column_labels: What stands above the columns.
        title: A line above everything.
    """
    sheet = _grid(list(rows.values()))
    step = (sheet.height - GAP) / len(rows)
    left = _text_width(rows) + 2 * GAP
    top = LABEL_SIZE + 3 * GAP
    offset = top * (bool(title) + bool(column_labels))
    canvas = Image.new("RGB", (left + max(sheet.width, _text_width([title])), offset + sheet.height), PAPER)
    canvas.paste(sheet, (left, offset))
    for i, label in enumerate(rows):
        _write(canvas, (left - GAP, offset + step * (i + 0.5)), label, "rm")
    tile = (sheet.width - GAP) / max(len(images) for images in rows.values())
    for i, label in enumerate(column_labels):
        _write(canvas, (left + tile * (i + 0.5), offset - top / 2), label, "mm")
    _write(canvas, (left + GAP, top / 2), title, "lm")
    _save(canvas, path)


def _grid(rows: Sequence[np.ndarray]) -> Image.Image:
    tiles = [[_tile(image) for image in to_uint8(images)] for images in rows]
    width, height = tiles[0][0].size
    columns = max(len(row) for row in tiles)
    size = (columns * (width + GAP) + GAP, len(tiles) * (height + GAP) + GAP)
    sheet = Image.new("RGB", size, PAPER)
    for i, row in enumerate(tiles):
        for j, tile in enumerate(row):
            sheet.paste(tile, (GAP + j * (width + GAP), GAP + i * (height + GAP)))
    return sheet


def _tile(image: np.ndarray) -> Image.Image:
    """Small images are enlarged by a whole factor, so that every pixel stays a square."""
    factor = max(1, -(-SMALLEST_TILE // image.shape[0]))
    picture = _picture(image)
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)


def _picture(image: np.ndarray) -> Image.Image:
    channels = 1 if image.shape[-1] < 3 else 3
    return Image.fromarray(image[..., 0] if channels == 1 else image[..., :3]).convert("RGB")


def _font() -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(LABEL_SIZE)


def _text_width(labels: Sequence[str] | Mapping[str, np.ndarray]) -> int:
    return int(np.ceil(max((_font().getlength(label) for label in labels), default=0)))


def _write(canvas: Image.Image, place: tuple[float, float], text: str, anchor: str) -> None:
    ImageDraw.Draw(canvas).text(place, text, fill=INK, font=_font(), anchor=anchor)


def _save(picture: Image.Image, path: Path) -> None:
    with replacing(path) as temporary:
        picture.save(temporary, format="PNG")
