"""The Python of README.md and of the site runs as it is printed, README's script with smaller numbers."""

import ast
import doctest
from importlib import import_module

import pytest
from documentation import ROOT, blocks, name, pages

SMALLER = {
    ROOT / "README.md": {
        "shape, latent_dim = (64, 64, 3), 64": "shape, latent_dim = (16, 16, 3), 4",
        "image_size=64": "image_size=16",
        "count=6000": "count=80",
        "widths=(32, 64, 128)": "widths=(8, 8, 8)",
        "batches(source, 64": "batches(source, 8",
        "epochs=10": "epochs=1",
    }
}
RUNNING = [page for page in pages() if {"python", "pycon"} & {kind for kind, _ in blocks(page)}]
SHOWN = [page for page in pages() if "py" in {kind for kind, _ in blocks(page)}]
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def test_there_is_code():
    names = set(map(name, RUNNING))
    assert {"README.md", "docs/index.md", "docs/concepts.md", "docs/extending.md"} <= names


@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")  # Keras says so of every data set
@pytest.mark.backend_free  # what the code calls is tested on every backend elsewhere
@pytest.mark.parametrize("page", RUNNING, ids=name)
def test_code_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "page"}
    for kind, text in blocks(page):
        if kind == "python":
            exec(compile(_smaller(page, text), name(page), "exec"), names)
        elif kind == "pycon":
            _check(text, names, name(page))


@pytest.mark.backend_free
@pytest.mark.parametrize("page", SMALLER, ids=name)
def test_what_is_made_smaller_is_there(page):
    text = page.read_text(encoding="utf-8")
    assert not [printed for printed in SMALLER[page] if printed not in text]


def _smaller(page, text):
    for printed, tried in SMALLER.get(page, {}).items():
        text = text.replace(printed, tried)
    return text


def _check(text, names, page):
    test = doctest.DocTestParser().get_doctest(text, names, page, None, None)
    said = []
    doctest.DocTestRunner(verbose=False, optionflags=FLAGS).run(test, out=said.append, clear_globs=False)
    names.update(test.globs)
    assert not said, "".join(said)


@pytest.mark.backend_free
@pytest.mark.parametrize("page", SHOWN, ids=name)
def test_code_that_cannot_run_here_is_valid_and_its_imports_are(page):
    for kind, text in blocks(page):
        if kind != "py":
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("gamix_keras"):
                module = import_module(node.module)
                assert not [alias.name for alias in node.names if not hasattr(module, alias.name)]
