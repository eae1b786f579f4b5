"""Version directories: whole or absent, whatever happens."""

import signal
import subprocess
import sys

import pytest

from gamix_keras.config import UserError
from gamix_keras.export.versions import publish

pytestmark = pytest.mark.backend_free


def write(folder):
    (folder / "saved_model.pb").write_bytes(b"graph")


def test_numbers_go_up_from_the_highest(tmp_path):
    (tmp_path / "7").mkdir()
    (tmp_path / "notes").mkdir()
    assert publish(tmp_path, write).name == "8"
    assert publish(tmp_path, write, version=3).name == "3"
    assert publish(tmp_path / "new" / "model", write).name == "1"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["3", "7", "8", "new", "notes"]


def test_a_used_number_or_a_file_is_told(tmp_path):
    publish(tmp_path, write)
    with pytest.raises(UserError, match="--version: expected a number that is not used, got 1: .* exists"):
        publish(tmp_path, write, version=1)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="--out: expected a directory, got .*, which is a file"):
        publish(tmp_path / "file", write)


def test_a_number_that_another_process_takes_meanwhile_is_passed_over(tmp_path):
    def slowly(folder):
        write(folder)
        (tmp_path / "1").mkdir()
        (tmp_path / "1" / "theirs").touch()

    assert publish(tmp_path, slowly).name == "2"
    assert [entry.name for entry in (tmp_path / "1").iterdir()] == ["theirs"]


def test_a_failure_leaves_nothing(tmp_path):
    def fail(folder):
        write(folder)
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError):
        publish(tmp_path, fail)
    assert not list(tmp_path.iterdir())


def test_a_killed_export_leaves_no_version(tmp_path):
    program = (
        "import sys, time; from gamix_keras.export.versions import publish\n"
        "def write(folder):\n"
        "    (folder / 'saved_model.pb').write_bytes(b'half'); print('writing', flush=True); time.sleep(60)\n"
        "publish(sys.argv[1], write)"
    )
    process = subprocess.Popen([sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "writing\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    left = [entry.name for entry in tmp_path.iterdir()]
    assert len(left) == 1 and left[0].startswith(".")
    assert publish(tmp_path, write).name == "1"
    assert [entry.name for entry in tmp_path.iterdir()] == ["1"]
