"""Exit codes, one-line errors, and what must not be imported."""

import os
import subprocess
import sys

import pytest

from gamix_keras import __version__
from gamix_keras.cli import main as cli_main
from gamix_keras.cli import presets

backend_free = pytest.mark.backend_free

IMPORT_FREE = """
import sys
from gamix_keras.cli.main import main
for arguments in (["--help"], ["train", "--help"], ["presets"], ["presets", "celeba64"], ["train", "--preset", "x"]):
    try:
        main(arguments)
    except SystemExit:
        pass
print(sorted({"keras", "tensorflow", "jax", "torch", "numpy", "PIL"} & set(sys.modules)))
"""


@backend_free
def test_help_and_mistakes_import_no_backend():
    """Which is what makes them quick: importing a backend takes seconds."""
    done = subprocess.run([sys.executable, "-c", IMPORT_FREE], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@backend_free
def test_the_package_runs_as_a_module():
    done = subprocess.run([sys.executable, "-m", "gamix_keras", "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"gamix-keras {__version__}\n")


@backend_free
def test_a_reader_that_has_gone_is_no_failure():
    """As in `gamix-keras presets | head -1`."""
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "gamix_keras", "presets"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


MISTAKES = {
    "": "COMMAND",
    "trian": "invalid choice: 'trian'",
    "train --bogus": "unrecognized arguments: --bogus",
    "train --preset celeba": "--preset: expected one of beta-vae, celeba64, celeba64-light, faces-quick",
    "train --set model.latent=3": "unknown key 'model.latent': did you mean 'model.latent_dim'?",
    "train --set training.epochs=ten": "training.epochs: expected a whole number",
    "train --set loss.global_weight=nan": "loss.global_weight: expected a number of at least 0, got nan",
    "train --set loss.adversarial_weight=-1": "loss.adversarial_weight: expected a number of at least 0, got -1",
    "train --set data.image_size=50": "data.image_size: expected a multiple of 2^model.stages",
    "train --preset gamix --set training.batch_size=1": "training.batch_size: expected at least 2",
    "train --dry-run --set loss.beta=4 model.patch=16": "loss.beta: expected model.name=vae or vae-gan, without which",
    "train --set data.image_size=64x50": "data.image_size: expected a multiple of 2^model.stages = 16 for",
    "train --set training.keep_best=val_loss": "training.keep_best: expected val_elbo, val_psnr or val_reconstruction",
    "train --backend tensor": "backend: expected one of tensorflow, jax, torch, got 'tensor'",
    "train --precision float64": "training.precision: expected one of float32, mixed_bfloat16, mixed_float16",
    "train --resume --out nowhere": "RUN: expected a run directory (one with config.json), got nowhere",
    "presets celeba": "--preset: expected one of",
    "sample nowhere": "RUN: expected a run directory (one with config.json), a .keras file, or a model of the package",
    "evaluate fces": "got 'fces' (did you mean 'faces'?)",
    "report ./face": "got './face'",
    "export nowhere": "a .keras file, or a model of the package ('faces'), got 'nowhere'",
    "explore nowhere": "a .keras file, or a model of the package ('faces'), got 'nowhere'",
    "train --restart nowhere": "--restart: expected a run directory (one with config.json), a .keras file, or a model",
    "traverse faces --dims 0": "--dims: expected an IMAGE with it, whose posterior gives the sigmas, got none",
    "traverse faces --steps 1": "--steps: expected a whole number of at least 2, got '1'",
    "sample run --count 0": "--count: expected a whole number of at least 1, got '0'",
    "sample run --sampler mixtures": "--sampler: invalid choice: 'mixtures'",
    "sample run --temperature -1": "--temperature: expected a number of at least 0, got '-1'",
    "sample run --truncation 0": "--truncation: expected a number above 0, got '0'",
    "sample run --out a.jpg": "--out: expected a file name that ends in .png, or a folder, got 'a.jpg'",
    "interpolate run a": "IMAGE_B",
    "interpolate run a b --steps one": "--steps: expected a whole number of at least 2, got 'one'",
    "traverse run a --dims 0;1": "--dims: expected whole numbers with commas between them, got '0;1'",
    "traverse run a --dims 0 --axes 1": "--axes: not allowed with argument --dims",
    "interpolate run a b --path round": "--path: invalid choice: 'round'",
    "traverse run a --scale inf": "--scale: expected a number above 0, got 'inf'",
}


@backend_free
@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_one_line_and_exit_2(cli, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = cli(*line.split())
    assert (code, out) == (2, "")
    assert err.startswith("gamix-keras: ")
    assert MISTAKES[line] in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@backend_free
def test_a_failure_is_one_line_and_exit_1_unless_debugged(cli, monkeypatch):
    def fail(args):
        raise RuntimeError("the disk\nis full")

    monkeypatch.setattr(presets, "run", fail)
    assert cli("presets") == (1, "", "gamix-keras: RuntimeError: the disk is full\n")
    with pytest.raises(RuntimeError):
        cli_main.main(["presets", "--debug"])


@backend_free
def test_an_interruption_is_one_line_and_exit_130(cli, monkeypatch):
    def stop(args):
        raise KeyboardInterrupt

    monkeypatch.setattr(presets, "run", stop)
    assert cli("presets") == (130, "", "gamix-keras: interrupted\n")


@backend_free
def test_the_presets_are_listed(cli):
    code, out, _ = cli("presets")
    assert code == 0
    assert "faces-quick" in out
    assert "(the default)" in out


@backend_free
def test_a_preset_is_shown_with_every_key(cli):
    _, out, _ = cli("presets", "paper-256")
    assert "* model.latent_dim = 512" in out
    assert "  loss.global_weight = 1.0" in out
    assert "not measured" in out


ACCENTED = r"""
import sys
from gamix_keras.cli import main
main.presets.run = lambda args: print("r\u00e4um")
sys.exit(main.main(["presets"]))
"""


@backend_free
def test_a_terminal_that_knows_only_ascii_shows_escapes():
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", ACCENTED], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "r\\xe4um\n", "")
