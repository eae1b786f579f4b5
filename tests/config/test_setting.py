"""One setting: reading, saying what is expected, checking."""

from dataclasses import dataclass, fields

import pytest

from gamix_keras.config import UserError, check_value, expected, parse_value, setting, value_kinds

pytestmark = pytest.mark.backend_free


@dataclass
class Example:
    number: float | str | None = setting(1.0, "", above=0, high=2, choices=("auto",))
    flag: bool = setting(True, "")
    name: str = setting("", "")


NUMBER, FLAG, NAME = fields(Example)


def test_kinds():
    assert set(value_kinds(NUMBER)) == {float, str, type(None)}
    assert value_kinds(FLAG) == (bool,)


def test_expected_says_everything_that_is_allowed():
    assert expected(NUMBER) == "a number above 0 and of at most 2 or one of auto or none"


@pytest.mark.parametrize(
    ("entry", "text", "value"),
    [
        (NUMBER, "1e-3", 1e-3),
        (NUMBER, "auto", "auto"),
        (NUMBER, "None", None),
        (FLAG, "YES", True),
        (NAME, "1", "1"),
    ],
)
def test_text_is_read_as_the_first_type_that_fits(entry, text, value):
    found = parse_value("key", text, entry)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("value", [0.0, 2.5, float("nan"), "atuo", True, 1, [1.0]])
def test_what_is_not_allowed_is_refused(value):
    with pytest.raises(UserError, match="key: expected a number above 0"):
        check_value("key", value, NUMBER)


@pytest.mark.parametrize("value", [2.0, None, "auto"])
def test_what_is_allowed_passes(value):
    check_value("key", value, NUMBER)
