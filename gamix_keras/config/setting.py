"""One setting: how it is declared, how its text is read, and what makes its value wrong.

A setting is a dataclass field made by `setting(default, help, ...)`. Its annotation (`int`, `float`, `bool`, `str`, or
a union of them with or without `None`) and its metadata drive everything else.
"""

import dataclasses
import difflib
import math
import re
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

Value = bool | int | float | str | None

_KIND_NAMES = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    types.NoneType: "none",
}
_SIDES = re.compile(r"[1-9][0-9]{0,8}x[1-9][0-9]{0,8}")
_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class UserError(ValueError):
    """A mistake of the user, in one line: the name, what was expected, what came instead."""


@dataclass(frozen=True)
class Condition:
    """What another setting must be for a setting to do anything.

    Attributes:
        key: The other setting.
        values: Its values that do; if there are none, any value but `None`, `False` and 0.
    """

    key: str
    values: tuple[Value, ...] = ()

    def holds(self, value: Value) -> bool:
        """Return whether the other setting's value meets the condition."""
        return value in self.values if self.values else bool(value)

    def __str__(self) -> str:
        if not self.values:
            return self.key
        *others, last = map(shown, self.values)
        return f"{self.key}={', '.join(others)} or {last}" if others else f"{self.key}={last}"


def setting(
    default: Value,
    help: str,
    *,
    choices: tuple[str, ...] = (),
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
    resumable: bool | tuple[Value, ...] = False,
    needs: Condition | None = None,
    share: int | None = None,
    sides: bool = False,
) -> dataclasses.Field:
    """Declare one setting.

    Args:
        default: Its value if nothing else is said.
        help: What it does and its unit, in one short line.
        choices: The texts that are allowed; beside numbers if the annotation is `float | str`.
        low: Inclusive lower bound of a number.
        high: Inclusive upper bound of a number.
        above: Exclusive lower bound of a number.
        below: Exclusive upper bound of a number.
        resumable: Whether it may change when a run is resumed, or the values that it may then take.
        needs: Without which it does nothing; what the rows of `catalogue` say need not be said again.
        sides: Whether a text is HEIGHTxWIDTH, two whole numbers within the bounds.
        share: The least steps that a share stands for, if a number below 1 is a share of the whole training and any
            other a number of steps; None if not.
    """
    limits = {"low": low, "high": high, "above": above, "below": below}
    metadata = {
        "help": help,
        "choices": choices,
        "resumable": resumable,
        "needs": needs,
        "share": share,
        "sides": sides,
        **limits,
    }
    return dataclasses.field(default=default, metadata=metadata)


def declared(section: type, prefix: str = "") -> dict[str, dataclasses.Field]:
    """Return the declaration of every setting of a class of sections by its dotted key, in the order of the classes."""
    return dict(_declared(section, prefix))


def _declared(section: type, prefix: str) -> Iterator[tuple[str, dataclasses.Field]]:
    for entry in dataclasses.fields(section):
        if dataclasses.is_dataclass(entry.type):
            yield from _declared(entry.type, f"{prefix}{entry.name}.")
        else:
            yield prefix + entry.name, entry


def shown(value: object) -> str:
    """Write a value as `--set` reads it: `none`, `true`, `0.5`."""
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def sides(size: int | str | tuple[int, int]) -> tuple[int, int]:
    """Return height and width of a size: `64` is 64 x 64, `"64x48"` and `(64, 48)` are 64 high and 48 wide."""
    if isinstance(size, int):
        return size, size
    height, width = size.split("x") if isinstance(size, str) else size
    return int(height), int(width)


def value_kinds(entry: dataclasses.Field) -> tuple[type, ...]:
    """Return the plain types that a setting may have, `NoneType` among them."""
    return typing.get_args(entry.type) or (entry.type,)


def expected(entry: dataclasses.Field) -> str:
    """Say what a setting takes: `"a number above 0 or one of learned, optimal"`."""
    return " or ".join(_expected_kind(kind, entry.metadata) for kind in value_kinds(entry))


def _expected_kind(kind: type, metadata: Mapping) -> str:
    if kind is str and metadata["choices"]:
        return "one of " + ", ".join(metadata["choices"])
    if kind is str and metadata["sides"]:
        return "HEIGHTxWIDTH"
    bounds = _bounds(metadata) if kind in (int, float) else ""
    return f"{_KIND_NAMES[kind]} {bounds}".rstrip()


def _bounds(metadata: Mapping) -> str:
    if metadata["low"] is not None and metadata["high"] is not None:
        return f"from {metadata['low']} to {metadata['high']}"
    words = {"low": "of at least", "above": "above", "high": "of at most", "below": "below"}
    given = {word: metadata[name] for name, word in words.items() if metadata[name] is not None}
    return " and ".join(f"{word} {bound}" for word, bound in given.items())


def parse_value(key: str, text: str, entry: dataclasses.Field) -> Value:
    """Read the text of the setting `key` as the first of its types that the text fits.

    Raises:
        UserError: If it fits none.
    """
    for kind in sorted(value_kinds(entry), key=[types.NoneType, bool, int, float, str].index):
        try:
            return _read(kind, text)
        except (KeyError, ValueError):
            continue
    raise UserError(f"{key}: expected {expected(entry)}, got {text!r}")


def _read(kind: type, text: str) -> Value:
    if kind is types.NoneType:
        return {"none": None, "null": None}[text.lower()]
    return _WORDS[text.lower()] if kind is bool else kind(text)


def check_value(key: str, value: Value, entry: dataclasses.Field) -> None:
    """Check a value against the declaration of the setting `key`.

    Raises:
        UserError: If it has the wrong type, is no choice or lies outside the range.
    """
    if type(value) in value_kinds(entry) and _allowed(value, entry.metadata):
        return
    choices = entry.metadata["choices"]
    near = difflib.get_close_matches(value, choices, n=1) if isinstance(value, str) else []
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise UserError(f"{key}: expected {expected(entry)}, got {value!r}{hint}")


def _allowed(value: Value, metadata: Mapping) -> bool:
    if isinstance(value, str):
        if metadata["sides"]:
            return _SIDES.fullmatch(value) is not None and all(_within(side, metadata) for side in sides(value))
        return not metadata["choices"] or value in metadata["choices"]
    return value is None or isinstance(value, bool) or _within(value, metadata)


def _within(value: float, metadata: Mapping) -> bool:
    tests = {
        "low": lambda bound: value >= bound,
        "high": lambda bound: value <= bound,
        "above": lambda bound: value > bound,
        "below": lambda bound: value < bound,
    }
    bounded = all(metadata[name] is None or test(metadata[name]) for name, test in tests.items())
    return bounded and (type(value) is int or math.isfinite(value))
