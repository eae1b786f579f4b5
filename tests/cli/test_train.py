"""`gamix-keras train`."""

import json
import os
import shutil
import signal

import keras
import pytest
from tiny import ASSIGNMENTS

from gamix_keras.callbacks import SampleGrid
from gamix_keras.cli import environment, train
from gamix_keras.config import Config
from gamix_keras.files import DiskFull
from gamix_keras.runs import Run, session

BACKEND = keras.config.backend()


def test_training_says_where_the_picture_is_and_how_good_it_is(training):
    path, printed = training
    assert f"run: {path}, 24 training and 2 held-out images\n" in printed
    head, row, psnr, picture = printed.splitlines()[1:]
    assert head.split()[:3] == ["epoch", "loss", "PSNR"] and row.split()[0] == "1/1" and len(row) < 80
    assert psnr.startswith("held-out PSNR: ")
    assert psnr.endswith("dB after epoch 1")
    assert picture == f"picture: {path}/samples/epoch-0001.png (originals, reconstructions, draws)"


def test_the_resolved_configuration_is_recorded(trained):
    config = json.loads((trained / "config.json").read_text())["config"]
    assert (config["backend"], config["model"]["width"], config["training"]["epochs"]) == (BACKEND, 4, 1)


def test_resuming_trains_the_missing_epochs_only(cli, trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    code, out, _ = cli("train", "--resume", "--out", tmp_path / "run", "--set", "training.epochs=2")
    assert code == 0
    assert " 2/2 " in out
    assert " 1/2 " not in out
    rows = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2]
    code, out, _ = cli("train", "--resume", "--out", tmp_path / "run")
    assert code == 0
    assert "nothing left to train" in out


def test_the_newest_run_of_the_preset_is_found(cli, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained, tmp_path / "runs" / "faces-quick-7")
    code, out, _ = cli("train", "--resume")
    assert code == 0
    assert "faces-quick-7: nothing left to train" in out


def test_a_dry_run_prints_the_configuration_and_writes_nothing(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = cli("train", "--dry-run", "--set", *ASSIGNMENTS, "model.width=8", "--precision", "mixed_bfloat16")
    config, _, counts = out.rpartition("parameters: ")
    assert code == 0
    assert json.loads(config)["model"]["width"] == 8
    assert json.loads(config)["training"]["precision"] == "mixed_bfloat16"
    assert "encoder" in counts
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "folder:/no/such/folder"], "data source: expected a folder of images"),
        (["--data", "folder:."], "expected images"),
        (["--data", "nonsense"], "data source: expected faces, folder:PATH"),
        (["--set", "training.batch_size=999"], "gamix-keras: training.batch_size: expected at most"),
        (
            ["--set", "data.image_size=18"],
            "data.image_size: expected a multiple of 2^model.stages = 4 for model.network=convnet, got 18",
        ),
    ],
)
def test_bad_data_is_one_line_and_leaves_nothing(cli, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, _, err = cli("train", "--set", *ASSIGNMENTS, *arguments)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_what_a_run_was_started_with_stays(cli, trained):
    code, _, err = cli("train", "--resume", "--out", trained, "--set", "model.width=8")
    assert (code, err) == (2, "gamix-keras: model.width: expected 4, as the run was started with, got 8\n")
    code, _, err = cli("train", "--resume", "--out", trained, "--set", "second_stage.width=8")
    assert code == 2
    assert "second_stage.width: expected second_stage.epochs, without which it does nothing" in err
    code, _, err = cli("train", "--resume", "--out", trained, "--preset", "paper-256")
    assert code == 2
    assert "--preset: expected faces-quick" in err
    code, _, err = cli("train", "--out", trained)
    assert code == 2
    assert "holds a run already" in err


def test_an_interruption_says_how_to_go_on(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def stop(prepared, verbose):
        raise KeyboardInterrupt

    monkeypatch.setattr(session, "fit", stop)
    code, _, err = cli("train", "--set", *ASSIGNMENTS)
    hint = "`gamix-keras train --resume --out runs/faces-quick-1` goes on"
    assert (code, err) == (130, f"gamix-keras: interrupted after 0 whole epochs; {hint}\n")


def test_sigterm_ends_it_with_one_line(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(SampleGrid, "on_train_batch_begin", lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit) as ended:
        cli("train", "--set", *ASSIGNMENTS)
    assert ended.value.code == 128 + signal.SIGTERM
    assert Run.open("runs/faces-quick-1").latest_checkpoint().progress == (0, 1)


def test_a_full_disk_is_one_line(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def full(prepared, verbose):
        raise DiskFull("the disk is full: no room for x")

    monkeypatch.setattr(session, "fit", full)
    code, _, err = cli("train", "--set", *ASSIGNMENTS)
    told = "DiskFull: the disk is full: no room for x; the run is safe up to 0 whole epochs; "
    assert (code, err.count("\n")) == (1, 1)
    assert told + "`gamix-keras train --resume --out runs/faces-quick-1` goes on" in err


@pytest.mark.backend_free
def test_a_missing_backend_names_the_extra(cli, monkeypatch):
    monkeypatch.setattr(environment, "find_spec", lambda name: None)
    code, _, err = cli("train", "--backend", "jax")
    assert code == 2
    assert err.startswith("gamix-keras: --backend: expected an installed backend, got jax")
    assert 'pip install "gamix_keras[jax]"' in err


@pytest.mark.backend_free
def test_a_wrong_environment_is_named(cli, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "theano")
    code, _, err = cli("train", "--dry-run")
    assert (code, err) == (2, "gamix-keras: KERAS_BACKEND: expected one of tensorflow, jax, torch, got 'theano'\n")


@pytest.mark.backend_free
def test_the_backend_of_a_running_keras_is_not_changed(cli):
    code, _, err = cli("train", "--backend", "torch")
    assert code == 2
    assert "on which Keras runs in this process, got torch" in err


@pytest.mark.backend_free
@pytest.mark.parametrize(("options", "expected"), [((), "torch"), (("--backend", "jax"), "jax")])
def test_a_follower_takes_the_backend_of_the_run_that_goes_on(cli, tmp_path, monkeypatch, options, expected):
    run = Run.create(tmp_path / "run", Config().updated({"backend": "torch"}))
    run.begin_session(0)
    told = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    worked = []
    monkeypatch.setattr(train, "_work", worked.append)
    assert cli("train", "--resume", "--out", run.path, *options)[0] == 0
    assert worked == [expected]


def test_a_run_can_be_trained_anew_in_another_directory(cli, trained, tmp_path):
    arguments = ("train", "--dry-run", "--restart", trained, "--out", tmp_path / "new", "--set", "training.epochs=7")
    code, out, _ = cli(*arguments)
    config = json.loads(out.rpartition("parameters: ")[0])
    assert (code, config["data"]["count"], config["training"]["epochs"]) == (0, 24, 7)
    code, _, err = cli("train", "--restart", trained, "--out", trained)
    assert code == 2 and "holds a run already" in err
    code, _, err = cli("train", "--restart", trained, "--resume")
    assert code == 2 and "--restart: expected neither --resume nor --preset" in err


def test_minutes_set_the_number_of_epochs(cli, tmp_path, monkeypatch):
    monkeypatch.setattr("gamix_keras.runs.duration.epochs_in", lambda minutes, config: round(2 * minutes))
    settings = [setting for setting in ASSIGNMENTS if not setting.startswith("training.epochs")]
    code, out, _ = cli("train", "--dry-run", "--minutes", "3.5", "--set", *settings)
    assert code == 0
    assert out.startswith("about 3.5 minutes: training.epochs=7\n")
    assert '"epochs": 7' in out


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--set", "training.epochs=2"], "--minutes: expected no training.epochs with it, which it sets, got both"),
        (["--resume"], "--minutes: expected a new run, got --resume"),
    ],
)
def test_minutes_and_a_number_of_epochs_exclude_each_other(cli, options, error):
    code, _, err = cli("train", "--minutes", "3", *options)
    assert code == 2
    assert error in err
