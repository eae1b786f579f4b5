"""The table of all settings, made from their declarations when the site is built."""

from collections.abc import Iterator
from typing import Any

from gamix_keras.config import Config, expected, help_of, settings, shown

_PLACE = "<!-- settings -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Insert the tables into the page that asks for them; MkDocs calls this with the text of each page."""
    return markdown.replace(_PLACE, "\n".join(_tables())) if _PLACE in markdown else markdown


def _tables() -> Iterator[str]:
    default, section = Config(), None
    for key, entry in settings().items():
        if key.rpartition(".")[0] != section:
            section = key.rpartition(".")[0]
            yield f"\n## {section or 'General'}\n\n| key | default | what it does | takes |\n| --- | --- | --- | --- |"
        yield f"| `{key}` | `{shown(default.get(key))}` | {help_of(key)} | {expected(entry)} |"
