"""`gamix-keras train --devices N`, from the command to the run."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from harness import backend, places
from tiny import ASSIGNMENTS

from gamix_keras import assembly
from gamix_keras.config import Config, UserError
from gamix_keras.runs import Run

ROOT = Path(__file__).parents[2]
CODE = """
import os, sys
if os.environ["KERAS_BACKEND"] == "tensorflow" and "TF_CONFIG" not in os.environ:
    import tensorflow as tf
    parts = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], parts)
from gamix_keras.cli.main import main
sys.exit(main(sys.argv[1:]))
"""
ALIKE = ["data.count=80", "training.ema_decay=0.9", "loss.momentum=0.9"]
ALIKE += [] if backend() == "jax" else ["training.numeric_guard=off"]  # on several devices only JAX has the guard
PATIENCE = 120  # seconds until all have ended; machines that are busy with other things included
WHOLE = ("loss", "val_loss", "psnr", "val_psnr", "global", "val_global", "critic")


def started(path, devices, *more, here=2, **told):
    """The process that starts a run on so many devices, of which so many are in it, or goes on with it."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "KERAS_BACKEND": backend(), **told}
    environment["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={here}"
    command = [sys.executable, "-c", CODE, "train", "--out", str(path), "--devices", str(devices)]
    command += ["--resume"] if (path / "config.json").exists() else ["--set", *ASSIGNMENTS, *ALIKE]
    command += ["--set", *more] if more else []
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def ended(*processes):
    """Wait for processes that belong together, which should have succeeded; what the last one said."""
    try:
        for process in processes:
            said = process.communicate(timeout=600)[0]
            assert process.returncode == 0, said[-2000:]
    finally:
        for process in processes:
            process.kill()
    return said


def until(condition):
    """Wait for it."""
    end = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.2)


def last_row(path):
    """The last row of the history of a run."""
    return json.loads((path / "history.jsonl").read_text().splitlines()[-1])


def trained(path, devices, *more):
    """The last row of the history of a run on so many devices."""
    ended(started(path, devices, *more))
    return last_row(path)


@pytest.mark.slow  # up to five processes start a backend each; training/test_devices.py compares the steps themselves
def test_a_run_on_two_devices_is_that_on_one(tmp_path):
    one, two = (trained(tmp_path / str(devices), devices) for devices in (1, 2))
    for name in WHOLE:
        np.testing.assert_allclose(two[name], one[name], rtol=1e-3, err_msg=name)
    assert "nothing left to train" in ended(started(tmp_path / "2", 2))


@pytest.mark.slow  # eight processes start a backend each
def test_a_run_on_two_machines_and_resumed_there_is_that_on_one(tmp_path):
    second_stage = ("second_stage.epochs=2", "second_stage.width=8")
    path = tmp_path / "two"
    for more in (("training.epochs=1",), ("training.epochs=2", *second_stage)):
        one = trained(tmp_path / "one", 1, *more)
        ended(*[started(path, 2, *more, here=1, **told) for told in places(2)])
        assert last_row(path)["epoch"] == int(more[0][-1])
    two = last_row(path)
    for name in WHOLE:
        np.testing.assert_allclose(two[name], one[name], rtol=1e-3, err_msg=name)
    assert Run.open(path).has_second_stage()
    # Nothing is left to train: all are told so, and end.
    ended(*[started(path, 2, *more, here=1, **told) for told in places(2)])


@pytest.mark.slow  # two processes start a backend each, and one waits until the other is found dead
def test_a_signal_to_the_first_machine_ends_all(tmp_path):
    path = tmp_path / "two"
    processes = [started(path, 2, "training.epochs=100000", here=1, **told) for told in places(2)]
    try:
        history = path / "history.jsonl"
        until(lambda: (history.exists() and history.read_text()) or processes[0].poll() is not None)
        processes[0].terminate()
        said = processes[0].communicate(timeout=PATIENCE)[0]
        assert processes[0].returncode == 143, said[-2000:]
        assert "stopped by SIGTERM" in said
        processes[1].communicate(timeout=PATIENCE)
    finally:
        for process in processes:
            process.kill()


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"training.batch_size": 63}, "training.batch_size: expected a multiple of training.devices = 2, got 63"),
        ({"loss.moments": "mixture"}, "loss.moments: expected means, total or full"),
        ({"loss.adaptive_weight": True}, "loss.adaptive_weight: expected false"),
        ({"training.clip_norm": 1.0, "backend": "tensorflow"}, "training.clip_norm: expected none"),
        ({"training.precision": "mixed_float16", "backend": "tensorflow"}, "training.precision: expected float32 or"),
    ],
)
def test_what_a_part_of_the_batch_cannot_tell_is_refused(change, complaint):
    with pytest.raises(UserError, match=complaint):
        Config().updated({"backend": "torch", "training.devices": 2, **change})


@pytest.mark.backend_free
@pytest.mark.parametrize("values", [{"model.norm": "batch"}, {"model.network": "wae"}])
def test_batch_normalisation_knows_the_whole_batch(values):
    assert Config().updated({"training.devices": 2, "backend": "torch", **values}).training.devices == 2


@pytest.mark.backend_free
def test_on_jax_all_of_that_is_allowed():
    values = {"loss.adaptive_weight": True, "training.clip_norm": 1.0, "backend": "jax"}
    assert Config().updated({"training.devices": 2, **values}).training.devices == 2


@pytest.mark.backend_free
def test_a_run_that_goes_without_the_guard_says_so():
    config = Config().updated({"training.devices": 2, "backend": "torch"})
    with pytest.warns(UserWarning, match="training.numeric_guard: expected off with training.devices=2 on torch, got"):
        assert assembly.build_guard(config, None, print, 0) == []
    assert assembly.build_guard(config.updated({"training.numeric_guard": "off"}), None, print, 0) == []
