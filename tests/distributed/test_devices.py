"""Several devices must come to what one does with the same batch; each run has processes of its own."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from harness import backend, places

from gamix_keras.config import UserError
from gamix_keras.distributed import devices, replicas

SCRIPT = Path(__file__).parent / "device_run.py"
# Devices and processes. PyTorch has a process for each device; of TensorFlow's workers each takes one CPU.
CASES = {
    "tensorflow": [(2, 1), (2, 2), pytest.param(4, 1, marks=pytest.mark.slow)],
    "jax": [(2, 1), (2, 2), *(pytest.param(4, processes, marks=pytest.mark.slow) for processes in (1, 2))],
    "torch": [(2, 2), pytest.param(4, 4, marks=pytest.mark.slow)],
}
POOLED = ("active_units",)  # within-device variances, see `ActiveUnits`


def trained(count, file, *words, processes):
    """What a training on so many devices, in so many processes, came to."""
    command = [sys.executable, str(SCRIPT), str(count), str(file), *words]
    told = places(processes) if processes > 1 else [{}]
    started = [subprocess.Popen(command, env={**os.environ, **each}) for each in told]
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
    return trained(1, tmp_path_factory.mktemp("one") / "one.npz", processes=1)


def furthest(one, other):
    """The largest difference of any log, relative, and of any weight, absolute."""
    assert list(one) == list(other)
    scales = {
        name: max(1.0, float(np.max(np.abs(value)))) if "weight" not in name else 1.0 for name, value in one.items()
    }
    gaps = {name: float(np.max(np.abs(one[name] - other[name]))) / scales[name] for name in one if one[name].size}
    return max((gap, name) for name, gap in gaps.items() if not name.endswith(POOLED))


@pytest.mark.parametrize(("count", "processes"), CASES[backend()])
def test_several_devices_come_to_what_one_does(alone, count, processes, tmp_path):
    gap, name = furthest(alone, trained(count, tmp_path / "several.npz", processes=processes))
    assert gap < 1e-4, name


def test_targets_weights_scale_layers_and_frozen_networks_are_those_of_one_device(tmp_path):
    count, processes = CASES[backend()][0]
    one = trained(1, tmp_path / "one.npz", "given", processes=1)
    gap, name = furthest(one, trained(count, tmp_path / "several.npz", "given", processes=processes))
    assert gap < 1e-4, name


@pytest.mark.skipif(backend() == "jax", reason="on JAX there is no mean over replicas that could be missing")
def test_moments_of_each_device_alone_are_noticed(alone, tmp_path):
    processes = 2 if backend() == "torch" else 1
    gap, _ = furthest(alone, trained(2, tmp_path / "wrong.npz", "alone", processes=processes))
    assert gap > 1e-3


def test_more_devices_than_there_are_is_one_line():
    with pytest.raises(UserError, match=r"training\.devices: expected .*, got 99"), devices.scope(99):
        pass


@pytest.mark.skipif(backend() != "torch", reason="elsewhere a process finds all GPUs by itself")
@pytest.mark.parametrize("told", [{"LOCAL_WORLD_SIZE": "3"}, {}])
def test_a_gpu_for_each_process_of_pytorch(monkeypatch, told):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    for name, value in {**places(3)[2], "LOCAL_RANK": "2", **told}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=r"training\.devices: expected at most 2, the GPUs of this machine, got 3"):
        devices.join()


def test_one_device_changes_nothing():
    with devices.scope(1):
        assert devices.process_shard() == (0, 1)
        assert replicas.count() == 1


@pytest.mark.backend_free
class TestPlace:
    """Which of several processes this is."""

    WORKERS = '{"cluster": {"chief": ["a:1"], "worker": ["b:1", "c:1"]}, "task": {"type": "%s", "index": %d}}'

    @pytest.fixture(autouse=True)
    def nothing_told(self, monkeypatch):
        for name in ("TF_CONFIG", "RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
            monkeypatch.delenv(name, raising=False)

    def test_alone(self):
        assert [replicas.process_index(name) for name in ("tensorflow", "jax", "torch")] == [None] * 3
        assert not replicas.is_worker("jax")

    @pytest.mark.parametrize(("kind", "index", "number"), [("chief", 0, 0), ("worker", 0, 1), ("worker", 1, 2)])
    def test_workers_of_tensorflow_stand_behind_a_chief(self, monkeypatch, kind, index, number):
        monkeypatch.setenv("TF_CONFIG", self.WORKERS % (kind, index))
        assert replicas.process_index("tensorflow") == (number, 3)
        assert replicas.is_worker("tensorflow") == (number > 0)
        assert replicas.process_index("jax") is None

    def test_a_rank_is_for_jax_and_torch(self, monkeypatch):
        told = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"}
        for name, value in told.items():
            monkeypatch.setenv(name, value)
        assert replicas.process_index("jax") == replicas.process_index("torch") == (1, 2)
        assert replicas.process_index("tensorflow") is None

    @pytest.mark.parametrize("text", ["{", "[]", '{"cluster": {"worker": ["a:1"]}}', WORKERS % ("worker", 7)])
    def test_a_mistake_in_tf_config_is_one_line(self, monkeypatch, text):
        monkeypatch.setenv("TF_CONFIG", text)
        with pytest.raises(UserError, match="TF_CONFIG: expected"):
            replicas.process_index("tensorflow")


@pytest.mark.backend_free
def test_a_batch_is_dealt_out_in_turn():
    import tensorflow as tf

    from gamix_keras.distributed.tensorflow_devices import in_turn

    batches = tf.data.Dataset.from_tensor_slices(np.arange(16.0).reshape(2, 4, 2, 1, 1))
    parts = [part[:, :, 0, 0].tolist() for part in in_turn(batches, 2).as_numpy_iterator()]
    assert parts == np.arange(16.0).reshape(4, 2, 2).tolist()
    weighed = tf.data.Dataset.zip((batches, tf.data.Dataset.from_tensor_slices(np.arange(8).reshape(2, 4))))
    dealt = [weights.tolist() for _, weights in in_turn(weighed, 2).as_numpy_iterator()]
    assert dealt == np.arange(8).reshape(4, 2).tolist()
