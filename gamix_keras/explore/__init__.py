"""The page of `gamix-keras explore`, which needs the extra `explore`, and the computations behind it.

Public names load on first use: `server` needs neither Keras nor Gradio.
"""

from importlib import import_module
from typing import Any

_PUBLIC = {
    "Explorer": "explorer",
    "Reconstruction": "explorer",
    "build_page": "page",
    "held_out_images": "opening",
    "open_explorer": "opening",
    "serve": "server",
}

__all__ = [*_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)
