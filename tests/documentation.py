"""The code in README.md, in docs/ and in the other pages, as blocks."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
_FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?<=\n\n)(?: {4}.*\n| *\n(?= {4}))+")
_PYTHON = re.compile(r"\s*(import|from) \w+")


class Block(NamedTuple):
    """A piece of code.

    `kind` is `python` (runs), `py` (does not: it wants a server, an account or a package that is not here), `pycon`
    (a doctest), `sh`, or whatever a fence says.
    """

    kind: str
    text: str


def pages():
    """Every page with code that a reader might copy."""
    docs = [path for path in sorted((ROOT / "docs").rglob("*.md")) if path.parent.name != "api"]
    return [ROOT / "README.md", ROOT / "RELIABILITY.md", ROOT / "deploy" / "README.md", *docs]


def name(page):
    """A page's name in a test's."""
    return page.relative_to(ROOT).as_posix()


def blocks(page):
    """The blocks of a page in order. The kind of an indented block follows from how it begins."""
    text = page.read_text(encoding="utf-8")
    fenced = [Block(kind, code) for kind, code in _FENCED.findall(text)]
    return fenced or [_indented(code) for code in _INDENTED.findall(text)]


def _indented(code):
    lines = "\n".join(line[4:] for line in code.splitlines())
    kind = "sh" if not _PYTHON.match(lines) else "py" if "http://" in lines else "python"
    return Block(kind, lines + "\n")


def prose(page):
    """A page without its fenced blocks and its included files."""
    return _FENCED.sub("", page.read_text(encoding="utf-8"))


def spans(page):
    """Code within sentences and tables."""
    return re.findall(r"`([^`\n]+)`", prose(page))


def commands(text):
    """The `gamix-keras ...` lines of a shell block or a docstring, those that go on in the next line joined."""
    joined = re.sub(r"\\+\n\s*", " ", text)
    lines = [re.split(r" {3,}", line.strip())[0] for line in joined.splitlines()]
    lines = [re.sub(r"^.*-m gamix_keras ", "gamix-keras ", line) for line in lines]
    return [line for line in lines if line.startswith("gamix-keras ")]
