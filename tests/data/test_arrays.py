import numpy as np
import pytest
from image_files import picture

from gamix_keras.config import UserError
from gamix_keras.data.arrays import ArraySource, npz_splits
from gamix_keras.data.base import Options
from gamix_keras.data.decoding import fit_picture

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


def test_other_shapes_are_fitted_as_files_are():
    pictures = [picture(seed, 9, 14) for seed in range(3)]
    images = np.stack([np.asarray(image) for image in pictures])
    for channels in (1, 3):
        source = ArraySource("a", ["0", "1", "2"], images, Options(6, channels))
        assert not source.resident
        for index, image in enumerate(pictures):
            expected = fit_picture(image, 6, channels)
            np.testing.assert_array_equal(source.load(np.array([index]))[0], expected)


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
        ({"images": np.array([{"a": 1}] * 4, object)}, "allow_pickle=False"),
        ({"images": IMAGES.astype("i4")}, "expected uint8 or floats, got int32"),
        ({"images": IMAGES.transpose(0, 3, 1, 2)}, r"expected shape .*got \(6, 3, 8, 8\)"),
        ({"images": IMAGES[:0]}, "expected shape"),
        ({"images": IMAGES * 3.0}, "expected floats in"),
        ({"a": IMAGES, "b": IMAGES}, "'images' or only one array, got a, b"),
        ({}, "'images' or only one array, got none"),
    ],
    ids=["objects", "integers", "channels-first", "none", "range", "several", "empty"],
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
