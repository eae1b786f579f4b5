"""Which arrays of a file are the images, if it holds several: NumPy archives and HDF5 files."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from gamix_keras.data.array_layout import layout_of

# Tried in this order.
NAMES = ("images", "imgs", "image", "x_train", "X_train", "train_images", "train_x", "x", "X", "data", "arr_0")
VALIDATION_WORDS = ("validation", "valid", "val", "test")


class ArrayHeader(NamedTuple):
    """What a file says of an array, read without its values."""

    shape: tuple[int, ...]
    dtype: np.dtype

    def holds_images(self) -> bool:
        """Whether these may be images; flat rows may be anything and do not count."""
        try:
            layout_of(self.shape)
        except ValueError:
            return False
        return len(self.shape) > 2 and self.dtype.kind in "biuf"


def choose_arrays(headers: Mapping[str, ArrayHeader], key: str, spec: str) -> dict[str, str]:
    """Return the names of the arrays that hold the training and, if there is one, the validation images.

    Training images are, in this order: the array that the user names; the first of `NAMES`; the only array of images;
    the only array with `train` in its name among several; the only array. Validation images are the array of the same
    name with `validation`, `valid`, `val` or `test` in place of `train`.

    Args:
        headers: The arrays by name.
        key: The name that the user gives, or an empty string.
        spec: The source without its key, for the error.

    Raises:
        ValueError: If no array or several could be meant; it lists them, and says how to name one.
    """
    if key and key not in headers:
        raise ValueError(f"expected an array {key!r}, got {_listed(headers)}")
    name = key or _training_array(headers)
    if name is None:
        found = f"{_listed(headers)}; name one, as in {spec}#{next(iter(headers), 'KEY')}"
        raise ValueError(f"expected one array of images, got {found}")
    others = (name.replace("train", word) for word in VALIDATION_WORDS if "train" in name)
    held_out = next((other for other in others if other in headers), None)
    return {"train": name, "validation": held_out} if held_out else {"train": name}


def _training_array(headers: Mapping[str, ArrayHeader]) -> str | None:
    images = [name for name, header in headers.items() if header.holds_images()]
    training = [name for name in images if "train" in name]
    known = [name for name in NAMES if name in images] or [name for name in NAMES if _is_flat(headers, name)]
    for names in (known[:1], images, training, list(headers)):
        if len(names) == 1:
            return names[0]
    return None


def _is_flat(headers: Mapping[str, ArrayHeader], name: str) -> bool:
    return name in headers and len(headers[name].shape) == 2


def _listed(headers: Mapping[str, ArrayHeader]) -> str:
    named = [f"{name} {header.shape} {header.dtype}" for name, header in list(headers.items())[:12]]
    return ", ".join(named + ["..."] * (len(headers) > len(named))) or "none"
