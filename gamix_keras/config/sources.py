"""What a user may call a source of images: one table, from which help, errors and the documentation derive."""

from typing import NamedTuple


class SourceKind(NamedTuple):
    """A kind of source.

    Attributes:
        words: How it is named.
        meaning: What it holds.
        suffixes: Suffixes of files that are of this kind if they are named by their path alone.
    """

    words: str
    meaning: str
    suffixes: tuple[str, ...] = ()


SOURCE_KINDS = {
    "faces": SourceKind("faces", "drawn by the package, any number, never stored"),
    "folder": SourceKind("folder:PATH", "image files at any depth"),
    "npz": SourceKind("npz:PATH", "a NumPy archive", (".npz",)),
    "npy": SourceKind("npy:PATH", "a NumPy array, mapped into memory", (".npy",)),
    "hdf5": SourceKind("hdf5:PATH", "an HDF5 file", (".h5", ".hdf5")),
    "tar": SourceKind("tar:PATH", "WebDataset: a .tar shard, or a folder of them", (".tar",)),
    "parquet": SourceKind("parquet:PATH", "Hugging Face's format: a .parquet file, or a folder of them", (".parquet",)),
    "idx": SourceKind("idx:DIR", "MNIST's format: MNIST, Fashion-MNIST and their kin"),
    "tfds": SourceKind("tfds:NAME", "a *prepared* data set of TensorFlow Datasets; nothing is downloaded"),
}


def source_words() -> str:
    """Return all names of sources in one line: `faces, folder:PATH, ... or a path`."""
    return ", ".join(kind.words for kind in SOURCE_KINDS.values()) + " or a path"
