"""Every benchmark starts, and its processes find the repository."""

import subprocess
from importlib import import_module

import pytest

from benchmarks import workers

pytestmark = pytest.mark.backend_free
NAMES = ("explore", "faults", "gpu", "guard", "pipeline", "profile", "quality", "serving", "startup", "step")


@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_has_help(name, capsys):
    with pytest.raises(SystemExit) as end:
        import_module(f"benchmarks.{name}").main(["--help"])
    assert end.value.code == 0
    assert f"python -m benchmarks.{name}" in capsys.readouterr().out


def test_a_process_finds_the_repository_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "other"))
    environment = workers.environment(KERAS_BACKEND="torch")
    assert environment["PYTHONPATH"].endswith(str(tmp_path / "other"))
    assert environment["KERAS_BACKEND"] == "torch"
    command = workers.command("benchmarks.startup", "--help")
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
