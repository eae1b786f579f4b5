"""Training a run: what it leaves behind, and that an interruption changes nothing."""

import shutil

import numpy as np
import pytest
from harness import numpy, state
from tiny import TINY

from gamix_keras import session
from gamix_keras.config import Config, UserError
from gamix_keras.models import TwoStageVAE
from gamix_keras.runs import Run, Stage

THREE_EPOCHS = {**TINY, "training.epochs": 3, "training.collapse_monitor": False}
SECOND_STAGE = {"epochs": 4, "batch_size": 8, "width": 8, "depth": 1, "checkpoint_every": 1, "halve_every": 3}
TWO_STAGES = {**TINY, "model.name": "vae", **{f"second_stage.{name}": value for name, value in SECOND_STAGE.items()}}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of three epochs in one go."""
    run = Run.create(tmp_path_factory.mktemp("runs") / "whole", Config().updated(THREE_EPOCHS))
    session.train(run, verbose=0)
    return run


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


def kill_after(monkeypatch, epochs):
    """Let the process die when the row of an epoch is written but its checkpoint is not."""
    write = Run.save_checkpoint

    def save(self, model, epoch):
        if epoch > epochs:
            raise Killed
        write(self, model, epoch)

    monkeypatch.setattr(Run, "save_checkpoint", save)


def without_time(rows):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def test_a_run_leaves_rows_pictures_and_checkpoints(whole):
    assert [row["epoch"] for row in whole.history()] == [1, 2, 3]
    assert whole.latest_checkpoint()[0] == 3
    assert sorted(file.name for file in whole.samples.iterdir()) == [f"epoch-000{n}.png" for n in (1, 2, 3)]
    outcome = session.outcome(whole)
    assert outcome.picture.name == "epoch-0003.png"
    assert outcome.row["val_psnr"] > 0


def test_a_killed_run_goes_on_as_if_nothing_had_happened(whole, tmp_path, monkeypatch):
    """Bit for bit: weights, slots of both optimizers, generators, history."""
    run = Run.create(tmp_path / "killed", Config().updated(THREE_EPOCHS))
    with monkeypatch.context() as patch:
        kill_after(patch, 2)
        with pytest.raises(Killed):
            session.train(run, verbose=0)
    assert (run.latest_checkpoint()[0], len(run.history())) == (2, 3)
    session.train(Run.open(run.path), verbose=0)
    assert without_time(run.history()) == without_time(whole.history())
    left, right = (state(r.load_model(compile=True)).values() for r in (whole, run))
    for one, other in zip(left, right, strict=True):
        np.testing.assert_array_equal(one, other)


def test_with_every_remedy_a_run_in_two_parts_is_the_run_in_one(tmp_path, monkeypatch):
    """Schedules, averaged weights and the critic's options resume to the bit; what is loaded is the average."""
    remedies = {"loss.warmup": 1.5, "loss.warmup_shape": "cosine", "training.ema_decay": 0.8, "loss.r1_weight": 1.0}
    remedies |= {"loss.adversarial_start": 2.0, "loss.adversarial_ramp": 3.0, "loss.adaptive_weight": True}
    remedies |= {"model.critic_norm": "none", "model.critic_spectral_norm": True, "loss.momentum": 0.9}
    config = Config().updated({**TINY, **remedies, "training.epochs": 2})
    runs = [Run.create(tmp_path / name, config) for name in ("whole", "parts")]
    session.train(runs[0], verbose=0)
    with monkeypatch.context() as patch:
        kill_after(patch, 1)
        with pytest.raises(Killed):
            session.train(runs[1], verbose=0)
    session.train(Run.open(runs[1].path), verbose=0)
    assert without_time(runs[0].history()) == without_time(runs[1].history())
    left, right = (run.load_model(compile=True) for run in runs)
    for one, other in zip(state(left).values(), state(right).values(), strict=True):
        np.testing.assert_array_equal(one, other)
    shown = runs[0].load_model()
    for average, variable in zip(left.ema.averages, shown.averaged_variables, strict=True):
        np.testing.assert_array_equal(numpy(average), numpy(variable))
    assert left.steps_done == 6


def test_a_finished_run_is_left_alone(whole):
    before = (whole.path / "config.json").read_text()
    session.train(whole, verbose=0)
    assert (whole.path / "config.json").read_text() == before


def test_a_bad_source_leaves_no_directory(tmp_path):
    run = Run.create(tmp_path / "run", Config().updated({**TINY, "data.source": f"folder:{tmp_path}"}))
    with pytest.raises(ValueError, match="expected images"):
        session.train(run)
    assert not run.path.exists()


def test_broken_files_are_named_and_skipped(tmp_path, caplog):
    """3 of 100, as a user has them: an empty file, a text, a picture cut short."""
    from gamix_keras import plots
    from gamix_keras.data import open_source

    images = open_source("faces", image_size=16, count=100).load(np.arange(97)) / 127.5 - 1.0
    for i, image in enumerate(images):
        plots.save_image(image, tmp_path / "in" / f"{i:03d}.png")
    whole_file = (tmp_path / "in" / "000.png").read_bytes()
    for name, content in {"a": b"", "b": b"no image", "c": whole_file[:200]}.items():
        (tmp_path / "in" / f"{name}.png").write_bytes(content)
    values = {**TINY, "data.count": None, "data.source": f"folder:{tmp_path / 'in'}"}
    run = Run.create(tmp_path / "run", Config().updated(values))
    session.train(run, verbose=0)
    assert len(run.history()) == 1
    for name in "abc":
        assert any(f"{name}.png" in message for message in caplog.messages), caplog.messages


@pytest.fixture(scope="module")
def two_stages(tmp_path_factory):
    """A run of one epoch with a second stage of four, in one go."""
    run = Run.create(tmp_path_factory.mktemp("runs") / "two", Config().updated(TWO_STAGES))
    session.train(run, verbose=0)
    return run


def test_a_second_stage_leaves_its_own_rows_checkpoints_and_picture(two_stages):
    rows = two_stages.second_stage.history()
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert [row["learning_rate"] for row in rows] == pytest.approx([1e-4] * 3 + [5e-5])
    assert all(np.isfinite(row["val_elbo"]) for row in rows)
    assert (two_stages.latest_checkpoint()[0], two_stages.second_stage.latest_checkpoint()[0]) == (1, 4)
    assert session.outcome(two_stages).picture == two_stages.path / "second_stage" / "samples.png"
    assert len(two_stages.history()) == 1


def test_the_model_of_such_a_run_has_two_stages(two_stages, whole):
    model = two_stages.load_model()
    assert isinstance(model, TwoStageVAE) and not isinstance(whole.load_model(), TwoStageVAE)
    assert not whole.second_stage.path.exists()
    assert model.sample(2, seed=0).shape == (2, 16, 16, 3)


def test_a_second_stage_that_was_killed_goes_on_as_if_nothing_had_happened(two_stages, tmp_path, monkeypatch):
    run = Run.create(tmp_path / "killed", Config().updated(TWO_STAGES))
    write = Stage.save_checkpoint

    def save(self, model, epoch):
        if epoch > 2:
            raise Killed
        write(self, model, epoch)

    with monkeypatch.context() as patch:
        patch.setattr(Stage, "save_checkpoint", save)
        with pytest.raises(Killed):
            session.train(run, verbose=0)
    assert (run.second_stage.latest_checkpoint()[0], len(run.second_stage.history())) == (2, 3)
    session.train(Run.open(run.path), verbose=0)
    assert without_time(run.history()) == without_time(two_stages.history())
    assert without_time(run.second_stage.history()) == without_time(two_stages.second_stage.history())
    for part in ("stage1", "second_stage"):
        left, right = (state(getattr(r.load_model(compile=True), part)).values() for r in (two_stages, run))
        for one, other in zip(left, right, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_run_can_be_given_a_second_stage_and_a_longer_first_drops_it(whole, tmp_path, capsys):
    shutil.copytree(whole.path, tmp_path / "run")
    changes = {f"second_stage.{name}": value for name, value in SECOND_STAGE.items()}
    run = Run.open(tmp_path / "run").changed({**changes, "second_stage.epochs": 1})
    session.train(run, verbose=2)
    line = "second stage: epochs 1 to 1 on the latents of 24 training images"
    assert line in capsys.readouterr().out
    assert Run.open(run.path).has_second_stage()
    with pytest.raises(UserError, match="second_stage.width: expected 8, as the run was started with, got 16"):
        Run.open(run.path).changed({"second_stage.width": 16})
    longer = Run.open(run.path).changed({"training.epochs": 4, "second_stage.epochs": 0})
    session.train(longer, verbose=0)
    assert (longer.latest_checkpoint()[0], longer.second_stage.path.exists()) == (4, False)
