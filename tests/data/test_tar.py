import gzip
import io
import logging
import tarfile

import numpy as np
import pytest
from image_files import encoded, picture

from gamix_keras.config import UserError
from gamix_keras.data import open_source
from gamix_keras.data.base import Options
from gamix_keras.data.decoding import decode_image
from gamix_keras.data.tar import tar_splits

pytestmark = pytest.mark.backend_free

FILES = [encoded(picture(number)) for number in range(12)]
SMALL = Options(8)


def shard(path, members, form=tarfile.PAX_FORMAT):
    """Writes a .tar file of bytes by their names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=form) as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return str(path)


def opened(path, options=SMALL):
    return tar_splits(str(path), options)["train"]()


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_images_are_read_from_their_places(tmp_path, form):
    for number in range(3):
        members = {}
        for image in range(4):
            members[f"{number}{image}.jpg"] = FILES[4 * number + image]
            members[f"{number}{image}.cls"] = b"7"
            members[f"{number}{image}.json"] = b"{}"
        shard(tmp_path / "set" / f"{number}.tar", members, form)
    source = open_source(str(tmp_path / "set"), image_size=8, validation="faces")
    assert source.keys == [f"{number}.tar/{number}{image}.jpg" for number in range(3) for image in range(4)]
    order = np.array([7, 0, 11, 5])
    expected = [decode_image(FILES[index], 8, 3) for index in order]
    np.testing.assert_array_equal(source.load(order), expected)
    np.testing.assert_array_equal(source.subset(order).load(np.arange(4)), expected)
    assert len(opened(tmp_path / "set" / "1.tar")) == 4


def test_broken_members_are_named_and_replaced(tmp_path):
    members = {f"{number:02d}.jpg": data for number, data in enumerate(FILES)}
    members["05.jpg"] = FILES[5][:100]
    members["06.jpg"] = b""
    path = shard(tmp_path / "a.tar", members)
    source = opened(path, Options(8, max_broken=0.2))
    np.testing.assert_array_equal(source.load(np.array([5]))[0], decode_image(FILES[7], 8, 3))
    assert sorted(source.skipped) == ["a.tar/05.jpg", "a.tar/06.jpg"]
    with pytest.raises(UserError, match="max_broken = 0.05 .* got 2 of 12: a.tar/05.jpg"):
        opened(path).check()


def test_only_regular_members_are_read_and_nothing_is_unpacked(tmp_path):
    (tmp_path / "secret.jpg").write_bytes(FILES[0])
    folder = tmp_path / "deep"
    path = shard(folder / "a.tar", {"../../escaped.jpg": FILES[1], "/etc/absolute.jpg": FILES[2]})
    with tarfile.open(path, "a") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE):
            member = tarfile.TarInfo(f"link{kind.decode()}.jpg")
            member.type, member.linkname = kind, str(tmp_path / "secret.jpg")
            archive.addfile(member)
    source = opened(path)
    assert source.keys == ["a.tar/../../escaped.jpg", "a.tar//etc/absolute.jpg"]
    assert source.load(np.arange(2)).shape == (2, 8, 8, 3)
    assert sorted(item.name for item in tmp_path.rglob("*")) == ["a.tar", "deep", "secret.jpg"]


def test_samples_of_several_images(tmp_path, caplog):
    members = {}
    for number in range(4):
        members[f"{number}.jpg"], members[f"{number}.seg.png"] = FILES[number], encoded(picture(number), "PNG")
    path = shard(tmp_path / "a.tar", members)
    with caplog.at_level(logging.WARNING):
        assert len(opened(path)) == 8
    assert caplog.messages == [f"{path}: all 8 images of 4 samples are taken; for one kind: {path}#jpg"]
    assert opened(f"{path}#jpg").keys == [f"a.tar/{number}.jpg" for number in range(4)]
    assert opened(f"{path}#seg.png").keys == [f"a.tar/{number}.seg.png" for number in range(4)]


def test_other_files_are_refused_in_one_line(tmp_path):
    whole = shard(tmp_path / "a.tar", {"a.jpg": FILES[0] * 9})
    data = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "cut.tar").write_bytes(data[: len(FILES[0]) * 5])
    (tmp_path / "zipped.tar").write_bytes(gzip.compress(data))
    (tmp_path / "text.tar").write_text("hello" * 200)
    shard(tmp_path / "empty.tar", {"notes.txt": b"hello"})
    for name, reason in {"cut": "it ends", "zipped": "uncompressed", "text": "uncompressed", "empty": "none"}.items():
        with pytest.raises(UserError, match=reason) as error:
            opened(tmp_path / f"{name}.tar")
        assert "\n" not in str(error.value) and f"{name}.tar" in str(error.value)
    assert len(opened(whole)) == 1
