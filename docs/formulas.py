"""Formulas of the pages: fenced blocks called ``math`` (LaTeX) become MathML when the site is built.

Browsers show MathML by themselves, so the pages load no script for it; GitHub renders the same blocks in its way.
"""

import re
from typing import Any

from latex2mathml.converter import convert

_BLOCK = re.compile(r"^```math\n(.+?)\n```$", re.MULTILINE | re.DOTALL)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """MkDocs calls this with the text of each page."""
    return _BLOCK.sub(_formula, markdown)


def _formula(block: re.Match) -> str:
    return f'<div class="formula">{convert(" ".join(block[1].split()), display="block")}</div>'
