"""Every notebook runs from first cell to last; what is kept of its outputs is small and tells of no machine."""

import os
import re
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytestmark = pytest.mark.backend_free

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LARGEST = 500_000
SECONDS_PER_CELL = 300
PRIVATE = re.compile(r"/(home|root|tmp|work|Users|usr|opt)/|[A-Z]:\\\\")
WRONG = re.compile(r"Traceback|Warning:|Error:")


def read(path):
    return nbformat.read(path, as_version=4)


def outputs(notebook):
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def texts(output):
    yield from [output.get("text", "")]
    yield from (text for kind, text in output.get("data", {}).items() if kind.startswith("text/"))


def check(notebook):
    assert not [
        output for output in outputs(notebook) if output.output_type == "error" or output.get("name") == "stderr"
    ]
    for text in (text for output in outputs(notebook) for text in texts(output)):
        assert not PRIVATE.search(text), text
        assert not WRONG.search(text), text


def test_there_are_eight():
    assert [path.name[:2] for path in NOTEBOOKS] == [f"{i:02d}" for i in range(1, 9)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_is_kept(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert path.stat().st_size < LARGEST
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
    assert any({"image/jpeg", "image/png"} & set(output.get("data", {})) for output in outputs(notebook))
    check(notebook)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path, monkeypatch):
    roots = [str(FOLDER.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(roots))
    notebook = read(path)
    nbclient.NotebookClient(notebook, timeout=SECONDS_PER_CELL, kernel_name="python3").execute(cwd=str(FOLDER))
    check(notebook)
