"""Several devices must come to what one does with the same batch; each run has processes of its own."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from harness import backend

from gamix_keras import replicas
from gamix_keras.config import UserError
from gamix_keras.training import devices

SCRIPT = Path(__file__).parent / "device_run.py"
POOLED = ("active_units",)  # within-device variances, see `ActiveUnits`


def free_port():
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def trained(count, file, *words):
    """What a training on so many devices came to."""
    processes = count if backend() == "torch" else 1
    environment = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    command = [sys.executable, str(SCRIPT), str(count), str(file), *words]
    started = []
    for rank in range(processes):
        ranks = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes)} if processes > 1 else {}
        started.append(subprocess.Popen(command, env={**environment, **ranks}))
    try:
        assert [process.wait(300) for process in started] == [0] * processes
    finally:
        for process in started:
            process.kill()
    with np.load(file) as found:
        return dict(found)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What one device comes to."""
    return trained(1, tmp_path_factory.mktemp("one") / "one.npz")


def furthest(one, other):
    """The largest difference of any log, relative, and of any weight, absolute."""
    assert list(one) == list(other)
    scales = {
        name: max(1.0, float(np.max(np.abs(value)))) if "weight" not in name else 1.0 for name, value in one.items()
    }
    gaps = {name: float(np.max(np.abs(one[name] - other[name]))) / scales[name] for name in one if one[name].size}
    return max((gap, name) for name, gap in gaps.items() if not name.endswith(POOLED))


@pytest.mark.parametrize("count", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_several_devices_come_to_what_one_does(alone, count, tmp_path):
    gap, name = furthest(alone, trained(count, tmp_path / "several.npz"))
    assert gap < 1e-4, name


@pytest.mark.skipif(backend() == "jax", reason="on JAX there is no mean over replicas that could be missing")
def test_moments_of_each_device_alone_are_noticed(alone, tmp_path):
    gap, _ = furthest(alone, trained(2, tmp_path / "wrong.npz", "alone"))
    assert gap > 1e-3


def test_more_devices_than_there_are_is_one_line():
    with pytest.raises(UserError, match=r"training\.devices: expected .*, got 99"), devices.scope(99):
        pass


def test_one_device_changes_nothing():
    with devices.scope(1):
        assert devices.part() == (0, 1)
        assert replicas.count() == 1
