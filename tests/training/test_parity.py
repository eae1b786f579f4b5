"""The same weights and batches give the same logs on every backend, in a process each."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from harness import gamix, images, vae

HERE = Path(__file__).parent
# `make test-lowest` has no PyTorch. The others are there wherever there are tests: without one, this fails.
OTHERS = ("jax", "torch") if find_spec("torch") else ("jax",)
KINDS = ("vae", "gan", "running", "critic")
PROGRAM = "import sys; sys.path[:0] = sys.argv[1].split(':'); import test_parity; test_parity.main(*sys.argv[2:])"


def _model(kind):
    """SGD, and no posterior noise: generators differ between backends, the mathematics must not."""
    import keras

    options = {"r1_weight": 2.0, "adaptive_weight": True} if kind == "critic" else {}
    momentum = 0.9 if kind == "running" else None
    model = vae() if kind == "vae" else gamix(moments="total", momentum=momentum, **options)
    model.sampler.draw = lambda mean, log_var, seed=0: mean + 0.1 * keras.ops.exp(0.5 * log_var)
    model.compile(keras.optimizers.SGD(1e-4, momentum=0.9))
    return model


def main(folder):
    """Runs in a process of its own backend: prints the logs of every epoch of every kind of model."""
    x, logs = images(32), {}
    for kind in KINDS:
        model = _model(kind)
        model.load_weights(Path(folder) / f"{kind}.weights.h5")
        options = {"batch_size": 8, "epochs": 4, "shuffle": False, "verbose": 0}
        logs[kind] = model.fit(x, validation_data=(x[:8],), **options).history
    print(json.dumps(logs))


@pytest.mark.backend_free
def test_every_backend_logs_the_same(tmp_path):
    for kind in KINDS:
        _model(kind).save_weights(tmp_path / f"{kind}.weights.h5")
    paths = f"{HERE}:{HERE.parent}"
    logs = {}
    for name in ("tensorflow", *OTHERS):
        environment = {**os.environ, "KERAS_BACKEND": name, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", PROGRAM, paths, str(tmp_path)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        logs[name] = json.loads(done.stdout.strip().splitlines()[-1])
    for name in OTHERS:
        for kind in KINDS:
            assert set(logs[name][kind]) == set(logs["tensorflow"][kind])
            for term, values in logs["tensorflow"][kind].items():
                got, message = logs[name][kind][term], f"{name} {kind} {term}"
                np.testing.assert_allclose(got, values, rtol=1e-4, atol=1e-4, err_msg=message)
