"""Formulas of the pages: fenced `math` blocks (LaTeX) become MathML when the site is built.

Browsers render MathML themselves, so the pages load no script; GitHub renders the same blocks too.
"""

import re
from typing import Any

from latex2mathml.converter import convert

_BLOCK = re.compile(r"^```math\n(.+?)\n```$", re.MULTILINE | re.DOTALL)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the formulas in the text of a page; MkDocs calls this for each page."""
    return _BLOCK.sub(_formula, markdown)


def _formula(block: re.Match) -> str:
    return f'<div class="formula">{convert(" ".join(block[1].split()), display="block")}</div>'
