"""A module imports only from floors below its own; backends stay in a few places. The floors are in the docs."""

import ast
import graphlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "gamix_keras"
ROWS = re.findall(r"^\| (\d+) \| (.*) \|$", (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"), re.M)
DESCRIBED = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"), re.M)
FLOOR = {room: int(floor) for floor, rooms in ROWS for room in re.findall(r"`(\w+)`", rooms)}
BACKENDS = {"tensorflow", "jax", "torch"}
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")
pytestmark = pytest.mark.backend_free


def _imports(path):
    """The dotted name behind every import in a file; of names taken from the package itself, each."""
    for node in ast.walk(ast.parse((PACKAGE / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _room(path):
    return path.parts[0].removesuffix(".py")


def _dotted(path):
    return ".".join(["gamix_keras", *path.with_suffix("").parts])


def test_every_room_has_a_floor_and_a_description():
    assert {_room(path) for path in MODULES} == FLOOR.keys() == set(DESCRIBED)
    assert len(FLOOR) + 1 <= 27, "the top level shows the system"


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_module_imports_only_from_lower_floors(path):
    for name in _imports(path):
        parts = name.split(".")
        if parts[0] != "gamix_keras" or len(parts) == 1 or parts[1] in (_room(path), "__version__"):
            continue
        assert FLOOR[parts[1]] < FLOOR[_room(path)], f"{path} imports {name}"


def test_no_two_modules_import_each_other():
    names = {_dotted(path) for path in MODULES}
    graph = {_dotted(path): names & set(_imports(path)) for path in MODULES}
    list(graphlib.TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_backends_are_imported_in_few_places(path):
    allowed = (
        path.match("training/*_steps.py")
        or path.match("distributed/*_devices.py")
        or path.match("layers/*_kernels.py")
        or _room(path) in ("export", "data")
    )
    found = {name.split(".")[0] for name in _imports(path)} & BACKENDS
    assert allowed or not found, f"{path} imports {found}"


def test_there_is_no_utils():
    assert not [path for path in MODULES if "util" in path.name]
