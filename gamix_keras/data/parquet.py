"""Parquet files of images as Hugging Face's data sets have them, `parquet:PATH` or `parquet:PATH#COLUMN`."""

import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from gamix_keras.config import UserError
from gamix_keras.data.arrays import READ_ERRORS, first_line, numbered
from gamix_keras.data.base import Options, import_reader, split_key
from gamix_keras.data.decoding import BrokenImage, check_size, decode_image
from gamix_keras.data.shards import Shard, shard_splits
from gamix_keras.data.streamed import StreamedSource

NAMES = ("image", "img", "images", "picture", "jpg", "png", "webp")
_ROWS = 64
_BUFFER_BYTES = 2**20
_MOST_IMAGES = 2**27


def parquet_splits(path: str, options: Options) -> dict[str, Callable[[], StreamedSource]]:
    """Return what opens the splits of Parquet files, see `shards`.

    The column of images holds encoded files: binary, or a struct with the field `bytes`. It is the one that is named,
    the first of `NAMES`, or the only one. A struct with nothing but a `path` counts as broken: no other file is read.

    Raises:
        UserError: If there are no files, pyarrow is missing, or the column is not clear.
    """
    root, column = split_key(path)
    splits = shard_splits(str(root), ".parquet")
    reader = _Reader(str(root), column)
    return {split: functools.partial(_open_shards, reader, shards, options) for split, shards in splits.items()}


def _open_shards(reader: "_Reader", shards: Sequence[Shard], options: Options) -> StreamedSource:
    keys = [key for label, shard in shards for key in numbered(label, reader.count(shard))]
    paths = [shard for _, shard in shards]

    def read() -> Iterator[bytes | None]:
        for path in paths:
            yield from reader.images(path)

    def fit(data: bytes | None) -> np.ndarray:
        if not data:
            raise BrokenImage("no bytes of an image")
        check_size(len(data))
        return decode_image(data, options.image_size, options.channels)

    return StreamedSource(reader.name, keys, read, fit, options)


class _Reader:
    """Reads the column of images of Parquet files.

    Args:
        name: What the user called the source.
        column: The column that the user names, or an empty string.
    """

    def __init__(self, name: str, column: str) -> None:
        self.name, self._column = name, column
        self._arrow: ModuleType = import_reader("pyarrow", "gamix_keras[parquet]", f"parquet:{name}")
        self._parquet: ModuleType = import_reader("pyarrow.parquet", "gamix_keras[parquet]", f"parquet:{name}")

    def count(self, path: Path) -> int:
        """Return the number of images of a file.

        Raises:
            UserError: If it is no Parquet file, or its column of images is not clear.
        """
        try:
            with self._open(path) as file:
                self._column_of(file.schema_arrow)
                count = file.metadata.num_rows
            if not 0 <= count <= _MOST_IMAGES:
                raise ValueError(f"expected at most {_MOST_IMAGES} rows, got {count}")
            return count
        except READ_ERRORS as error:
            raise UserError(f"data source: cannot use {path}: {first_line(error)}") from None

    def images(self, path: Path) -> Iterator[bytes | None]:
        """Yield the bytes of each image of a file."""
        with self._open(path) as file:
            column = self._column_of(file.schema_arrow)
            for batch in file.iter_batches(_ROWS, columns=[column], use_threads=False):
                values = batch.column(0)
                if self._arrow.types.is_struct(values.type):
                    values = values.field("bytes")
                yield from (value.as_py() for value in values)

    def _open(self, path: Path) -> Any:
        return self._parquet.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False)

    def _column_of(self, schema: Any) -> str:
        fitting = [field.name for field in schema if self._holds_files(field.type)]
        named = [self._column] if self._column else [name for name in NAMES if name in fitting][:1] or fitting
        if len(named) == 1 and named[0] in fitting:
            return named[0]
        columns = ", ".join(f"{field.name} ({field.type})" for field in schema)
        wanted = f"a column {self._column!r} of image files" if self._column else "one column of image files"
        way_out = f"; name one, as in parquet:PATH#{fitting[0]}" if fitting else ""
        raise ValueError(f"expected {wanted}, got {columns}{way_out}")

    def _holds_files(self, kind: Any) -> bool:
        types = self._arrow.types
        if types.is_struct(kind):
            fields = [kind.field(number) for number in range(kind.num_fields)]
            kind = next((field.type for field in fields if field.name == "bytes"), None)
        return kind is not None and (types.is_binary(kind) or types.is_large_binary(kind))
