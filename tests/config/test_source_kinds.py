"""One table of sources: help, errors, documentation and readers derive from it."""

import re
from pathlib import Path

import pytest

from gamix_keras.cli.main import main
from gamix_keras.config import SOURCE_KINDS, settings, source_words
from gamix_keras.data.sources import KINDS

pytestmark = pytest.mark.backend_free

DOCS = Path(__file__).parents[2] / "docs" / "data.md"


def test_every_kind_has_a_reader():
    assert list(KINDS) == list(SOURCE_KINDS)


def test_the_documentation_has_the_same_table():
    rows = re.findall(r"^\| `([^`]+)` \| (.*) \|$", DOCS.read_text(encoding="utf-8"), re.M)
    wanted = [(kind.words, kind.meaning) for kind in SOURCE_KINDS.values()]
    assert rows[: len(wanted)] == wanted


def test_the_help_names_every_kind(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert all(kind.words in told for kind in SOURCE_KINDS.values())
    assert settings()["data.source"].metadata["help"] == source_words()
