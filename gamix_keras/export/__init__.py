"""Export of trained models to TensorFlow Serving, ONNX, OpenVINO and LiteRT, and a client for TensorFlow Serving.

Public names load on first use: `client` needs neither Keras nor TensorFlow.
"""

from importlib import import_module
from typing import Any

# The most images that a served model returns for one request, which bounds the memory of a request.
MOST_IMAGES = 64

_PUBLIC = {
    "Client": "client",
    "Exported": "formats",
    "FORMATS": "formats",
    "export_model": "formats",
    "export_run": "run",
    "export_saved_model": "saved_model",
}

__all__ = ["MOST_IMAGES", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)
