"""An export that is killed, whole process and all, at moments of its work."""

import subprocess
import sys
import time

import pytest

pytestmark = [pytest.mark.backend_free, pytest.mark.slow]


def export(run, out, *arguments):
    command = [sys.executable, "-m", "gamix_keras", "export", str(run.path), "--out", str(out), *arguments]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.mark.parametrize("arguments", [("--sampler", "prior"), ("--format", "onnx")], ids=["saved_model", "onnx"])
def test_a_killed_export_leaves_nothing_that_counts(run, tmp_path, arguments):
    """While it starts, as it begins to write, and later; the next one is whole and clears up."""
    out = tmp_path / "out"
    for writing, seconds in ((False, 1.0), (True, 0.0), (True, 0.5)):
        process = export(run, out, *arguments)
        while writing and process.poll() is None and not any(out.glob(".writing-*/*")):
            time.sleep(0.002)
        time.sleep(seconds)
        assert process.poll() is None, "it was faster"
        process.kill()
        process.wait()
        assert not [entry for entry in out.glob("*") if not entry.name.startswith(".")]
    assert any(out.glob(".writing-*"))
    assert export(run, out, *arguments).wait() == 0
    wanted = ["1"] if "prior" in arguments else ["decoder.onnx", "encoder.onnx"]
    assert sorted(entry.name for entry in out.iterdir()) == wanted
