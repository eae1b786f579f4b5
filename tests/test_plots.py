"""Pictures: the pixels are the images'."""

import io

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


def opened(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def test_rows_as_bytes_are_the_picture_of_the_file(tmp_path):
    rows = {"a": flat(2, -1.0), "b": flat(2, 0.5)}
    plots.save_rows(rows, tmp_path / "a.png", ("1", "2"))
    assert np.array_equal(opened(plots.rows_png(rows, ("1", "2"))), read(tmp_path / "a.png"))


def has_colour(picture, colour):
    return (picture == [int(colour[i : i + 2], 16) for i in (1, 3, 5)]).all(axis=-1).any()


def test_lines_have_a_colour_each():
    picture = opened(plots.lines_png({"a": ([1, 2, 3], [0.0, 1.0, 4.0]), "b": ([2], [2.0])}, "title", "epoch"))
    assert has_colour(picture, plots.COLOURS[0]) and has_colour(picture, plots.COLOURS[1])
    assert not has_colour(picture, plots.COLOURS[2])


def test_a_line_on_a_logarithmic_axis_is_straight():
    x = np.arange(1, 60)
    shapes = [opened(plots.lines_png({"a": (x, y)}, "", "x", log)) for y, log in ((10.0**x, True), (x * 1.0, False))]
    blue = [np.argwhere((s == [47, 109, 179]).all(axis=-1)) for s in shapes]
    slopes = [np.corrcoef(points.T)[0, 1] for points in blue]
    assert max(slopes) < -0.999


def test_groups_and_sweeps_show_every_series():
    groups = {"prior": {"vae": (3.0, 0.5), "gamix": (2.0, 0.0)}, "mixture": {"gamix": (1.0, 0.2)}}
    sweep = {"prior": [(1e-4, 3.0, 0.1), (1.0, 2.0, 0.0)], "mixture": [(1e-4, 2.0, 0.1), (1.0, 1.0, 0.0)]}
    for png in (plots.groups_png(groups, "title"), plots.sweep_png(sweep, "title", "weight")):
        assert all(has_colour(opened(png), colour) for colour in plots.COLOURS[:2])
        assert not has_colour(opened(png), plots.COLOURS[2])
