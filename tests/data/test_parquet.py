import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from image_files import encoded, picture

from gamix_keras.config import UserError
from gamix_keras.data import open_source
from gamix_keras.data.base import Options
from gamix_keras.data.decoding import decode_image
from gamix_keras.data.parquet import parquet_splits

pytestmark = pytest.mark.backend_free

FILES = [encoded(picture(number)) for number in range(12)]
SMALL = Options(8)


def table(path, files, **columns):
    """Writes a Parquet file as Hugging Face's `datasets` does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images = pa.array(
        [{"bytes": data, "path": f"{number}.jpg"} for number, data in enumerate(files)],
        pa.struct({"bytes": pa.binary(), "path": pa.string()}),
    )
    pq.write_table(pa.table({"image": images, "label": list(range(len(files))), **columns}), path, row_group_size=5)
    return str(path)


def opened(path, options=SMALL):
    return parquet_splits(str(path), options)["train"]()


def test_a_folder_as_hugging_face_has_it(tmp_path):
    (tmp_path / "README.md").write_text("a card")
    table(tmp_path / "data" / "train-00000-of-00002.parquet", FILES[:5])
    table(tmp_path / "data" / "train-00001-of-00002.parquet", FILES[5:10])
    table(tmp_path / "data" / "test-00000-of-00001.parquet", FILES[10:])
    train, held_out = (open_source(str(tmp_path), image_size=8, split=split) for split in ("train", "validation"))
    assert train.keys[5] == "data/train-00001-of-00002.parquet/0"
    expected = np.stack([decode_image(data, 8, 3) for data in FILES])
    order = np.array([9, 0, 4, 5])
    np.testing.assert_array_equal(train.load(order), expected[order])
    np.testing.assert_array_equal(train.subset(order).load(np.arange(4)), expected[order])
    np.testing.assert_array_equal(held_out.load(np.arange(2)), expected[10:])


def test_plain_bytes_and_a_named_column(tmp_path):
    path = table(tmp_path / "a.parquet", FILES[:3], photo=FILES[3:6])
    np.testing.assert_array_equal(opened(path).load(np.array([1]))[0], decode_image(FILES[1], 8, 3))
    np.testing.assert_array_equal(opened(f"{path}#photo").load(np.array([1]))[0], decode_image(FILES[4], 8, 3))
    with pytest.raises(UserError, match=r"expected a column 'label' of image files, got .*; name one, as in .*#image"):
        opened(f"{path}#label")


def test_a_path_is_not_followed_and_broken_images_are_replaced(tmp_path):
    (tmp_path / "0.jpg").write_bytes(FILES[0])
    files = [None, *FILES[1:11], b"hello"]
    path = table(tmp_path / "a.parquet", files)
    source = opened(path, Options(8, max_broken=0.2))
    images = source.load(np.arange(12))
    assert source.skipped["a.parquet/0"] == "no bytes of an image" and len(source.skipped) == 2
    for slot in (0, 11, 1):
        np.testing.assert_array_equal(images[slot], decode_image(FILES[1], 8, 3))
    source = opened(path)
    with pytest.raises(UserError, match="max_broken = 0.05 .* got 2 of 12: a.parquet/0") as error:
        source.load(np.arange(2))
    assert source.failure is error.value


def test_other_files_are_refused_in_one_line(tmp_path):
    (tmp_path / "text.parquet").write_text("hello")
    pq.write_table(pa.table({"label": [1, 2]}), tmp_path / "labels.parquet")
    pq.write_table(pa.table({"a": FILES[:2], "b": FILES[:2]}), tmp_path / "two.parquet")
    reasons = {"text": "cannot use", "labels": "got label .int64.$", "two": "name one, as in parquet:PATH#a"}
    for name, reason in reasons.items():
        with pytest.raises(UserError, match=reason) as error:
            opened(tmp_path / f"{name}.parquet")
        assert "\n" not in str(error.value) and f"{name}.parquet" in str(error.value)


def test_damage_found_while_reading_is_one_line(tmp_path):
    path = table(tmp_path / "a.parquet", FILES)
    data = bytearray((tmp_path / "a.parquet").read_bytes())
    data[4 : len(data) // 2] = bytes(len(data) // 2 - 4)
    (tmp_path / "a.parquet").write_bytes(bytes(data))
    source = opened(path)
    with pytest.raises(UserError, match=str(path)) as error:
        source.load(np.arange(2))
    assert "\n" not in str(error.value) and source.failure is error.value


def test_a_missing_library_is_named(tmp_path, monkeypatch):
    path = table(tmp_path / "a.parquet", FILES)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r"data source parquet:.*: needs pip install 'gamix_keras\[parquet\]'"):
        opened(path)
