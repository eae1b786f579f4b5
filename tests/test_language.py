"""The English of the code: no "where" for "if", single backticks in docstrings, no names that make a reader stop."""

import ast
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.backend_free
ROOT = Path(__file__).parent.parent
FILES = sorted(path for folder in ("gamix_keras", "benchmarks") for path in (ROOT / folder).rglob("*.py"))
# Per 1,000 words of docstrings. kauldron, equinox and keras-hub have 0.1 to 0.9.
MOST_WHERE = 0.5
BANNED = re.compile(r"follower|consistency|workshop|contest|dealt|(?<![a-z])alone|desert", re.IGNORECASE)
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def docstrings(tree):
    nodes = [node for node in ast.walk(tree) if isinstance(node, (ast.Module, *DEFINITIONS))]
    return [text for text in map(ast.get_docstring, nodes) if text]


def identifiers(tree):
    for node in ast.walk(tree):
        if isinstance(node, DEFINITIONS):
            yield node.name
        elif isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.arg):
            yield node.arg


def trees():
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in FILES}


def test_where_is_for_places():
    words = {name: re.findall(r"[A-Za-z'-]+", " ".join(docstrings(tree))) for name, tree in trees().items()}
    found = {name: sum(word.lower() == "where" for word in own) for name, own in words.items()}
    share = 1000 * sum(found.values()) / sum(map(len, words.values()))
    assert share <= MOST_WHERE, {name: count for name, count in found.items() if count}


def test_code_in_docstrings_has_single_backticks():
    assert not [name for name, tree in trees().items() if any("``" in text for text in docstrings(tree))]


def test_names_are_plain():
    names = {name: set(identifiers(tree)) | {Path(name).stem} for name, tree in trees().items()}
    banned = {name: sorted(filter(BANNED.search, own)) for name, own in names.items()}
    assert not {name: own for name, own in banned.items() if own}
