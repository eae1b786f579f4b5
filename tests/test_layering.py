"""A module imports only from its own level's package or from lower levels; backends stay in a few places."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "gamix_keras"
LEVELS = {
    0: (
        "gaussian",
        "config",
        "consistency",
        "settings",
        "files",
        "checkpoints",
        "interrupts",
        "provenance",
        "presets",
        "replicas",
    ),
    1: ("layers", "losses", "metrics", "data", "plots", "page"),
    2: ("networks", "training"),
    3: ("models", "samplers", "inference", "latent_space", "callbacks"),
    4: ("assembly", "runs", "session", "measures", "sampling", "loading", "export", "followers"),
    5: ("study", "report", "evaluation", "explore"),
    6: ("cli", "benchmarks", "__main__"),
}
LEVEL = {name: level for level, names in LEVELS.items() for name in names}
BACKENDS = {"tensorflow", "jax", "torch"}
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")
pytestmark = pytest.mark.backend_free


def _imports(path):
    """(first part below gamix_keras or the outside package) of every import in a file."""
    for node in ast.walk(ast.parse((PACKAGE / path).read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module] if node.module != "gamix_keras" else [f"gamix_keras.{a.name}" for a in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        yield from names


def _own(path):
    return path.parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_module_imports_only_from_lower_levels(path):
    level = LEVEL[_own(path)]
    for name in _imports(path):
        parts = name.split(".")
        if parts[0] != "gamix_keras" or len(parts) == 1 or parts[1] in (_own(path), "__version__"):
            continue
        other = LEVEL[parts[1]]
        allowed = other < level or (other == level and level in (0, 1, 3, 4, 5, 6))
        assert allowed, f"{path} (level {level}) imports {name} (level {other})"


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_backends_are_imported_in_few_places(path):
    allowed = (
        path.match("training/*_steps.py")
        or path.match("training/*_devices.py")
        or path.match("layers/torch_kernels.py")
        or _own(path) in ("export", "data", "benchmarks")
    )
    found = {name.split(".")[0] for name in _imports(path)} & BACKENDS
    assert allowed or not found, f"{path} imports {found}"


def test_there_is_no_utils():
    assert not [path for path in MODULES if "util" in path.name]
