"""Pictures and messages as HTML; a picture is embedded, so the browser fetches nothing after it."""

import base64
import io
from html import escape

import numpy as np
from PIL import Image

GAP = 2
PAPER = 255


def figure(image: np.ndarray, caption: str, file_name: str | None = None) -> str:
    """Return a picture with a caption, and a link that saves it as PNG, pixel for pixel.

    Args:
        image: Bytes (H, W, C), C = 1 or 3.
        caption: The caption, which is also the alternative text.
        file_name: The name of the saved file; None for no link.
    """
    source = "data:image/png;base64," + base64.b64encode(png(image)).decode("ascii")
    text, save = escape(caption), ""
    if file_name is not None:
        save = f'<a class="save" download="{escape(file_name)}" href="{source}">Download PNG</a>'
    picture = f'<img alt="{text}" src="{source}" width="{image.shape[1]}" height="{image.shape[0]}">'
    return f'<figure class="shown">{picture}<figcaption><span>{text}</span>{save}</figcaption></figure>'


def heading(title: str) -> str:
    """Return the page's heading: text rather than Markdown, because it is the name of a folder."""
    return f"<h1>{escape(title)}</h1>"


def side_by_side(*figures: str) -> str:
    """Return pictures side by side, on a phone too."""
    return f'<div class="beside">{"".join(figures)}</div>'


def problem(text: str) -> str:
    """Return an error message, which screen readers read aloud."""
    return f'<p class="problem" role="alert"><strong>That did not work.</strong> {escape(text)}</p>'


def hint(text: str) -> str:
    """Return an instruction, in place of a picture."""
    return f'<p class="hint">{escape(text)}</p>'


def png(image: np.ndarray) -> bytes:
    """Encode bytes (H, W, C) as PNG, fast rather than small, because every move of a slider needs one."""
    buffer = io.BytesIO()
    Image.fromarray(displayable(image)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def displayable(image: np.ndarray) -> np.ndarray:
    """Return bytes in the shapes of Pillow and Gradio: (H, W) for grey, (H, W, 3) for colour."""
    return image[..., 0] if image.shape[-1] < 3 else image[..., :3]


def sheet(images: np.ndarray, columns: int = 4) -> np.ndarray:
    """Tile images (N, H, W, C), N a multiple of `columns`, into one, with thin white lines between them."""
    padded = np.pad(images, ((0, 0), (0, GAP), (0, GAP), (0, 0)), constant_values=PAPER)
    count, height, width, channels = padded.shape
    rows = padded.reshape(count // columns, columns, height, width, channels).swapaxes(1, 2)
    return rows.reshape(count // columns * height, columns * width, channels)[:-GAP, :-GAP]
