import gc
import tracemalloc
import zipfile

import numpy as np
import pytest

from gamix_keras.config import UserError
from gamix_keras.data import open_source
from gamix_keras.data.base import Options
from gamix_keras.data.npz import npz_splits

pytestmark = pytest.mark.backend_free

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), np.uint8)
SAME = Options(image_size=8)


@pytest.fixture
def archive(tmp_path):
    def write(**arrays):
        np.savez(tmp_path / "set.npz", **arrays)
        return str(tmp_path / "set.npz")

    return write


def train(path, options=SAME):
    return npz_splits(path, options)["train"]()


def test_bytes_of_the_wanted_shape_are_copied(archive):
    source = train(archive(images=IMAGES))
    assert source.resident and len(source) == 6 and source.keys[5] == "images/5"
    loaded = source.load(np.array([5, 0]))
    np.testing.assert_array_equal(loaded, IMAGES[[5, 0]])
    loaded[:] = 0  # a copy: the source keeps its images
    np.testing.assert_array_equal(source.load(np.array([5])), IMAGES[[5]])


def test_grey_without_a_channel_axis(archive):
    source = train(archive(anything=IMAGES[..., 0]), Options(8, 1))
    np.testing.assert_array_equal(source.load(np.arange(6)), IMAGES[..., :1])


@pytest.mark.parametrize("low", [0.0, -1.0])
def test_floats_become_bytes(archive, low):
    floats = IMAGES / 255 * (1 - low) + low
    np.testing.assert_array_equal(train(archive(images=floats.astype("f4"))).load(np.arange(6)), IMAGES)


def test_an_archive_may_bring_its_own_split(archive):
    splits = npz_splits(archive(x_train=IMAGES, y_train=np.arange(6), x_test=IMAGES[:2], y_test=np.arange(2)), SAME)
    assert (len(splits["train"]()), len(splits["validation"]())) == (6, 2)


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"images": np.array([{"a": 1}] * 4, object)}, "Python objects, which only a pickle"),
        ({"images": IMAGES.astype("i4") * 9}, r"expected integers in \[0, 255\]"),
        ({"images": IMAGES[..., :2]}, r"expected shape .*got \(6, 8, 8, 2\)"),
        ({"images": IMAGES[:0]}, "expected at least one image"),
        ({"images": IMAGES * 3.0}, "expected floats in"),
        ({"a": IMAGES, "b": IMAGES}, r"one array of images, got a .*b .*; name one, as in npz:.*#a"),
        ({}, "one array of images, got none"),
    ],
    ids=["objects", "integers", "two-channels", "none", "range", "several", "empty"],
)
def test_other_archives_are_refused_in_one_line(archive, arrays, reason):
    with pytest.raises(UserError, match=reason) as error:
        train(archive(**arrays))
    assert "\n" not in str(error.value) and "set.npz" in str(error.value)


def test_other_files_are_refused(tmp_path):
    np.save(tmp_path / "one.npy", IMAGES)
    (tmp_path / "text.npz").write_text("hello")
    (tmp_path / "pickle.npz").write_bytes(b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x05hello\x94.")
    for name in ("one.npy", "text.npz", "pickle.npz", "none.npz"):
        with pytest.raises(UserError, match=name):
            npz_splits(str(tmp_path / name), SAME)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(
    "array",
    [
        IMAGES,
        IMAGES.transpose(0, 3, 1, 2).copy(),
        np.asfortranarray(IMAGES),
        IMAGES.astype(np.int64),
        IMAGES.astype(np.uint16) * 257,
        IMAGES.astype(">f4"),
    ],
    ids=["plain", "channels-first", "by-columns", "int64", "uint16", "big-endian"],
)
def test_layouts_and_types_give_the_same_images(tmp_path, monkeypatch, save, array):
    monkeypatch.setattr("gamix_keras.data.arrays._CHUNK_BYTES", 2 * array[0].nbytes)  # three parts
    save(tmp_path / "a.npz", images=array)
    np.testing.assert_array_equal(train(str(tmp_path / "a.npz")).load(np.arange(6)), IMAGES)


def test_zeros_and_ones_are_black_and_white_in_every_type(archive):
    ones = np.random.default_rng(0).random((6, 8, 8, 1)) < 0.2
    for dtype in ("?", "u1", "i4", "f4"):
        loaded = train(archive(images=ones.astype(dtype)), Options(8, 1)).load(np.arange(6))
        np.testing.assert_array_equal(loaded, ones * 255)


def test_an_array_can_be_named(archive):
    path = archive(a=IMAGES, b=IMAGES[:3])
    assert len(train(f"{path}#b")) == 3
    with pytest.raises(UserError, match="expected an array 'c', got a"):
        train(f"{path}#c")
    path = f"{path.removesuffix('set.npz')}with#sign.npz"
    np.savez(path, IMAGES)
    assert len(train(path)) == 6


def test_both_parts_of_a_split_share_one_copy_of_bytes(tmp_path):
    images = np.random.default_rng(0).random((400, 64, 64), np.float32)
    np.savez_compressed(tmp_path / "large.npz", images=images)
    del images
    gc.collect()
    tracemalloc.start()
    both = [
        open_source(f"npz:{tmp_path / 'large.npz'}", image_size=64, channels=1, split=split)
        for split in ("train", "validation")
    ]
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    size = 400 * 64 * 64
    assert sum(map(len, both)) == 400
    assert held < 1.5 * size
    assert peak < 1.5 * size + 3 * 2**24  # besides the bytes, a part of the file


def test_a_header_that_promises_more_than_there_is(tmp_path):
    np.save(tmp_path / "a.npy", IMAGES)
    data = (
        (tmp_path / "a.npy").read_bytes().replace(b"(6, 8, 8, 3)", b"(99999, 8, 8, 3)", 1).replace(b"    \n", b"\n", 1)
    )
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("images.npy", data)
    with pytest.raises(UserError, match="a.npz: expected 19199808 bytes of numbers"):
        train(str(tmp_path / "a.npz"))
