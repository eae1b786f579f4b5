"""Pictures: the pixels are the images'."""

import numpy as np
import pytest
from PIL import Image

from gamix_keras import plots

pytestmark = pytest.mark.backend_free


def flat(count, value, size=64, channels=3):
    return np.full((count, size, size, channels), value, "float32")


def read(path):
    return np.asarray(Image.open(path).convert("RGB"))


def test_to_uint8_covers_the_range_and_clips():
    values = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    assert plots.to_uint8(values).tolist() == [0, 0, 128, 255, 255]


def test_every_byte_survives_the_round_trip():
    """[-1, 1] is x / 127.5 - 1."""
    bytes_ = np.arange(256, dtype="uint8")
    assert np.array_equal(plots.to_uint8(bytes_ / np.float32(127.5) - 1), bytes_)


def test_one_image_is_written_pixel_for_pixel(tmp_path):
    image = np.random.default_rng(0).uniform(-1, 1, (5, 7, 3))
    plots.save_image(image, tmp_path / "a.png")
    assert np.array_equal(read(tmp_path / "a.png"), plots.to_uint8(image))


def test_grey_images_have_three_equal_channels(tmp_path):
    plots.save_image(flat(1, 0.0, channels=1)[0], tmp_path / "a.png")
    assert (read(tmp_path / "a.png") == 128).all()


def test_a_sheet_holds_every_image_in_its_place(tmp_path):
    images = np.stack([np.full((64, 64, 3), -1 + i / 4, "float32") for i in range(7)])
    plots.save_sheet(images, tmp_path / "a.png", columns=3)
    sheet, step = read(tmp_path / "a.png"), 64 + plots.GAP
    assert sheet.shape == (3 * step + plots.GAP, 3 * step + plots.GAP, 3)
    centres = [sheet[32 + step * (i // 3), 32 + step * (i % 3), 0] for i in range(7)]
    assert centres == plots.to_uint8(-1 + np.arange(7) / 4).tolist()


def test_small_images_are_enlarged_by_a_whole_factor(tmp_path):
    plots.save_sheet(flat(1, -1.0, size=28), tmp_path / "a.png")
    assert read(tmp_path / "a.png").shape[0] == 3 * 28 + 2 * plots.GAP


def test_rows_may_differ_in_length_and_carry_labels(tmp_path):
    rows = {"originals": flat(2, -1.0), "samples": flat(3, 0.0)}
    plots.save_rows(rows, tmp_path / "a.png", column_labels=("a", "b", "c"), title="title")
    picture = read(tmp_path / "a.png")
    side = 3 * (64 + plots.GAP) + plots.GAP
    labels, sheet = picture[:, :-side], picture[-2 * (64 + plots.GAP) :, -side:]
    assert (labels < 100).any()
    assert ((sheet == 0).all(axis=-1).sum(), (sheet == 128).all(axis=-1).sum()) == (2 * 64 * 64, 3 * 64 * 64)
