"""TensorFlow's lines about itself are dropped, in a script as in a command, and nothing else is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gamix_keras.hooks import startup_lines

pytestmark = pytest.mark.backend_free

# A module that logs what TensorFlow does: before it reads its log level, and when it is asked for its devices.
STAND_IN = """
import os
os.write(2, b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\\n")
os.write(2, b"I0000 00:00:1 1 port.cc:153] oneDNN custom operations are on.\\n")
os.write(2, b"W0000 00:00:1 1 x.cc:1] a warning\\n")
class config:
    def list_physical_devices(kind):
        os.write(2, b"E0000 00:00:1 1 cuda_platform.cc:52] failed call to cuInit: INTERNAL: CUDA error\\n")
"""
IMPORT = """
import ctypes, os, sys
import gamix_keras
if "driver" in sys.argv:
    ctypes.CDLL = lambda name: None
import tensorflow
tensorflow.config.list_physical_devices("GPU") if "driver" in sys.argv else None
os.write(2, b"I0000 later\\n")
"""
# Every part that has made TensorFlow talk: images from a pipeline, a convolution with a leaky ReLU, a critic.
TRAINING = """
import sys
import gamix_keras
from gamix_keras.cli.main import main
from tiny import ASSIGNMENTS
sys.exit(main(["train", "--out", sys.argv[1], "--set", *ASSIGNMENTS]))
"""


def said(code, folder, *arguments, **environment):
    """Return what a fresh process writes to its standard error stream."""
    paths = os.pathsep.join([str(folder), *sys.path])
    hidden = {"TF_CPP_MIN_LOG_LEVEL", "KERAS_BACKEND"}
    values = {**{k: v for k, v in os.environ.items() if k not in hidden}, "PYTHONPATH": paths, **environment}
    return subprocess.run([sys.executable, "-c", code, *arguments], env=values, capture_output=True, text=True).stderr


@pytest.fixture
def stand_in(tmp_path):
    """A folder with a package `tensorflow` that only logs."""
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow" / "__init__.py").write_text(STAND_IN)
    return tmp_path


def test_the_import_drops_what_is_known_to_be_harmless(stand_in):
    if not startup_lines._has_driver():
        assert said(IMPORT, stand_in) == "W0000 00:00:1 1 x.cc:1] a warning\nI0000 later\n"
    # With a driver, why a GPU cannot be used is for the user to read.
    assert "failed call to cuInit" in said(IMPORT, stand_in, "driver")


def test_a_training_on_tensorflow_says_nothing_of_itself(tmp_path):
    tests = Path(__file__).parent.parent
    assert said(TRAINING, tests, tmp_path / "run", KERAS_BACKEND="tensorflow") == ""
    assert (tmp_path / "run" / "history.jsonl").exists()


def test_the_prediction_functions_of_many_models_are_not_one_that_is_traced_again(stand_in):
    code = """
import logging
import gamix_keras, tensorflow
for function in ("TensorFlowTrainer.make_predict_function.<locals>.one_step", "mine"):
    logging.getLogger("tensorflow").warning("5 out of 5 calls to %s triggered tf.function retracing", function)
"""
    assert "calls to mine triggered" in said(code, stand_in) and "predict" not in said(code, stand_in)


def test_without_an_error_stream_or_a_python_nothing_is_filtered(monkeypatch, capfd):
    for executable in ("", "/usr/bin/uwsgi", "/no/python"):
        monkeypatch.setattr(sys, "executable", executable)
        with startup_lines.filtered("I0000 "):
            os.write(2, b"I0000 seen\n")
        assert capfd.readouterr().err == "I0000 seen\n"


def test_whoever_sets_the_log_level_to_0_reads_all(stand_in):
    assert "oneDNN custom operations" in said(IMPORT, stand_in, TF_CPP_MIN_LOG_LEVEL="0")


def test_a_process_that_dies_in_the_import_still_says_why(tmp_path):
    code = """
import os
from gamix_keras.hooks import startup_lines
with startup_lines.filtered("I0000 "):
    os.write(2, b"I0000 noise\\nF0000 00:00:1 1 cpu.cc:1] this CPU lacks AVX\\n")
    os.abort()
"""
    assert said(code, tmp_path) == "F0000 00:00:1 1 cpu.cc:1] this CPU lacks AVX\n"


def test_an_error_of_the_import_is_shown(stand_in):
    (stand_in / "tensorflow" / "__init__.py").write_text(f"{STAND_IN}\nraise ImportError('broken wheel')")
    assert "ImportError: broken wheel" in said(IMPORT, stand_in)
