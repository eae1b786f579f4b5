"""A run on the backend at hand, its export, and TensorFlow's C library to call it with."""

import base64
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from tiny import TINY

from gamix_keras import assembly
from gamix_keras.config import Config
from gamix_keras.export import export_run
from gamix_keras.runs import Run


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A run with a checkpoint, and biases that are not zero."""
    config = Config().updated({**TINY, "training.precision": "float32"})
    run = Run.create(tmp_path_factory.mktemp("export") / "run", config, "tiny")
    run.begin_session(0)
    model = assembly.build_model(config)
    model.set_weights([w + 0.05 * np.random.default_rng(0).standard_normal(w.shape) for w in model.get_weights()])
    run.save_checkpoint(model, 1)
    return run


@pytest.fixture(scope="session")
def model(run):
    """What Keras says."""
    return run.load_model()


@pytest.fixture(scope="session")
def exported(run, tmp_path_factory):
    """The first version directory of the run's SavedModel."""
    return export_run(run.path, out=tmp_path_factory.mktemp("served") / "faces").path


@pytest.fixture(scope="session")
def capi():
    """Call signatures in a process without Python TensorFlow: ``capi(folder, ("decode", {"z": z}), ...)``."""
    return call_c_library


def call_c_library(folder, *calls, libraries=None):
    """Outputs by name of each call, or the library's complaint."""
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel.FromString((Path(folder) / "saved_model.pb").read_bytes())
    signatures = saved.meta_graphs[0].signature_def
    requests, names = [], []
    for name, arguments in calls:
        inputs, outputs = signatures[name].inputs, signatures[name].outputs
        names.append(list(outputs))
        given = [[inputs[key].name, inputs[key].dtype, *_packed(value)] for key, value in arguments.items()]
        requests.append({"inputs": given, "outputs": [outputs[key].name for key in outputs]})
    libraries = libraries or find_spec("tensorflow").submodule_search_locations[0]
    command = [sys.executable, Path(__file__).with_name("capi.py"), libraries, folder]
    done = subprocess.run(command, input=json.dumps(requests), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    answers = json.loads(done.stdout.splitlines()[-1])["answers"]
    return [
        answer if isinstance(answer, str) else dict(zip(keys, map(_unpacked, answer), strict=True))
        for keys, answer in zip(names, answers, strict=True)
    ]


def _packed(value):
    value = np.asarray(value)
    if value.dtype == object:
        return list(value.shape), [base64.b64encode(entry).decode() for entry in value.ravel()]
    return list(value.shape), base64.b64encode(value.tobytes()).decode()


def _unpacked(answer):
    kind, shape, data = answer
    if kind == 7:
        texts = np.empty(len(data), object)
        texts[:] = [base64.b64decode(text) for text in data]
        return texts.reshape(shape)
    return np.frombuffer(base64.b64decode(data), {1: "float32", 4: "uint8"}[kind]).reshape(shape)
