"""The session on a GPU: what it runs, with which terms, and what it says of the parts."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks import gpu, gpu_session, pictures
from gamix_keras.cli.main import build_parser
from gamix_keras.config import UserError, parse_assignments
from gamix_keras.config.presets import load_preset

pytestmark = pytest.mark.backend_free


def asked(tmp_path, *further):
    words = ["--data", "folder:images", "--out", str(tmp_path / "out"), "--backend", "torch", *further]
    return gpu_session._parser().parse_args(words)


@pytest.mark.parametrize("tiny", [False, True])
def test_every_part_is_a_command_that_is_understood(tmp_path, tiny):
    parts = gpu_session.parts(asked(tmp_path, "--minutes", "3", *["--tiny"] * tiny))
    assert list(parts) == ["speed", "training", "pictures"]
    assert [command[:3] for command in parts.values()] == [
        [sys.executable, "-m", name] for name in ("benchmarks.gpu", "gamix_keras", "benchmarks.pictures")
    ]
    speed = gpu._parser().parse_args(parts["speed"][3:])
    assert speed.presets == ("paper-256",) and speed.precisions == ("mixed_bfloat16",)
    training = build_parser().parse_args(parts["training"][3:])
    assert (training.data, training.minutes, training.preset) == ("folder:images", 3.0, "celeba64")
    config = load_preset("celeba64").config.updated(parse_assignments(training.set))
    assert config.model.network == "resnet" and config.has_critic and config.model.critic_network == "projected"
    assert config.loss.perceptual_weight == 0.2 * config.loss.mae_weight and config.loss.adversarial_samples > 0
    shown = pictures._parser().parse_args(parts["pictures"][3:])
    written = [speed.out, training.out, *shown.runs, shown.out]
    assert all(Path(path).is_relative_to(tmp_path / "out") for path in written)


def test_what_is_asked_for_goes_before_the_recipe(tmp_path):
    values = gpu_session.settings({"loss.critic_start": 0.7, "loss.mae_weight": 20000.0})
    assert values["loss.critic_start"] == 0.7 and values["loss.perceptual_weight"] == 4000.0
    with pytest.raises(UserError, match="loss.beta: expected model.name=vae"):
        gpu_session.settings({"loss.beta": 2.0})


def test_a_part_that_fails_is_named_and_the_others_go_on(tmp_path, monkeypatch, capsys):
    seen = []

    def run(command, log, seconds, backend):
        seen.append(log.stem)
        if log.stem == "speed":
            row = {"batch": 64, "backend": "jax", "images_per_second": 500.4, "utilisation": 0.42}
            rows = [row, {**row, "batch": 512, "failed": "out of memory"}]
            (tmp_path / "gpu.json").write_text(json.dumps({"rows": rows}))
        return {"code": int(log.stem == "training"), "seconds": 1.0}

    monkeypatch.setattr(gpu_session, "run", run)
    with pytest.raises(SystemExit, match="failed: training; see"):
        gpu_session.main(["--data", "faces", "--out", str(tmp_path)])
    assert seen == ["speed", "training", "pictures"]
    text = (tmp_path / "summary.md").read_text()
    assert text in capsys.readouterr().out
    assert "| batch 64, jax | 500 | 42% |" in text and "| batch 512, jax | out of memory |  |" in text
    assert "| target | 465 | 40% |" in text and "- training: ended with 1, see logs/training.txt, 1 s" in text


def test_a_part_runs_on_its_backend_and_its_output_goes_to_the_log(tmp_path):
    program = "import os, sys; print(os.environ['KERAS_BACKEND']); sys.exit(3)"
    found = gpu_session.run([sys.executable, "-c", program], tmp_path / "x.txt", 60.0, "torch")
    assert found["code"] == 3 and (tmp_path / "x.txt").read_text() == "torch\n"


def test_a_directory_with_a_run_is_refused(tmp_path, capsys):
    (tmp_path / "run").mkdir()
    with pytest.raises(SystemExit):
        gpu_session.main(["--data", "faces", "--out", str(tmp_path)])
    assert "--out: expected a new directory" in capsys.readouterr().err
