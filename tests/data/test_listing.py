import os

import pytest
from image_files import encoded, picture

from gamix_keras.data import listing as listing_module
from gamix_keras.data.listing import list_files, list_images, only_shards

pytestmark = pytest.mark.backend_free


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_images_at_any_depth_in_order_and_nothing_else(tmp_path):
    touch(tmp_path, "b.JPG", "a/x/y/c.webp", "a/d.png", "notes.txt", ".hidden.jpg", ".cache/e.jpg", "a/f.gif", "g.bmp")
    listing = list_images(tmp_path)
    assert listing[:2] == (["a/d.png", "a/f.gif", "a/x/y/c.webp", "b.JPG", "g.bmp"], {})
    assert listing.left_out() == "2 files of other kinds left out (1 .txt, 1 hidden)"


def test_links_are_followed_once_and_loops_end(tmp_path):
    touch(tmp_path, "root/zoo/a.jpg", "elsewhere/b.jpg")
    root = tmp_path / "root"
    (root / "zoo" / "up").symlink_to(root)
    (root / "album").symlink_to(tmp_path / "elsewhere")
    (root / "again").symlink_to(root / "zoo")
    (root / "itself.jpg").symlink_to("itself.jpg")
    assert list_images(root)[:2] == (["album/b.jpg", "itself.jpg", "zoo/a.jpg"], {})


def test_one_part_keeps_names_relative_to_the_whole(tmp_path):
    touch(tmp_path, "train/a.jpg", "val/b.jpg")
    assert list_images(tmp_path, "train") == (["train/a.jpg"], {}, {})


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    touch(tmp_path, "open/a.jpg", "locked/b.jpg")
    scandir = os.scandir

    def refusing(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert list_images(tmp_path) == (["open/a.jpg"], {"locked": "Permission denied"}, {})


def test_files_without_a_known_suffix_are_images_by_their_first_bytes(tmp_path):
    forms = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "AVIF", "JPEG2000", "PPM", "QOI")
    for form in forms:
        (tmp_path / f"{form}-01").write_bytes(encoded(picture(), form))
        (tmp_path / f"{form}.jpg_large").write_bytes(encoded(picture(), form))
    (tmp_path / "README").write_text("BMP and P5 are formats.")
    (tmp_path / "P5").write_text("PNG")
    touch(tmp_path, "empty", "x.dat", "._a.jpg")
    os.mkfifo(tmp_path / "pipe")
    listing = list_images(tmp_path)
    assert listing.names == sorted([f"{form}-01" for form in forms] + [f"{form}.jpg_large" for form in forms])
    assert listing.others == {"without suffix": 4, ".dat": 1, "hidden": 1}


def test_only_files_without_a_known_suffix_are_opened(tmp_path, monkeypatch):
    touch(tmp_path, *[f"{number}.{suffix}" for number in range(9) for suffix in ("jpg", "TIF", "txt", "json")], "odd")
    opened = []
    monkeypatch.setattr(listing_module, "open_file", lambda path: opened.append(path) or open(path, "rb"))
    listing = list_images(tmp_path)
    assert opened == [str(tmp_path / "odd")] and len(listing.names) == 18


def test_shards_count_only_without_images(tmp_path):
    touch(tmp_path, "data/b.tar", "data/a.tar", "notes.txt", ".hidden.tar", "c.TAR")
    assert list_files(tmp_path, ".tar") == ["c.TAR", "data/a.tar", "data/b.tar"]
    assert only_shards(tmp_path, (".parquet", ".tar")) == ".tar"
    touch(tmp_path, "data/a.jpg")
    assert only_shards(tmp_path, (".parquet", ".tar")) == ""
