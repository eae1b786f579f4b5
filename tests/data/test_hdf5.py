import sys

import h5py
import numpy as np
import pytest

from gamix_keras.config import UserError
from gamix_keras.data import open_source
from gamix_keras.data.base import Options
from gamix_keras.data.hdf5 import hdf5_splits

pytestmark = pytest.mark.backend_free

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), np.uint8)


def saved(path, **arrays):
    with h5py.File(path / "a.h5", "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, compression="gzip" if array.ndim else None)
    return str(path / "a.h5")


@pytest.mark.parametrize(
    "array",
    [IMAGES, IMAGES.transpose(0, 3, 1, 2), IMAGES / np.float32(255), IMAGES.astype("i8")],
    ids=["plain", "channels-first", "floats", "integers"],
)
def test_images_are_read_in_parts(tmp_path, monkeypatch, array):
    monkeypatch.setattr("gamix_keras.data.arrays._CHUNK_BYTES", 3 * array[0].nbytes)
    source = open_source(saved(tmp_path, images=array), image_size=8)
    numbers = [int(key.removeprefix("images/")) for key in source.keys]
    np.testing.assert_array_equal(source.load(np.arange(len(source)))[::-1], IMAGES[numbers][::-1])


def test_splits_and_names(tmp_path):
    path = saved(tmp_path, **{"train/x": IMAGES, "test/x": IMAGES[:4], "train/y": np.arange(20), "other": IMAGES[:7]})
    splits = hdf5_splits(f"{path}#/train/x", Options(8))
    assert (len(splits["train"]()), len(splits["validation"]())) == (20, 4)
    assert len(hdf5_splits(f"{path}#other", Options(8))["train"]()) == 7
    with pytest.raises(UserError, match=r"expected an array 'none', got other \(7, 8, 8, 3\) uint8, test/x"):
        hdf5_splits(f"{path}#none", Options(8))


def test_no_other_file_is_read(tmp_path):
    (tmp_path / "secret").mkdir()
    secret = saved(tmp_path / "secret", images=IMAGES)
    (tmp_path / "raw").write_bytes(IMAGES.tobytes())
    with h5py.File(tmp_path / "evil.h5", "w") as file:
        file["link"] = h5py.ExternalLink(secret, "/images")
        file.create_dataset("raw", IMAGES.shape, "u1", external=[(str(tmp_path / "raw"), 0, IMAGES.nbytes)])
        layout = h5py.VirtualLayout(IMAGES.shape, "u1")
        layout[:] = h5py.VirtualSource(secret, "images", IMAGES.shape)
        file.create_virtual_dataset("virtual", layout)
        file["self"] = file["/"]  # a loop
    for key in ("", "#link", "#raw", "#virtual"):
        with pytest.raises(UserError, match="evil.h5: expected .* got none"):
            hdf5_splits(f"{tmp_path / 'evil.h5'}{key}", Options(8))


def test_other_files_are_refused_in_one_line(tmp_path):
    whole = saved(tmp_path, images=np.arange(9))
    (tmp_path / "text.h5").write_text("hello")
    with h5py.File(tmp_path / "vast.h5", "w") as file:
        file.create_dataset("images", (10**12, 8, 8), "u1", chunks=(1, 8, 8))  # a few bytes on the disk
    for path in (whole, tmp_path / "text.h5", tmp_path / "vast.h5", tmp_path / "none.h5"):
        with pytest.raises(UserError, match=str(path)) as error:
            hdf5_splits(str(path), Options(8))["train"]()
        assert "\n" not in str(error.value)


def test_a_missing_library_is_named(tmp_path, monkeypatch):
    path = saved(tmp_path, images=IMAGES)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UserError, match="data source hdf5:.*: needs pip install 'h5py'"):
        hdf5_splits(path, Options(8))
