"""Whatever comes in, what comes out is a value or one line: never a traceback."""

import json

import numpy as np
import pytest
from damage import damaged
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from gamix_keras.cli.main import COMMANDS, build_parser
from gamix_keras.config import Config, UserError, parse_assignments, settings
from gamix_keras.runs import Run

pytestmark = pytest.mark.backend_free

NUMBERS = st.one_of(st.integers(), st.floats(), st.integers(-2, 300))
VALUES = st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=20))
KEYS = st.one_of(st.sampled_from(sorted(settings())), st.text(max_size=20))
CHOICES = sorted({choice for entry in settings().values() for choice in entry.metadata["choices"]})
WORDS = st.one_of(st.sampled_from([*CHOICES, "none", "true", "1e400", "nan", "-1", "64", "0.5"]), st.text(max_size=12))
JSON = st.recursive(VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3))
QUICK = hypothesis_settings(
    max_examples=100, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)


def assert_one_line(error):
    """A complaint that a person can read."""
    assert str(error)
    assert "\n" not in str(error)


@QUICK
@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_a_config_is_refused_in_one_line_or_comes_back_from_json(values):
    try:
        config = Config().updated(values)
    except UserError as error:
        assert_one_line(error)
    else:
        assert Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@QUICK
@given(JSON)
def test_any_json_is_a_config_or_refused(values):
    try:
        Config.from_dict(values)
    except UserError as error:
        assert_one_line(error)


@QUICK
@given(st.lists(st.one_of(st.builds("{}={}".format, KEYS, WORDS), WORDS), max_size=4))
def test_any_assignments_are_a_config_or_refused(assignments):
    try:
        Config().updated(parse_assignments(assignments))
    except UserError as error:
        assert_one_line(error)


OPTIONS = ["--preset", "--set", "--out", "--count", "--resume", "--backend", "--dims", "--steps", "--seed", "--format"]


@QUICK
@given(st.lists(st.one_of(st.sampled_from([*COMMANDS, *OPTIONS]), WORDS), max_size=6))
def test_any_command_line_is_parsed_or_refused(words):
    try:
        build_parser().parse_args([word for word in words if word not in ("-h", "--help", "--version")])
    except UserError as error:
        assert_one_line(error)


def fuzz_configs(cases, folder):
    rng = np.random.default_rng(1)
    whole = json.dumps({"config": Config().to_dict(), "preset": "x", "sessions": []}, indent=1).encode()
    for _ in range(cases):
        (folder / "config.json").write_bytes(damaged(rng, whole))
        try:
            Run.open(folder)
        except UserError as error:
            assert_one_line(error)


def test_a_few_damaged_configs(tmp_path):
    fuzz_configs(200, tmp_path)


@pytest.mark.slow
def test_five_thousand_damaged_configs(tmp_path):
    fuzz_configs(5000, tmp_path)
