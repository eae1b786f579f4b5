"""Turns, ratios, tables and files of the benchmarks."""

import json

import pytest

from benchmarks import record

pytestmark = pytest.mark.backend_free


def test_calls_take_turns_and_are_counted():
    order = []

    def call(name, work):
        return lambda: order.append(name) or work

    found = record.rates({"one": call("one", 3), "two": call("two", 6)}, seconds=1e-9, rounds=3)
    assert order[4:] == ["two", "one", "one", "two", "two", "one"]
    assert {len(speeds) for speeds in found.values()} == {3}
    assert all(speed > 0 for speeds in found.values() for speed in speeds)


def test_a_call_may_say_which_of_its_seconds_count():
    (speed,) = record.rates({"one": lambda: (6, 3.0)}, seconds=1e-9, rounds=1)["one"]
    assert speed == 2.0


def test_a_ratio_is_the_median_over_the_rounds():
    assert record.against({"mine": [2.0, 9.0, 4.0], "other": [1.0, 1.0, 2.0]}, "mine", "other") == 2.0


def test_a_table_leaves_out_what_is_not_known():
    rows = [{"name": "a", "speed": 1234.5}, {"name": "b", "speed": None}, {"name": "c", "speed": 0.51234}]
    lines = record.table(rows, {"name": "what", "speed": "images/s"}).splitlines()
    assert lines == ["| what | images/s |", "| --- | --- |", "| a | 1,234 |", "| b |  |", "| c | 0.512 |"]


def test_a_file_says_where_its_numbers_are_from(tmp_path):
    record.save(str(tmp_path / "x.json"), "x", [{"speed": 1.0}], seed=3, settings={"batch": 2})
    found = json.loads((tmp_path / "x.json").read_text())
    assert {"benchmark", "date", "command", "machine", "versions", "seed", "settings", "rows"} == set(found)
    assert found["seed"] == 3
    assert found["machine"]["cores"] >= 1
    assert "keras" in found["versions"]


def test_without_a_path_nothing_is_written():
    record.save(None, "x", [], seed=0)
