"""The curve of quality against minutes."""

import numpy as np
import pytest
from tiny import ASSIGNMENTS

from benchmarks import quality
from gamix_keras import assembly
from gamix_keras.config import Config

pytestmark = pytest.mark.backend_free


def arguments(*words):
    return quality._parser().parse_args(["--preset", "faces-quick", *words])


@pytest.mark.parametrize("name", quality.NETWORKS)
def test_every_network_is_a_configuration(name):
    assert isinstance(quality._config(name, arguments()), Config)


def test_an_unknown_network_is_one_line(capsys):
    with pytest.raises(SystemExit):
        quality.main(["--networks", "none"])
    assert "expected names of light" in capsys.readouterr().err


def test_minutes_are_those_of_the_clock(monkeypatch):
    # Half of each second is the process's own.
    seconds = iter([0.0, 10.0])
    monkeypatch.setattr(quality.time, "perf_counter", lambda: next(seconds))
    monkeypatch.setitem(quality.CLOCKS, "cpu", iter([0.0, 5.0]).__next__)
    monkeypatch.setattr("gamix_keras.runs.session.train", lambda run, verbose: None)
    assert quality._train(None, "cpu") == 0.5


def test_the_held_out_images_are_drawn_with_the_seed(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(quality, "_train", lambda run, clock: 1.0)
    monkeypatch.setattr("gamix_keras.runs.Run.history", lambda run: [{"epoch": 1, "seconds": 1.0}])
    monkeypatch.setattr(quality, "_checkpoints", lambda run: [(1, run.path)])
    monkeypatch.setattr(quality, "_quality", lambda file, held_out: seen.append(held_out.load(np.arange(2))) or {})
    config = quality._config("light", arguments("--set", *ASSIGNMENTS, "data.count=400"))
    for number in range(2):
        list(quality.curve("light", config, tmp_path / str(number), minutes=1.0, count=2))
    first = assembly.open_source(config, "validation").load(np.arange(2))
    assert np.array_equal(*seen) and not np.array_equal(seen[0], first)


@pytest.mark.slow
@pytest.mark.parametrize("clock", quality.CLOCKS)
def test_every_epoch_is_a_row(tmp_path, clock):
    config = quality._config("light", arguments("--set", *ASSIGNMENTS))
    rows = list(quality.curve("light", config, tmp_path, minutes=1e-9, count=2, clock=clock))
    assert [row["epoch"] for row in rows] == [1]
    assert rows[0]["minutes"] > 0
    assert rows[0]["psnr"] > 0
