import logging
from pathlib import Path

import numpy as np
import pytest
from image_files import encoded, picture
from PIL import Image

from gamix_keras.config import UserError
from gamix_keras.data import encoded as encoded_module
from gamix_keras.data import open_source
from gamix_keras.data.base import Options
from gamix_keras.data.decoding import load_image
from gamix_keras.data.folder import FolderSource, folder_splits

pytestmark = pytest.mark.backend_free

SMALL = Options(image_size=8)


def opened(path, options=SMALL, fast=True) -> FolderSource:
    names = sorted(file.name for file in Path(path).iterdir())
    return FolderSource(Path(path), names, options, fast)


def test_each_index_loads_its_own_file(make_folder):
    root = make_folder(20)
    for fast in (True, False):
        images = opened(root, fast=fast).load(np.array([7, 0, 19, *range(9)]))
        assert images.shape == (12, 8, 8, 3) and images.dtype == np.uint8
        for number, image in zip([7, 0, 19], images, strict=False):
            np.testing.assert_array_equal(image, load_image(root / f"{number:04d}.jpg", 8))


def test_formats_and_sizes_mix_in_one_batch(make_folder):
    root = make_folder(12)
    for number in range(12, 24):
        (root / f"{number:04d}.jpg").write_bytes(encoded(picture(number, 40, 30)))
    (root / "a.png").write_bytes(encoded(picture(30), "PNG"))
    (root / "b.jpg").write_bytes(encoded(picture(31), "GIF"))  # misnamed
    (root / "c.jpg").write_bytes(encoded(picture(32).convert("CMYK")))
    source = opened(root)
    indices = np.random.default_rng(0).permutation(len(source))
    for index, image in zip(indices, source.load(indices), strict=True):
        np.testing.assert_array_equal(image, load_image(root / source.keys[index], 8))


def test_three_broken_among_a_hundred_are_named_and_left_out(make_folder, caplog):
    source = opened(make_folder(100, broken=(3, 50, 99)))
    with caplog.at_level(logging.WARNING):
        source.check()
    assert sorted(source.skipped) == ["0003.jpg", "0050.jpg", "0099.jpg"]
    assert len(source) == 97 and not set(source.keys) & set(source.skipped)
    for name in source.skipped:
        assert sum(name in record.getMessage() for record in caplog.records) == 1


def test_one_broken_file_of_a_small_split_is_skipped_unless_none_may_be(make_folder):
    source = opened(make_folder(8, broken=(3,)))
    source.check()
    assert len(source) == 7
    with pytest.raises(UserError, match="got 1 of 8"):
        opened(make_folder(8, broken=(3,), name="strict"), Options(8, max_broken=0.0)).check()


def test_too_many_broken_are_one_error_with_names(make_folder):
    source = opened(make_folder(100, broken=range(0, 60, 10)))
    with pytest.raises(UserError, match=r"max_broken = 0\.05 .* got 6 of 100: 0000\.jpg \(Truncated") as error:
        source.check()
    assert "\n" not in str(error.value)
    patient = opened(make_folder(100, broken=range(0, 60, 10), name="again"), Options(8, max_broken=0.06))
    patient.check()
    assert len(patient) == 94


def test_a_file_found_broken_later_is_replaced_by_the_next(make_folder):
    root = make_folder(100, broken=(41, 42))
    source = opened(root)
    batch = np.array([40, 41, 42, 43, *range(10)])
    images = source.load(batch)
    expected = load_image(root / "0043.jpg", 8)
    for slot in (1, 2, 3):
        np.testing.assert_array_equal(images[slot], expected)
    assert list(source.skipped) == ["0041.jpg", "0042.jpg"]
    np.testing.assert_array_equal(source.load(batch), images)


def test_a_file_that_vanishes_is_replaced_and_named(make_folder):
    root = make_folder(30)
    source = opened(root)
    source.check()
    (root / "0007.jpg").unlink()
    np.testing.assert_array_equal(source.load(np.array([7]))[0], load_image(root / "0008.jpg", 8))
    assert source.skipped == {"0007.jpg": "No such file or directory"}


def test_too_many_broken_while_reading_are_remembered(make_folder):
    source = opened(make_folder(40, broken=(1, 2, 3)))
    with pytest.raises(UserError, match="got 3 of 40") as error:
        source.load(np.arange(8))
    assert source.failure is error.value


def test_a_folder_without_a_readable_image_ends(make_folder):
    source = opened(make_folder(5, broken=range(5)), Options(8, max_broken=1.0))
    with pytest.raises(UserError, match="none of its 5 images"):
        source.load(np.arange(5))
    with pytest.raises(UserError, match="found none"):
        source.check()


def test_a_large_folder_is_sampled(make_folder, monkeypatch):
    monkeypatch.setattr(encoded_module, "CHECKED", 10)
    source = opened(make_folder(40, broken=(4, 5)), Options(8, max_broken=0.1))
    source.check()
    assert list(source.skipped) == ["0004.jpg"]


def test_a_subset_never_shows_an_image_of_the_rest(make_folder):
    root = make_folder(40, broken=(10,))
    source = opened(root, Options(8, max_broken=0.5)).subset(np.array([10, 20, 30]))
    np.testing.assert_array_equal(source.load(np.array([0]))[0], load_image(root / "0020.jpg", 8))


@pytest.mark.parametrize("held_out", ["validation", "val", "valid", "test"])
def test_a_folder_may_bring_its_own_split(make_folder, tmp_path, held_out):
    make_folder(3, name="set/train")
    make_folder(2, name=f"set/{held_out}")
    splits = folder_splits(str(tmp_path / "set"), SMALL)
    assert splits["train"]().keys == [f"train/000{number}.jpg" for number in range(3)]
    assert splits["validation"]().keys == [f"{held_out}/000{number}.jpg" for number in range(2)]


def test_every_format_is_read_and_what_is_left_out_is_said_once(make_folder, caplog):
    root = make_folder(3)
    for number in range(30):
        (root / f"{number}.tif").write_bytes(encoded(picture(number), "TIFF"))
        (root / f"{number}").write_bytes(encoded(picture(number), "PNG"))
        (root / f"{number}.txt").write_text("a caption")
    for form, suffix in (("AVIF", "avif"), ("JPEG2000", "jp2"), ("PPM", "ppm"), ("TGA", "tga"), ("QOI", "qoi")):
        (root / f"a.{suffix}").write_bytes(encoded(picture(1), form))
    with caplog.at_level(logging.WARNING):
        train, held_out = (
            open_source(f"folder:{root}", image_size=8, split=split) for split in ("train", "validation")
        )
    assert len(train) + len(held_out) == 68 and not train.skipped
    assert caplog.messages == [f"{root}: 30 files of other kinds left out (30 .txt)"]


def test_the_split_of_a_file_does_not_depend_on_other_kinds_of_files(make_folder):
    root = make_folder(60)
    before = open_source(f"folder:{root}", image_size=8).keys
    for number in range(60):
        (root / f"{number}.tif").write_bytes(encoded(picture(number), "TIFF"))
    after = open_source(f"folder:{root}", image_size=8).keys
    assert [key for key in after if key.endswith(".jpg")] == before


def test_no_folder_and_no_image(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.txt").touch()
    for name, reason in (("none", "does not exist"), ("file.txt", "is a file")):
        with pytest.raises(UserError, match=f"expected a folder of images, but .*{reason}"):
            folder_splits(str(tmp_path / name), SMALL)
    with pytest.raises(UserError, match=r"expected images \(JPEG, .*found none"):
        folder_splits(str(tmp_path / "empty"), SMALL)["train"]()


def test_files_of_zeros_and_ones_are_said_to_be_black(tmp_path, caplog):
    for number in range(4):
        mask = (np.random.default_rng(number).random((8, 8)) < 0.5).astype(np.uint8)
        (tmp_path / f"{number}.png").write_bytes(encoded(Image.fromarray(mask), "PNG"))
    with caplog.at_level(logging.WARNING):
        open_source(str(tmp_path), image_size=8)
    assert caplog.messages == [f"{tmp_path}: its images are black: no pixel is brighter than 1 of 255"]
