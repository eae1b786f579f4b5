"""Atomic writing, what a full disk and killed processes leave, and locks."""

import errno
import os
import subprocess
import sys

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


FULL = [OSError(errno.ENOSPC, "x"), RuntimeError("Unable to write (errno = 28, error message = 'No space left')")]


@pytest.mark.parametrize("error", FULL, ids=["system", "hdf5"])
def test_a_full_disk_is_told_and_the_old_file_stays(tmp_path, error):
    path = tmp_path / "file.keras"
    files.write_text(path, "old")
    with pytest.raises(files.DiskFull, match="the disk is full: no room for .*file.keras"):
        with files.replacing(path) as temporary:
            temporary.write_text("half")
            raise error
    assert [file.name for file in tmp_path.iterdir()] == ["file.keras"]
    assert path.read_text() == "old"


def test_a_line_that_finds_no_room_leaves_nothing(tmp_path, monkeypatch):
    files.append_line(tmp_path / "log", "a")
    write, calls = os.write, []

    def half(descriptor, data):
        calls.append(data)
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[:2])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", half)
        with pytest.raises(files.DiskFull, match="log"):
            files.append_line(tmp_path / "log", "lost")
    files.append_line(tmp_path / "log", "b")
    assert (tmp_path / "log").read_text() == "a\nb\n"


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path):
    (tmp_path / "deep").mkdir()
    gone = [f".epoch-0001.{dead_process()}.tmp.keras", f"deep/.config.{os.getpid()}.tmp.json"]
    kept = [f".evaluation.{os.getppid()}.tmp.json", ".lock", "epoch-0001.keras", ".hidden.tmp"]
    for name in gone + kept:
        (tmp_path / name).touch()
    assert sorted(files.remove_leftovers(tmp_path)) == sorted(tmp_path / name for name in gone)
    assert all((tmp_path / name).exists() for name in kept)


def test_a_lock_is_held_by_one_and_names_it(tmp_path):
    with files.locked(tmp_path / "run" / ".lock"):
        with pytest.raises(files.Locked, match=f"^{os.getpid()}$"), files.locked(tmp_path / "run" / ".lock"):
            pass
    with files.locked(tmp_path / "run" / ".lock"):
        pass


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    code = f"""
import time
from gamix_keras import files
with files.locked({str(tmp_path / "l")!r}):
    print("held", flush=True)
    time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    process.stdout.readline()
    with pytest.raises(files.Locked, match=f"^{process.pid}$"), files.locked(tmp_path / "l"):
        pass
    process.kill()
    process.communicate()
    with files.locked(tmp_path / "l"):
        assert (tmp_path / "l").read_text() == f"{os.getpid()}\n"
