import pytest

from gamix_keras.config import UserError
from gamix_keras.data.shards import shard_splits

pytestmark = pytest.mark.backend_free


def names(root, *files):
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    return {split: [name for name, _ in shards] for split, shards in shard_splits(str(root), ".tar").items()}


@pytest.mark.parametrize(
    ("files", "splits"),
    [
        (["00001.tar", "00000.tar", "notes.txt"], {"train": ["00000.tar", "00001.tar"]}),
        (["a-train-0.tar", "a-val-0.tar", "a-test-0.tar"], {"train": ["a-train-0.tar"], "validation": ["a-val-0.tar"]}),
        (["data/train-0.tar", "data/test-0.tar"], {"train": ["data/train-0.tar"], "validation": ["data/test-0.tar"]}),
        (["train/0.tar", "validation/0.tar"], {"train": ["train/0.tar"], "validation": ["validation/0.tar"]}),
        (["latest-0.tar", "interval.tar"], {"train": ["interval.tar", "latest-0.tar"]}),
        (["train-0.tar"], {"train": ["train-0.tar"]}),
    ],
)
def test_names_say_the_split(tmp_path, files, splits):
    assert names(tmp_path, *files) == splits


def test_a_file_is_one_shard(tmp_path):
    (tmp_path / "a.tar").touch()
    assert shard_splits(str(tmp_path / "a.tar"), ".tar") == {"train": [("a.tar", tmp_path / "a.tar")]}


def test_no_shards_are_one_line(tmp_path):
    for path, found in ((tmp_path, "found none"), (tmp_path / "none", "no such file or folder")):
        with pytest.raises(UserError, match=f"expected .tar files in '{path}', .*{found}"):
            shard_splits(str(path), ".tar")
