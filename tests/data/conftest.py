"""Folders of images."""

import pytest
from image_files import encoded, picture


@pytest.fixture
def make_folder(tmp_path):
    """Writes a folder of numbered JPEG files and returns it; `broken` of them are cut short."""

    def make(count, broken=(), name="images", size=12):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        for number in range(count):
            data = encoded(picture(number, size, size))
            (folder / f"{number:04d}.jpg").write_bytes(data[: len(data) // 2] if number in broken else data)
        return folder

    return make
