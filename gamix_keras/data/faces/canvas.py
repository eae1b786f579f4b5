"""What the parts of a face are painted with: coordinates, coverage of shapes, blending.

Units: the picture spans [-1, 1] in x (right) and y (down). Head coordinates (head_x, head_y) follow roll,
shift and zoom, with the origin between the eyes; face coordinates (face_x, face_y) follow yaw and pitch too.
Shapes are signed distances d, negative inside; coverage is clip(1/2 - d / width, 0, 1), a pixel wide or more.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from gamix_keras.data.faces.factors import SPECS
from gamix_keras.data.faces.palette import Palette, make_palette


@dataclass(frozen=True)
class Canvas:
    """A batch of pictures being painted, or a rectangle of some of them; arrays are float32.

    Attributes:
        planes: (3, N, h, w), red, green, blue in [0, 1].
        x: Picture coordinate, (1, 1, w).
        y: Picture coordinate, (1, h, 1).
        maps: The coordinates head_x, head_y, face_x, face_y, each (N, h, w), read as attributes.
        pixel: Width of a pixel.
        factors: Every factor as (N, 1, 1); a categorical one as int64 index.
        palette: Colours of each face.
    """

    planes: np.ndarray
    x: np.ndarray
    y: np.ndarray
    maps: Mapping[str, np.ndarray]
    pixel: float
    factors: Mapping[str, np.ndarray]
    palette: Palette

    @classmethod
    def blank(cls, factors: Mapping[str, np.ndarray], size: int) -> "Canvas":
        """Return an unpainted canvas of size x size pixels for factors of shape (N,)."""
        factors = {name: values.reshape(-1, 1, 1) for name, values in factors.items()}
        axis = ((np.arange(size) + 0.5) * (2.0 / size) - 1.0).astype(np.float32)
        x, y = axis[None, None, :], axis[None, :, None]
        planes = np.empty((3, len(factors["roll"]), size, size), np.float32)
        maps = _head_maps(factors, x, y)
        maps |= _face_maps(factors, maps["head_x"], maps["head_y"])
        return cls(planes, x, y, maps, 2.0 / size, factors, make_palette(factors))

    def __getitem__(self, name: str) -> np.ndarray:
        return self.factors[name]

    # A crop holds views; NumPy is several times faster on the contiguous copy, made when a map is first read.
    @cached_property
    def head_x(self) -> np.ndarray:
        """Head coordinate to the right, (N, h, w)."""
        return np.ascontiguousarray(self.maps["head_x"])

    @cached_property
    def head_y(self) -> np.ndarray:
        """Head coordinate downwards, (N, h, w)."""
        return np.ascontiguousarray(self.maps["head_y"])

    @cached_property
    def face_x(self) -> np.ndarray:
        """Face coordinate to the right, (N, h, w)."""
        return np.ascontiguousarray(self.maps["face_x"])

    @cached_property
    def face_y(self) -> np.ndarray:
        """Face coordinate downwards, (N, h, w)."""
        return np.ascontiguousarray(self.maps["face_y"])

    @contextmanager
    def crop(
        self, left: float, right: float, top: float, bottom: float, only: np.ndarray | None = None
    ) -> Iterator["Canvas"]:
        """Yield a contiguous copy of a rectangle, and write it back at the end: only this part is computed, and fast.

        Args:
            left: The left edge in picture coordinates, [-1, 1]. Everything painted must lie inside the rectangle.
            right: The right edge.
            top: The upper edge.
            bottom: The lower edge.
            only: Indices of the pictures wanted; None for all.
        """
        size = self.planes.shape[-1]
        window = (_span(top, bottom, size), _span(left, right, size))
        images = slice(None) if only is None else only
        part = self._part(images, *window)
        yield part
        self.planes[:, images, *window] = part.planes

    def _part(self, images: slice | np.ndarray, rows: slice, columns: slice) -> "Canvas":
        return replace(
            self,
            planes=self.planes[:, images, rows, columns].copy(order="C"),
            x=self.x[..., columns],
            y=self.y[:, rows],
            maps={name: values[images, rows, columns] for name, values in self.maps.items()},
            factors={name: values[images] for name, values in self.factors.items()},
            palette=self.palette.take(images),
        )

    def cover(self, distance: np.ndarray, width: float = 0.0) -> np.ndarray:
        """Coverage in [0, 1] of the shape with this signed distance; its edge is at least `width` wide."""
        coverage = distance * (-1.0 / max(width, self.pixel))
        coverage += 0.5
        return np.clip(coverage, 0.0, 1.0, out=coverage)

    def paint(self, coverage: np.ndarray, colour: np.ndarray) -> None:
        """Blends a colour, (3, N, 1, 1) or (3, N, h, w), over the picture by coverage in [0, 1]."""
        change = colour - self.planes
        change *= coverage
        np.add(self.planes, change, out=self.planes)

    def choose(self, name: str, table: Mapping[str, float]) -> np.ndarray:
        """Return a number per picture by the value of a categorical factor, 0 if it is not listed: (N, 1, 1)."""
        return np.array([table.get(value, 0.0) for value in SPECS[name].values], np.float32)[self[name]]

    def select(self, name: str, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the array (N, h, w) for the value of a categorical factor, 0 if it is not listed."""
        return sum(self.choose(name, {value: 1.0}) * array for value, array in arrays.items())

    def which(self, name: str, *values: str) -> np.ndarray:
        """Return the indices of the pictures in which a categorical factor has one of these values."""
        return np.flatnonzero(self.choose(name, dict.fromkeys(values, 1.0)))


def _head_maps(factors: Mapping[str, np.ndarray], x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """Undoes shift, roll and zoom of the head."""
    x = x - 0.07 * factors["shift_x"]
    y = y - 0.05 * factors["shift_y"] + 0.02
    zoom = 1.04 + 0.07 * factors["zoom"]
    cosine, sine = np.cos(0.16 * factors["roll"]) / zoom, np.sin(0.16 * factors["roll"]) / zoom
    return {"head_x": cosine * x + sine * y, "head_y": cosine * y - sine * x}


def _face_maps(factors: Mapping[str, np.ndarray], head_x: np.ndarray, head_y: np.ndarray) -> dict[str, np.ndarray]:
    """Move the middle of the face sideways or up and down while its outline stays."""
    bulge = positive(1.0 - 3.0 * head_x**2 - head_y**2)
    face_x = head_x - 0.1 * factors["yaw"] * bulge
    return {"face_x": face_x, "face_y": head_y - 0.05 * factors["pitch"] * bulge}


def _span(low: float, high: float, size: int) -> slice:
    first = int(np.floor((low + 1.0) / 2.0 * size))
    last = int(np.ceil((high + 1.0) / 2.0 * size))
    return slice(max(first, 0), min(last, size))


def positive(values: np.ndarray) -> np.ndarray:
    """max(values, 0); with scalar bounds NumPy's clip takes a third of the time of its maximum."""
    return np.clip(values, 0.0, np.inf)


def bump(distance: np.ndarray) -> np.ndarray:
    """Return a soft hill (1 - d^2)^2 for |d| < 1, exactly 0 outside, so it may be cropped."""
    return _hill(distance * distance)


def blob(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return a soft round hill (1 - x^2 - y^2)^2 inside the unit circle, exactly 0 outside."""
    return _hill(x * x + y * y)


def _hill(square: np.ndarray) -> np.ndarray:
    """max(1 - square, 0)^2, written over its argument."""
    np.subtract(1.0, square, out=square)
    np.clip(square, 0.0, 1.0, out=square)
    square *= square
    return square
