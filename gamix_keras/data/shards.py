"""Data sets that are cut into files of one kind, such as WebDataset's and Hugging Face's."""

import re
from pathlib import Path

from gamix_keras.config import UserError
from gamix_keras.data.listing import list_files

_VALIDATION_WORDS = (("validation", "valid", "val"), ("test",))
Shard = tuple[str, Path]


def shard_splits(path: str, suffix: str) -> dict[str, list[Shard]]:
    """Return the shards of each split, as names and paths, in order.

    A file is one shard. A folder's shards are all files below it that end in `suffix`. If a name or a folder says
    `train`, and another `validation`, `valid`, `val` or else `test`, these are the splits, and other shards are left
    out; otherwise all shards are for training.

    Raises:
        UserError: If there is no such file or folder, or it holds no shard.
    """
    root = Path(path).expanduser()
    if root.is_file():
        return {"train": [(root.name, root)]}
    names = list_files(root, suffix) if root.is_dir() else []
    if not names:
        found = "none" if root.is_dir() else "no such file or folder"
        raise UserError(f"data source: expected {suffix} files in {path!r}, found {found}")
    training = [name for name in names if "train" in _words(name)]
    held_out = next((found for words in _VALIDATION_WORDS if (found := _with_words(names, words))), [])
    if not training or not held_out:
        return {"train": [(name, root / name) for name in training or names]}
    splits = {"train": training, "validation": held_out}
    return {split: [(name, root / name) for name in chosen] for split, chosen in splits.items()}


def _with_words(names: list[str], words: tuple[str, ...]) -> list[str]:
    return [name for name in names if not _words(name).isdisjoint(words)]


def _words(name: str) -> set[str]:
    return set(re.split(r"[^a-z]+", name.lower()))
