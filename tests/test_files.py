"""Atomic writing."""

import pytest

from gamix_keras import files

pytestmark = pytest.mark.backend_free


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "deep" / "file.txt"
    files.write_text(path, "old")
    with pytest.raises(RuntimeError), files.replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [file.name for file in path.parent.iterdir()] == ["file.txt"]


def test_the_temporary_name_keeps_the_suffix(tmp_path):
    """Keras refuses to save a model under any other."""
    with files.replacing(tmp_path / "model.keras") as temporary:
        temporary.write_text("x")
        assert temporary.suffix == ".keras"
        assert temporary.parent == tmp_path
    assert (tmp_path / "model.keras").exists()


def test_lines_are_appended(tmp_path):
    for line in "ab":
        files.append_line(tmp_path / "log", line)
    assert (tmp_path / "log").read_text() == "a\nb\n"


def test_json_ends_with_a_newline(tmp_path):
    files.write_json(tmp_path / "x.json", {"a": 1})
    assert (tmp_path / "x.json").read_text() == '{\n  "a": 1\n}\n'
