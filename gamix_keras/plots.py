"""Pictures of arrays: grids of images, and charts, as PNG.

Images are arrays (N, H, W, C) in [-1, 1], C = 1 or 3 (a fourth channel is not shown). Functions named `save_...` write
a file, those named `..._png` return its bytes, and `show` is for notebooks. Small images are enlarged to tiles of at
least 128 pixels by a whole factor, which keeps every pixel a square; rows with labels say so beneath the picture.
"""

import io
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gamix_keras.data.pixels import to_uint8
from gamix_keras.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Path = str | os.PathLike
Point = tuple[float, float]  # a value, and half of its interval

GAP = 2
LABEL_SIZE = 13
SMALLEST_TILE = 128
LARGEST_PNG = 64 * 1024  # bytes that a notebook keeps for one picture without loss
CHART_SIZE, CHART_DPI = (3.6, 2.3), 150
WIDE_CHART_SIZE = (7.2, 3.0)
COLOURS = ("#2f6db3", "#d9622b", "#4a9a5b", "#8a5fb0", "#7f7f7f")
_DOTS = {"markersize": 4, "linewidth": 1.2, "capsize": 2}
PAPER = (255, 255, 255)
INK = (40, 40, 40)


def save_image(image: np.ndarray, path: Path) -> None:
    """Write one image (H, W, C) as PNG, pixel for pixel."""
    _save(_picture(to_uint8(image)), path)


def save_sheet(images: np.ndarray, path: Path, columns: int | None = None) -> None:
    """Write a contact sheet, row by row, which is about square if `columns` is None."""
    _save(_sheet(images, columns), path)


def _sheet(images: np.ndarray, columns: int | None) -> Image.Image:
    columns = columns or max(1, int(np.ceil(np.sqrt(len(images)))))
    return _grid([images[start : start + columns] for start in range(0, len(images), columns)])


def save_rows(rows: Mapping[str, np.ndarray], path: Path, column_labels: Sequence[str] = (), title: str = "") -> None:
    """Write one row of images for each entry of `rows`, with its name on the left.

    Args:
        rows: Images (N, H, W, C) by label; rows may differ in length.
        path: The PNG file to write.
        column_labels: The labels above the columns.
        title: A line above the picture.
    """
    _save(_labelled(rows, column_labels, title), path)


def rows_png(rows: Mapping[str, np.ndarray], column_labels: Sequence[str] = ()) -> bytes:
    """Return the picture of `save_rows`."""
    return _bytes(_labelled(rows, column_labels, ""))


@dataclass(frozen=True)
class Picture:
    """A picture that a notebook shows and `save` writes.

    A notebook keeps it as PNG, pixel for pixel, or if that is large as JPEG, a tenth of the size for faces.

    Attributes:
        image: The picture itself, for everything that Pillow can do with it.
    """

    image: Image.Image

    @property
    def width(self) -> int:
        """The width in pixels."""
        return self.image.width

    @property
    def height(self) -> int:
        """The height in pixels."""
        return self.image.height

    @property
    def jpeg(self) -> bytes:
        """The picture as a JPEG file."""
        buffer = io.BytesIO()
        self.image.save(buffer, format="JPEG", quality=85)
        return buffer.getvalue()

    def save(self, path: Path) -> None:
        """Write a file, whole or not at all; missing folders are made.

        Args:
            path: The file, whose ending names a format of Pillow's: `.png`, `.jpg`, `.webp`, ...

        Raises:
            ValueError: If the ending names none.
        """
        kind = Image.registered_extensions().get(os.path.splitext(path)[1].lower())
        if kind not in Image.SAVE:
            raise ValueError(f"path: expected a file name that ends in .png, .jpg or .webp, got {os.fspath(path)!r}")
        with replacing(path) as temporary:
            self.image.save(temporary, format=kind)

    def _repr_png_(self) -> bytes | None:
        png = _bytes(self.image)
        return png if len(png) <= LARGEST_PNG else None

    def _repr_jpeg_(self) -> bytes | None:
        return None if self._repr_png_() else self.jpeg

    def __repr__(self) -> str:
        return f"Picture({self.width} x {self.height})"


def show(images: Any, columns: int | None = None, column_labels: Sequence[str] = ()) -> Picture:
    """Return a picture for the last line of a notebook's cell; elsewhere, `show(images).save("faces.png")`.

    Args:
        images: Images for a contact sheet, or images by label for one row each.
        columns: The number of columns of the sheet; None makes it about square.
        column_labels: The labels above the columns of rows.
    """
    if isinstance(images, Mapping):
        return Picture(_labelled({name: _numpy(row) for name, row in images.items()}, column_labels, ""))
    return Picture(_sheet(_numpy(images), columns))


def _numpy(images: Any) -> np.ndarray:
    if isinstance(images, np.ndarray):
        return images
    # Imported here, because the command line draws arrays without Keras.
    from keras import ops

    return ops.convert_to_numpy(images)


def _labelled(rows: Mapping[str, np.ndarray], column_labels: Sequence[str], title: str) -> Image.Image:
    sheet, note = _grid(list(rows.values())), _enlargement(next(iter(rows.values()))[0])
    step = (sheet.height - GAP) / len(rows)
    left = _text_width(rows) + 2 * GAP
    top = LABEL_SIZE + 3 * GAP
    offset = top * (bool(title) + bool(column_labels))
    width = left + max(sheet.width, _text_width([title]) + 2 * GAP, _text_width([note]) + 2 * GAP)
    canvas = Image.new("RGB", (width, offset + sheet.height + top * bool(note)), PAPER)
    canvas.paste(sheet, (left, offset))
    _write(canvas, (left + GAP, canvas.height - top / 2), note, "lm")
    for i, label in enumerate(rows):
        _write(canvas, (left - GAP, offset + step * (i + 0.5)), label, "rm")
    tile = (sheet.width - GAP) / max(len(images) for images in rows.values())
    for i, label in enumerate(column_labels):
        _write(canvas, (left + tile * (i + 0.5), offset - top / 2), label, "mm")
    _write(canvas, (left + GAP, top / 2), title, "lm")
    return canvas


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


def _factor(image: np.ndarray) -> int:
    """Return the whole factor by which an image is enlarged."""
    return max(1, -(-SMALLEST_TILE // min(image.shape[:2])))


def _enlargement(image: np.ndarray) -> str:
    """Say how an image is enlarged, if it is."""
    height, width = image.shape[:2]
    factor = _factor(image)
    return f"{height} x {width} pixels, enlarged {factor} times (nearest pixel)" if factor > 1 else ""


def _tile(image: np.ndarray) -> Image.Image:
    factor, picture = _factor(image), _picture(image)
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


def _bytes(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def lines_png(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]], title: str, x_label: str, log: bool = False
) -> bytes:
    """Draw lines over one axis.

    Args:
        lines: The x and y of each line by label; values that are not finite are left out.
        title: A line above the chart.
        x_label: The label of x, whose ticks are whole numbers.
        log: Whether the y axis is logarithmic.
    """

    def draw(axes: "Axes") -> None:
        for colour, (label, (x, y)) in zip(COLOURS, lines.items(), strict=False):
            marker = "o" if len(x) < 3 else None
            axes.plot(x, y, label=label, color=colour, linewidth=1.4, marker=marker, markersize=3)
        if len(lines) > 1:
            axes.legend(frameon=False, fontsize=7)
        if log:
            axes.set_yscale("log")
        axes.xaxis.get_major_locator().set_params(integer=True)

    return _chart(draw, title, x_label)


def groups_png(series: Mapping[str, Mapping[str, Point]], title: str) -> bytes:
    """Draw a group of dots for each category, one dot for each series, with their intervals.

    Args:
        series: Value and half of its interval by label and category; a category may be missing.
        title: A line above the chart.
    """
    categories = list(dict.fromkeys(name for points in series.values() for name in points))
    step = 0.6 / len(series)

    def draw(axes: "Axes") -> None:
        for i, (colour, (label, points)) in enumerate(zip(COLOURS, series.items(), strict=False)):
            places = [categories.index(name) + (i + 0.5) * step - 0.3 for name in points]
            axes.errorbar(places, *zip(*points.values(), strict=True), fmt="o", label=label, color=colour, **_DOTS)
        axes.set_xticks(range(len(categories)), categories)
        axes.set_xlim(-0.5, len(categories) - 0.5)
        _legend(axes, len(series))

    return _chart(draw, title, "", WIDE_CHART_SIZE)


def sweep_png(lines: Mapping[str, Sequence[tuple[float, float, float]]], title: str, x_label: str) -> bytes:
    """Draw lines over a logarithmic axis, with intervals.

    Args:
        lines: Points by label, each x > 0, a value, and half of its interval.
        title: A line above the chart.
        x_label: The label of x.
    """

    def draw(axes: "Axes") -> None:
        for colour, (label, points) in zip(COLOURS, lines.items(), strict=False):
            x, y, halves = zip(*points, strict=True)
            axes.errorbar(x, y, halves, fmt="o-", label=label, color=colour, **_DOTS)
        axes.set_xscale("log")
        _legend(axes, len(lines))

    return _chart(draw, title, x_label, WIDE_CHART_SIZE)


def _legend(axes: "Axes", entries: int) -> None:
    """Draw the legend beside the axes, so it covers no point."""
    if entries > 1:
        axes.legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _chart(draw: Callable[["Axes"], None], title: str, x_label: str, size: tuple[float, float] = CHART_SIZE) -> bytes:
    # Imported here, because it takes half a second and only a report needs it. A bare Figure has no global state.
    from matplotlib.figure import Figure

    figure = Figure(size, CHART_DPI, layout="constrained")
    axes = figure.add_subplot()
    draw(axes)
    axes.set_title(title, fontsize=9, loc="left")
    axes.set_xlabel(x_label, fontsize=8)
    axes.tick_params(labelsize=7, which="both")  # a logarithmic axis of less than a decade has only minor labels
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
