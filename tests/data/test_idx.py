import gzip
import struct

import numpy as np
import pytest

from gamix_keras.config import UserError
from gamix_keras.data.base import Options
from gamix_keras.data.idx import idx_splits, read_idx

pytestmark = pytest.mark.backend_free

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 4, 6), np.uint8)
FILE = bytes([0, 0, 8, 3]) + struct.pack(">3I", *IMAGES.shape) + IMAGES.tobytes()


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_plain_and_gzipped_files(tmp_path, suffix):
    data = gzip.compress(FILE) if suffix else FILE
    (tmp_path / f"train-images-idx3-ubyte{suffix}").write_bytes(data)
    splits = idx_splits(str(tmp_path), Options(4, 1))
    assert list(splits) == ["train"]
    source = splits["train"]()
    assert source.keys[0] == "train-images-idx3-ubyte/0"
    np.testing.assert_array_equal(source.load(np.arange(5))[..., 0], IMAGES[:, :, 1:5])


def test_the_test_file_is_the_validation_split(tmp_path):
    for name in ("train", "t10k"):
        (tmp_path / f"{name}-images-idx3-ubyte").write_bytes(FILE)
    assert set(idx_splits(str(tmp_path), Options(4))) == {"train", "validation"}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (FILE[:-1], "expected 120 bytes .* got 119"),
        (FILE + b"x", "expected 120 bytes .* got more"),
        (b"\0\0\x08\x01" + FILE[4:], "magic number"),
        (b"", "magic number"),
        (FILE[:4] + struct.pack(">3I", 2**32 - 1, 2**32 - 1, 1), "of some size"),
    ],
    ids=["short", "long", "labels", "empty", "absurd"],
)
def test_damaged_files_are_refused(tmp_path, data, reason):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(data)
    with pytest.raises(ValueError, match=reason):
        read_idx(tmp_path / "train-images-idx3-ubyte")
    with pytest.raises(UserError, match="train-images-idx3-ubyte"):
        idx_splits(str(tmp_path), Options(4))["train"]()


def test_a_cut_gzip_file_is_one_error(tmp_path):
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(FILE)[:-20])
    with pytest.raises(UserError, match="ended before"):
        idx_splits(str(tmp_path), Options(4))["train"]()


def test_no_files(tmp_path):
    with pytest.raises(UserError, match="expected train-images-idx3-ubyte .*found none"):
        idx_splits(str(tmp_path), Options(4))
