"""Keras alone loads a file after `import gamix_keras`, which itself imports no Keras."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gamix_keras.hooks.registration import CLASSES

ROOT = Path(__file__).parent.parent.parent
FILE = ROOT / "tests" / "runs" / "written_before_wings" / "checkpoints" / "epoch-0001.keras"
DECORATOR = "register_keras_serializable"


def _registered(room):
    """The names of the classes of a room that are registered with Keras, from its source."""
    for path in (ROOT / "gamix_keras" / room).rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if any(DECORATOR in ast.unparse(decorator) for decorator in getattr(node, "decorator_list", ())):
                yield node.name


@pytest.mark.backend_free
def test_every_registered_class_is_listed():
    rooms = [path.name for path in (ROOT / "gamix_keras").iterdir() if path.is_dir()]
    assert {room: set(names) for room in rooms if (names := list(_registered(room)))} == {
        room: set(names) for room, names in CLASSES.items()
    }


@pytest.mark.parametrize("first", ["gamix_keras", "keras"])
def test_a_file_loads_by_keras_whichever_is_imported_first(first):
    second = {"gamix_keras": "keras", "keras": "gamix_keras"}[first]
    program = f"""
import sys
import {first}
assert {first!r} == "keras" or "keras" not in sys.modules
import {second}
model = keras.saving.load_model({str(FILE)!r})
print(type(model).__module__, type(model).__name__, model.encoder.name)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["gamix_keras.models.gamix", "GAMIXVAE", "encoder"]
