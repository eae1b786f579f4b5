"""Pictures: the pixels are the images'."""

import io

import numpy as np
import pytest
from PIL import Image

from gamix_keras import plots

pytestmark = pytest.mark.backend_free


def flat(count, value, size=128, channels=3):
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
    images = np.stack([np.full((128, 128, 3), -1 + i / 4, "float32") for i in range(7)])
    plots.save_sheet(images, tmp_path / "a.png", columns=3)
    sheet, step = read(tmp_path / "a.png"), 128 + plots.GAP
    assert sheet.shape == (3 * step + plots.GAP, 3 * step + plots.GAP, 3)
    centres = [sheet[64 + step * (i // 3), 64 + step * (i % 3), 0] for i in range(7)]
    assert centres == plots.to_uint8(-1 + np.arange(7) / 4).tolist()


def test_small_images_are_enlarged_by_a_whole_factor(tmp_path):
    plots.save_sheet(flat(1, -1.0, size=28), tmp_path / "a.png")
    assert read(tmp_path / "a.png").shape[0] == 5 * 28 + 2 * plots.GAP
    pixels = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3)).astype("float32") / 127.5 - 1.0
    plots.save_sheet(pixels, tmp_path / "b.png")
    tile = read(tmp_path / "b.png")[plots.GAP : -plots.GAP, plots.GAP : -plots.GAP]
    np.testing.assert_array_equal(tile, plots.to_uint8(pixels[0]).repeat(2, axis=0).repeat(2, axis=1))


def test_rows_of_enlarged_images_say_so():
    small, large = (opened(plots.rows_png({"a": flat(2, -1.0, size)})) for size in (64, 128))
    assert small.shape[0] > large.shape[0] == 128 + 2 * plots.GAP
    note = small[large.shape[0] :]
    assert (note < 100).any() and (note[:2] == 255).all()


def test_rows_may_differ_in_length_and_carry_labels(tmp_path):
    rows = {"originals": flat(2, -1.0), "samples": flat(3, 0.0)}
    plots.save_rows(rows, tmp_path / "a.png", column_labels=("a", "b", "c"), title="title")
    picture = read(tmp_path / "a.png")
    side = 3 * (128 + plots.GAP) + plots.GAP
    labels, sheet = picture[:, :-side], picture[-2 * (128 + plots.GAP) :, -side:]
    assert (labels < 100).any()
    assert ((sheet == 0).all(axis=-1).sum(), (sheet == 128).all(axis=-1).sum()) == (2 * 128 * 128, 3 * 128 * 128)


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


def test_what_a_notebook_shows_is_a_picture_of_pillow_and_can_be_saved(tmp_path):
    shown = plots.show(flat(2, 0.5), columns=2)
    assert (shown.width, shown.height) == shown.image.size == (2 * 130 + 2, 132)
    shown.save(tmp_path / "new" / "a.png")
    np.testing.assert_array_equal(read(tmp_path / "new" / "a.png"), np.asarray(shown.image))
    shown.save(tmp_path / "a.jpg")
    assert Image.open(tmp_path / "a.jpg").format == "JPEG"
    np.testing.assert_array_equal(opened(shown._repr_png_()), np.asarray(shown.image))
    assert shown._repr_jpeg_() is None


def test_a_large_picture_stays_small_in_a_notebook():
    noise = np.random.default_rng(0).uniform(-1, 1, (4, 128, 128, 3)).astype("float32")
    shown = plots.show({"noise": noise})
    assert shown._repr_png_() is None and Image.open(io.BytesIO(shown._repr_jpeg_())).size == shown.image.size


@pytest.mark.parametrize("name", ["a", "a.html", "a.pnx"])
def test_a_picture_is_saved_whole_or_not_at_all(tmp_path, monkeypatch, name):
    shown = plots.show(flat(1, 0.0))
    with pytest.raises(ValueError, match=rf"path: expected a file name that ends in .*, got '.*{name}'"):
        shown.save(tmp_path / name)

    def fail(*arguments, **options):
        raise OSError("no room")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="no room"):
        shown.save(tmp_path / "a.png")
    assert not list(tmp_path.iterdir())
