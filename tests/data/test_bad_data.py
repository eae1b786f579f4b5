"""What becomes of data that is not as it should be: the table in RELIABILITY.md, line by line."""

import logging
import os

import numpy as np
import pytest
from image_files import encoded, picture
from PIL import Image

from gamix_keras.config import UserError
from gamix_keras.data import BatchReader, open_source

pytestmark = pytest.mark.backend_free

READ = {
    "cmyk.jpg": encoded(picture(1).convert("CMYK")),
    "deep.png": encoded(Image.fromarray(np.full((12, 12), 40000, np.uint16)), "PNG"),
    "animated.gif": encoded(picture(2), "GIF", save_all=True, append_images=[picture(3)]),
    "misnamed.png": encoded(picture(4)),
    "small.png": encoded(picture(5, 3, 2), "PNG"),
    "grey.jpg": encoded(picture(6).convert("L")),
    "alpha.png": encoded(picture(7).convert("RGBA"), "PNG"),
    "single.png": encoded(picture(8, 1, 1), "PNG"),
}
SKIPPED = {
    "truncated.jpg": encoded(picture(9, 64, 64))[:-200],
    "empty.jpg": b"",
    "text.png": b"This is no image.",
    "bomb.png": encoded(Image.new("1", (20000, 20000)), "PNG"),
}


@pytest.fixture
def folder(tmp_path):
    """40 good images and whatever else a test writes."""
    for number in range(40):
        (tmp_path / f"good-{number:02d}.jpg").write_bytes(encoded(picture(number)))
    return tmp_path


def opened(path, **options):
    return open_source(f"folder:{path}", **{"image_size": 8, "validation_fraction": 0.1, **options})


@pytest.mark.parametrize("name", READ)
def test_odd_but_readable_images_are_used(folder, name, caplog):
    (folder / name).write_bytes(READ[name])
    both = [opened(folder, split=split) for split in ("train", "validation")]
    assert name in [*both[0].keys, *both[1].keys]
    for source in both:
        assert source.load(np.arange(len(source))).shape[1:] == (8, 8, 3)
    assert not caplog.messages


@pytest.mark.parametrize("name", SKIPPED)
def test_unreadable_images_are_named_and_skipped(folder, name, caplog):
    (folder / name).write_bytes(SKIPPED[name])
    with caplog.at_level(logging.WARNING):
        both = [opened(folder, split=split, max_broken=0.5) for split in ("train", "validation")]
    assert name not in [*both[0].keys, *both[1].keys]
    assert any(name in message for message in caplog.messages)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission_is_named_and_skipped(folder, caplog):
    (folder / "secret.jpg").write_bytes(READ["grey.jpg"])
    (folder / "secret.jpg").chmod(0)
    with caplog.at_level(logging.WARNING):
        opened(folder, max_broken=0.5), opened(folder, split="validation", max_broken=0.5)
    assert any("secret.jpg" in message for message in caplog.messages)


def test_a_file_that_vanishes_while_training_is_named_and_its_place_is_taken(folder, caplog):
    source = opened(folder)
    reader = BatchReader(source, 4, training=True, cache="none")
    for name in source.keys[5:6]:
        (folder / name).unlink()
    batches = [reader.batch(0, step) for step in range(reader.steps)]
    assert all(batch.shape == (4, 8, 8, 3) for batch in batches)
    assert list(source.skipped) == [source.keys[5]]


def test_the_same_name_in_two_folders_is_two_images(folder):
    for part in ("cats", "dogs"):
        (folder / part).mkdir()
        (folder / part / "1.jpg").write_bytes(encoded(picture(1)))
    keys = [key for split in ("train", "validation") for key in opened(folder, split=split).keys]
    assert len(keys) == len(set(keys)) == 42
    assert {"cats/1.jpg", "dogs/1.jpg"} <= set(keys)


def test_empty_folders_and_other_files_are_passed_over(folder):
    (folder / "no images in here").mkdir()
    for name in ("notes.txt", "labels.csv", "thumbs.db", ".hidden.jpg"):
        (folder / name).write_bytes(b"x")
    assert len(opened(folder)) + len(opened(folder, split="validation")) == 40


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_images_are_told(tmp_path, count):
    for number in range(count):
        (tmp_path / f"{number}.jpg").write_bytes(encoded(picture(number)))
    with pytest.raises(UserError, match="two images or more" if count else "found none") as told:
        opened(tmp_path)
    assert str(tmp_path) in str(told.value)


def test_fewer_images_than_a_batch_are_told(tmp_path):
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(encoded(picture(number)))
    with pytest.raises(UserError, match="batch_size: expected at most the 2 images of .*, got 4"):
        BatchReader(opened(tmp_path), 4, training=True)


def test_more_broken_files_than_allowed_end_it_before_training(folder):
    for number in range(5):
        (folder / f"bad-{number}.jpg").write_bytes(b"x")
    with pytest.raises(UserError, match=r"max_broken = 0.05 .* bad-\d.jpg \(not an image"):
        opened(folder)
