import numpy as np
import pytest

from gamix_keras.config import UserError
from gamix_keras.data import BatchReader, open_source
from gamix_keras.data.base import Options
from gamix_keras.data.npy import npy_splits

pytestmark = pytest.mark.backend_free

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), np.uint8)


def saved(path, array):
    np.save(path / "a.npy", array)
    return str(path / "a.npy")


@pytest.mark.parametrize(
    "array",
    [
        IMAGES,
        np.asfortranarray(IMAGES),
        IMAGES.transpose(0, 3, 1, 2).copy(),
        IMAGES / np.float32(255),
        IMAGES.astype("i8"),
    ],
    ids=["plain", "by-columns", "channels-first", "floats", "integers"],
)
def test_rows_are_read_as_images(tmp_path, array):
    source = npy_splits(saved(tmp_path, array), Options(8))["train"]()
    assert source.keys[3] == "a.npy/3"
    loaded = source.subset(np.array([3, 5, 7])).load(np.array([2, 0]))
    np.testing.assert_array_equal(loaded, IMAGES[[7, 3]])


def test_the_array_stays_on_the_disk_and_is_never_written(tmp_path):
    path = saved(tmp_path, IMAGES)
    source = open_source(path, image_size=8)
    assert isinstance(source._images, np.memmap)
    BatchReader(source, 8, training=True, seed=0).batch(0, 0)[:] = 0  # mirrored in place
    np.testing.assert_array_equal(np.load(path), IMAGES)


def test_other_files_are_refused_in_one_line(tmp_path):
    cut = saved(tmp_path, IMAGES)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-100])
    (tmp_path / "text.npy").write_text("hello")
    np.save(tmp_path / "objects.npy", np.array([{}] * 4), allow_pickle=True)
    np.save(tmp_path / "labels.npy", np.arange(9))
    for name in ("cut", "text", "objects", "labels"):
        with pytest.raises(UserError, match=f"cannot use the array .*{name}.npy: ") as error:
            npy_splits(str(tmp_path / f"{name}.npy"), Options(8))["train"]()
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="is no file"):
        npy_splits(f"{cut}.none", Options(8))
