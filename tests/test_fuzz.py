"""Whatever comes in, what comes out is a value or one line: never a traceback."""

import io
import json
import warnings
import zipfile
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest
from damage import damaged
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from gamix_keras.cli.main import COMMANDS, build_parser
from gamix_keras.config import Config, UserError, parse_assignments, settings
from gamix_keras.data import open_source
from gamix_keras.runs import Run, agreement, checkpoints
from gamix_keras.training.model_file import read_model

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


def fuzz_histories(cases, folder):
    """What is read are rows with an epoch each, once, and training that goes on keeps those that it builds on."""
    rng = np.random.default_rng(2)
    rows = [{"epoch": epoch, "loss": 1.5 / epoch, "val_psnr": 20.0 + epoch, "seconds": 0.25} for epoch in range(1, 6)]
    whole = "".join(json.dumps(row) + "\n" for row in rows).encode()
    run = Run(folder, Config().updated({"training.keep_best": "val_psnr"}))
    for _ in range(cases):
        (folder / "history.jsonl").write_bytes(damaged(rng, whole))
        found = run.history()
        epochs = [row["epoch"] for row in found]
        assert len(set(epochs)) == len(epochs) and set(run.spared) <= set(epochs)
        run.rewind(3)
        assert run.history() == [row for row in found if row["epoch"] <= 3]
        for file in folder.glob("history.jsonl.damaged*"):
            file.unlink()


def fuzz_members(cases, folder, monkeypatch):
    """A damaged member, or a damaged archive: one line, or on to Keras, which is not asked here."""
    monkeypatch.setattr(keras.saving, "load_model", lambda *arguments, **keywords: "passed")
    rng = np.random.default_rng(3)
    source = next((Path(__file__).parent / "runs" / "written_before_wings" / "checkpoints").glob("*.keras"))
    with zipfile.ZipFile(source) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = Run.open(source.parents[1]).config
    for number in range(cases):
        file = folder / "model.keras"
        if number % 4:
            name = list(members)[rng.integers(len(members))]
            _write_archive(file, {**members, name: damaged(rng, members[name])}, number % 3)
        else:
            file.write_bytes(damaged(rng, source.read_bytes()))
        for look in (read_model, partial(agreement.check, config)):
            try:
                look(file)
            except ValueError as error:
                assert_one_line(error)
                assert "model.keras" in str(error)
        checkpoints.is_whole(file)


def _write_archive(file, members, deflated):
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def fuzz_arrays(cases, folder):
    """An NPZ file: images, or one line with its name."""
    rng = np.random.default_rng(4)
    arrays = io.BytesIO()
    np.savez(arrays, train=rng.integers(0, 256, (12, 6, 6, 3), "uint8"), labels=np.arange(12))
    for _ in range(cases):
        (folder / "images.npz").write_bytes(damaged(rng, arrays.getvalue()))
        try:
            source = open_source(f"npz:{folder / 'images.npz'}", image_size=4)
            source.draw(2, 0)
        except UserError as error:
            assert_one_line(error)


FUZZED = {"configs": fuzz_configs, "histories": fuzz_histories, "members": fuzz_members, "arrays": fuzz_arrays}


def fuzz(kind, cases, folder, monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lines and files are named in warnings
        FUZZED[kind](cases, folder, *([monkeypatch] if kind == "members" else []))


@pytest.mark.parametrize("kind", FUZZED)
def test_a_few_damaged_files(kind, tmp_path, monkeypatch):
    fuzz(kind, 60, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("kind", FUZZED)
def test_ten_thousand_damaged_files(kind, tmp_path, monkeypatch):
    fuzz(kind, 2500, tmp_path, monkeypatch)
