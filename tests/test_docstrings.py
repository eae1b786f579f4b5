"""Examples in docstrings run as doctests."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "gamix_keras"
FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if ">>> " in path.read_text(encoding="utf-8")]
MODULES = [".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__") for path in FILES]


def test_there_are_examples():
    assert {"gamix_keras.gaussian", "gamix_keras.losses.likelihoods", "gamix_keras.config.config"} <= set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_examples_of(module):
    said = []
    for test in doctest.DocTestFinder().find(import_module(module)):
        doctest.DocTestRunner(verbose=False, optionflags=doctest.NORMALIZE_WHITESPACE).run(test, out=said.append)
    assert not said, "".join(said)
