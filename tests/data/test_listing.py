import os

import pytest

from gamix_keras.data.listing import list_images

pytestmark = pytest.mark.backend_free


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_images_at_any_depth_in_order_and_nothing_else(tmp_path):
    touch(tmp_path, "b.JPG", "a/x/y/c.webp", "a/d.png", "notes.txt", ".hidden.jpg", ".cache/e.jpg", "a/f.gif", "g.bmp")
    assert list_images(tmp_path) == (["a/d.png", "a/f.gif", "a/x/y/c.webp", "b.JPG", "g.bmp"], {})


def test_links_are_followed_once_and_loops_end(tmp_path):
    touch(tmp_path, "root/zoo/a.jpg", "elsewhere/b.jpg")
    root = tmp_path / "root"
    (root / "zoo" / "up").symlink_to(root)
    (root / "album").symlink_to(tmp_path / "elsewhere")
    (root / "again").symlink_to(root / "zoo")
    (root / "itself.jpg").symlink_to("itself.jpg")
    assert list_images(root) == (["album/b.jpg", "itself.jpg", "zoo/a.jpg"], {})


def test_one_part_keeps_names_relative_to_the_whole(tmp_path):
    touch(tmp_path, "train/a.jpg", "val/b.jpg")
    assert list_images(tmp_path, "train") == (["train/a.jpg"], {})


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    touch(tmp_path, "open/a.jpg", "locked/b.jpg")
    scandir = os.scandir

    def refusing(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert list_images(tmp_path) == (["open/a.jpg"], {"locked": "Permission denied"})
