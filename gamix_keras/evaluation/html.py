"""A web page in one file: text, tables and pictures, with nothing to load from elsewhere."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff; max-width: 60rem; margin: 0 auto;
  padding: 1rem; }
h1 { font-size: 1.6rem; margin: 0.5rem 0; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 0.5rem; border-bottom: 1px solid #ddd; }
p, ul { margin: 0.5rem 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.9rem; }
th, td { text-align: right; padding: 0.25rem 0.7rem; border-bottom: 1px solid #eee; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
table.wrap td { white-space: normal; text-align: left; overflow-wrap: anywhere; }
figure { margin: 0.8rem 0; }
figure img { max-width: 100%; height: auto; display: block; }
figcaption { font-size: 0.85rem; color: #555; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(17rem, 100%), 1fr)); gap: 0.5rem 1rem; }
.tiles img { width: 100%; }
.finding { border-left: 4px solid #d9622b; padding: 0.3rem 0.8rem; background: #fdf4ef; margin: 0.6rem 0; }
.fine { border-left-color: #4a9a5b; background: #f1f8f2; }
pre { overflow-x: auto; background: #f6f6f6; padding: 0.7rem; font-size: 0.8rem; }
summary { cursor: pointer; }
"""


def page(title: str, parts: Iterable[str]) -> str:
    """Return the whole document of `parts`, which the other functions of this module return."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n" + "\n".join(parts) + "\n</body>\n</html>\n"
    )


def section(title: str, *parts: str) -> str:
    """Return a heading and the parts below it."""
    return "\n".join([f"<section>\n<h2>{escape(title)}</h2>", *parts, "</section>"])


def paragraph(text: str) -> str:
    """Return a paragraph of plain text."""
    return f"<p>{escape(text)}</p>"


def notes(lines: Iterable[str]) -> str:
    """Return a list of plain lines."""
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def finding(title: str, text: str, fine: bool = False) -> str:
    """Return a highlighted box, amber, or green if all is `fine`."""
    return f'<div class="finding{" fine" * fine}"><strong>{escape(title)}</strong> {escape(text)}</div>'


def table(rows: Sequence[Sequence[str]]) -> str:
    """Numbers in columns; the first row names them, the first column the rows."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows[1:])
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def definitions(values: Mapping[str, object]) -> str:
    """Names and values, long ones wrapped."""
    rows = "".join(f"<tr><td>{escape(name)}</td><td>{escape(str(value))}</td></tr>" for name, value in values.items())
    return f'<table class="wrap"><tbody>{rows}</tbody></table>'


def picture(png: bytes, caption: str) -> str:
    """Return a PNG embedded in the page, with a caption that is also its alternative text."""
    source = base64.b64encode(png).decode("ascii")
    text = escape(caption)
    below = f"<figcaption>{text}</figcaption>"
    return f'<figure><img alt="{text}" src="data:image/png;base64,{source}">{below}</figure>'


def tiles(parts: Iterable[str]) -> str:
    """Return pictures side by side if there is room, below each other on a phone."""
    return '<div class="tiles">' + "\n".join(parts) + "</div>"


def folded(title: str, text: str) -> str:
    """Verbatim text that opens when its title is clicked."""
    return f"<details><summary>{escape(title)}</summary><pre>{escape(text)}</pre></details>"
