"""The curve of quality against minutes."""

import pytest
from tiny import ASSIGNMENTS

from benchmarks import quality
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


@pytest.mark.slow
@pytest.mark.parametrize("clock", quality.CLOCKS)
def test_every_epoch_is_a_row(tmp_path, clock):
    config = quality._config("light", arguments("--set", *ASSIGNMENTS))
    rows = list(quality.curve("light", config, tmp_path, minutes=1e-9, count=2, clock=clock))
    assert [row["epoch"] for row in rows] == [1]
    assert rows[0]["minutes"] > 0
    assert rows[0]["psnr"] > 0
