"""A trained decoder where it is used: TensorFlow Serving, ONNX, LiteRT, OpenVINO, and the client of a server.

Public names load on first use: `client` needs neither Keras nor TensorFlow.
"""

from importlib import import_module
from typing import Any

# Most images that a served model gives for one request: bounds the memory that a request can take.
MOST_IMAGES = 64

_PUBLIC = {
    "Client": "client",
    "Exported": "formats",
    "FORMATS": "formats",
    "export_model": "formats",
    "export_run": "run",
    "export_saved_model": "saved_model",
}

__all__ = ["MOST_IMAGES", *_PUBLIC]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)
