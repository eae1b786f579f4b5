"""Images: sources, and pipelines of batches. Knows no model."""

from gamix_keras.data.base import Source
from gamix_keras.data.decoding import load_image
from gamix_keras.data.pipeline import batches, reading
from gamix_keras.data.pixels import to_uint8, to_unit_range
from gamix_keras.data.reader import BatchReader
from gamix_keras.data.sources import open_source

__all__ = [
    "BatchReader",
    "Source",
    "batches",
    "load_image",
    "open_source",
    "reading",
    "to_uint8",
    "to_unit_range",
]
