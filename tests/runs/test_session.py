"""Training a run: what it leaves behind, and that an interruption changes nothing."""

import errno
import json
import os
import shutil
import signal
import warnings
import zipfile

import numpy as np
import pytest
from harness import numpy, state
from tiny import TINY

from gamix_keras.callbacks import SampleGrid, step_size_factor
from gamix_keras.config import Config, UserError
from gamix_keras.files import DiskFull
from gamix_keras.interrupts import Stopped
from gamix_keras.models import TwoStageVAE
from gamix_keras.runs import Run, Stage, session

THREE_EPOCHS = {**TINY, "training.epochs": 3, "training.schedule": "one_cycle", "training.collapse_monitor": False}
SECOND_STAGE = {"epochs": 4, "batch_size": 8, "width": 8, "depth": 1, "checkpoint_every": 1, "halve_every": 3}
TWO_STAGES = {**TINY, "model.name": "vae", **{f"second_stage.{name}": value for name, value in SECOND_STAGE.items()}}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of three epochs in one go."""
    run = Run.create(tmp_path_factory.mktemp("runs") / "whole", Config().updated(THREE_EPOCHS))
    session.train(run, verbose=0)
    return run


def test_an_old_run_is_sharpened_and_a_term_is_taken_out_again(whole, tmp_path):
    shutil.copytree(whole.path, tmp_path / "run")
    values = {"training.epochs": 4, "loss.perceptual_weight": 50.0, "loss.perceptual_layers": "stem"}
    sharpened = session.train(Run.open(tmp_path / "run").changed(values), verbose=0).row
    assert sharpened["perceptual"] > 0.0 and sharpened["val_perceptual"] > 0.0 and sharpened["epoch"] == 4
    plain = {"training.epochs": 5, "loss.perceptual_weight": 0.0}
    assert "perceptual" not in session.train(Run.open(tmp_path / "run").changed(plain), verbose=0).row


def test_a_perceptual_term_from_the_first_step_of_a_new_run_is_warned_of(whole, tmp_path):
    values = {"loss.perceptual_weight": 50.0, "loss.perceptual_start": 0.0, "loss.perceptual_ramp": 0.0}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        session.prepare(Run.create(tmp_path / "new", Config().updated({**TINY, **values})))
        session.prepare(Run.open(whole.path).changed({**values, "training.epochs": 4}))
    said = [str(each.message) for each in caught if "perceptual" in str(each.message)]
    assert said == [
        "loss.perceptual_start: expected steps or a share of the training, got 0: the term loses the colours from the "
        "first step on"
    ]


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


def kill_after(monkeypatch, epochs, steps=0):
    """Let the process die before it writes the first checkpoint after that of some epochs and steps."""
    write = Run.save_checkpoint

    def save(self, model, epoch, step=0):
        if (epoch, step) > (epochs, steps):
            raise Killed
        write(self, model, epoch, step)

    monkeypatch.setattr(Run, "save_checkpoint", save)


def assert_same(left, right):
    """Two runs came to the same: history, weights, slots of the optimizers, generators."""
    assert without_time(left.history()) == without_time(right.history())
    states = (state(run.load_checkpoint(compile=True)).values() for run in (left, right))
    for one, other in zip(*states, strict=True):
        np.testing.assert_array_equal(one, other)


def without_time(rows):
    return [{name: value for name, value in row.items() if name not in ("seconds", "cpu_seconds")} for row in rows]


def test_a_run_leaves_rows_pictures_and_checkpoints(whole):
    assert [row["epoch"] for row in whole.history()] == [1, 2, 3]
    assert whole.latest_checkpoint().epoch == 3
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
    assert (run.latest_checkpoint().epoch, len(run.history())) == (2, 3)
    session.train(Run.open(run.path), verbose=0)
    assert_same(whole, run)


def signal_at(patch, moment, count):
    """Send SIGTERM at the ``count``-th call of a method of a callback."""
    calls = []

    def told(*_, **__):
        calls.append(1)
        if len(calls) == count:
            os.kill(os.getpid(), signal.SIGTERM)

    patch.setattr(SampleGrid, moment, told)


def test_told_to_stop_it_writes_a_checkpoint_first(whole, tmp_path, monkeypatch):
    run = Run.create(tmp_path / "stopped", Config().updated(THREE_EPOCHS))
    with monkeypatch.context() as patch:
        signal_at(patch, "on_train_batch_begin", 5)
        with pytest.raises(Stopped, match="SIGTERM"):
            session.train(run, verbose=0)
    assert run.latest_checkpoint().progress == (1, 2)
    session.train(Run.open(run.path), verbose=0)
    assert_same(whole, run)


def test_told_to_stop_while_it_validates_it_finishes_the_epoch(tmp_path, monkeypatch):
    run = Run.create(tmp_path / "stopped", Config().updated(THREE_EPOCHS))
    with monkeypatch.context() as patch:
        signal_at(patch, "on_test_begin", 1)
        with pytest.raises(Stopped):
            session.train(run, verbose=0)
    assert (run.latest_checkpoint().progress, len(run.history())) == ((1, 0), 1)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_second_process_is_refused_with_the_id_of_the_first(whole, tmp_path):
    shutil.copytree(whole.path, tmp_path / "run")
    run = Run.open(tmp_path / "run").changed({"training.epochs": 4})
    prepared = session.prepare(run)
    with run.locked(), pytest.raises(UserError, match=f"is being trained by process {os.getpid()}"):
        session.prepare(run)
    with run.locked(), pytest.raises(UserError, match=f"is being trained by process {os.getpid()}"):
        session.fit(prepared)
    run.save_checkpoint(prepared.model, 3, 1)
    with pytest.raises(UserError, match="trained on by another process meanwhile"):
        session.fit(prepared)


def fill_disk(patch, name, times):
    """Let the first writes of a file find no room."""
    replace, calls = os.replace, []

    def full(source, target):
        if str(target).endswith(name) and len(calls) < times:
            calls.append(target)
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    patch.setattr(os, "replace", full)


def test_a_full_disk_leaves_the_last_checkpoint_and_the_run_goes_on(whole, tmp_path, monkeypatch):
    run = Run.create(tmp_path / "full", Config().updated(THREE_EPOCHS))
    with monkeypatch.context() as patch:
        fill_disk(patch, "epoch-0002.keras", 1)
        with pytest.raises(DiskFull, match="the disk is full: no room for .*epoch-0002.keras"):
            session.train(run, verbose=0)
    assert run.latest_checkpoint().progress == (1, 0)
    session.train(Run.open(run.path), verbose=0)
    assert_same(whole, run)


def test_asked_to_it_waits_for_room(whole, tmp_path, monkeypatch):
    run = Run.create(tmp_path / "full", Config().updated({**THREE_EPOCHS, "training.full_disk": "pause"}))
    monkeypatch.setattr(session, "WAIT_SECONDS", 0)
    fill_disk(monkeypatch, "epoch-0002.keras", 2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        session.train(run, verbose=0)
    assert sum("waiting for room" in str(warning.message) for warning in caught) == 2
    assert_same(whole, run)


@pytest.fixture(scope="module")
def remedied(tmp_path_factory):
    """A run in one go with schedules, averaged weights and the critic's options."""
    remedies = {"loss.warmup": 1.5, "loss.warmup_shape": "cosine", "training.ema_decay": 0.8, "loss.r1_weight": 1.0}
    remedies |= {"loss.adversarial_start": 2.0, "loss.adversarial_ramp": 3.0, "loss.adaptive_weight": True}
    remedies |= {"model.critic_norm": "none", "model.critic_spectral_norm": True, "loss.momentum": 0.9}
    remedies |= {"training.epochs": 2, "training.checkpoint_steps": 1, "training.checkpoint_minutes": None}
    run = Run.create(tmp_path_factory.mktemp("runs") / "remedied", Config().updated({**TINY, **remedies}))
    session.train(run, verbose=0)
    return run


@pytest.mark.parametrize("steps", [0, 2])
def test_with_every_remedy_a_run_in_two_parts_is_the_run_in_one(remedied, tmp_path, monkeypatch, steps):
    """Schedules, averaged weights and the critic's options resume to the bit; what is loaded is the average.

    The cut is after one epoch and some of the three steps of the second.
    """
    run = Run.create(tmp_path / "parts", remedied.config)
    with monkeypatch.context() as patch:
        kill_after(patch, 1, steps)
        with pytest.raises(Killed):
            session.train(run, verbose=0)
    assert run.latest_checkpoint().progress == (1, steps)
    session.train(Run.open(run.path), verbose=0)
    assert_same(remedied, run)
    left = remedied.load_model(compile=True)
    shown = remedied.load_model()
    for average, variable in zip(left.ema.averages, shown.averaged_variables, strict=True):
        np.testing.assert_array_equal(numpy(average), numpy(variable))
    assert left.steps_done == 6


@pytest.mark.parametrize("action", ["skip", "lower"])
def test_a_step_left_out_before_the_cut_changes_nothing(tmp_path, monkeypatch, action):
    """A NaN in step 1 of epoch 2, killed at the checkpoint after step 2: to the bit as in one go, and told once."""
    changes = {"training.epochs": 2, "training.checkpoint_steps": 1, "training.checkpoint_minutes": None}
    changes |= {"training.ema_decay": 0.8, "loss.momentum": 0.9, "training.numeric_guard": action}
    changes |= {"training.schedule": "cosine"}
    config = Config().updated({**TINY, **changes, "training.collapse_monitor": False})
    runs = [Run.create(tmp_path / name, config) for name in ("whole", "parts")]
    fit_poisoned(runs[0], 3)
    with monkeypatch.context() as patch:
        kill_after(patch, 1, 2 if action == "skip" else 1)
        with pytest.raises(Killed):
            fit_poisoned(runs[1], 3)
    fit_poisoned(Run.open(runs[1].path), 3)
    assert_same(*runs)
    assert [(row["epoch"], row["step"], row["origin"]) for row in runs[0].bad_steps] == [(2, 1, "images")]
    assert runs[1].bad_steps == runs[0].bad_steps


def fit_poisoned(run, bad):
    """Train where one batch, counted from the run's first, is NaN."""
    prepared = session.prepare(run)
    steps, whole = prepared.data.steps, prepared.done + (prepared.step > 0)

    def batches(source, first):
        for number, batch in enumerate(source, first):
            yield (np.asarray(batch) * np.float32("nan" if number == bad else 1),)

    parts = {"training": batches(prepared.data.training, whole * steps)}
    if prepared.step:
        parts["begun"] = batches(prepared.data.begun, prepared.done * steps + prepared.step)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        session.fit(prepared._replace(data=prepared.data._replace(**parts)), verbose=0)


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
    assert (two_stages.latest_checkpoint().epoch, two_stages.second_stage.latest_checkpoint().epoch) == (1, 4)
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
    assert (run.second_stage.latest_checkpoint().epoch, len(run.second_stage.history())) == (2, 3)
    session.train(Run.open(run.path), verbose=0)
    assert without_time(run.history()) == without_time(two_stages.history())
    assert without_time(run.second_stage.history()) == without_time(two_stages.second_stage.history())
    for part in ("stage1", "second_stage"):
        left, right = (state(getattr(r.load_model(compile=True), part)).values() for r in (two_stages, run))
        for one, other in zip(left, right, strict=True):
            np.testing.assert_array_equal(one, other)
    left, right = (compiled_as(one.second_stage.latest_checkpoint().file) for one in (two_stages, run))
    assert left == right


def compiled_as(file):
    """What a checkpoint says of its optimizers, names included."""
    with zipfile.ZipFile(file) as archive:
        return json.loads(archive.read("config.json"))["compile_config"]


def test_a_run_can_be_given_a_second_stage_and_a_longer_first_drops_it(whole, tmp_path, capsys):
    shutil.copytree(whole.path, tmp_path / "run")
    changes = {f"second_stage.{name}": value for name, value in SECOND_STAGE.items()}
    run = Run.open(tmp_path / "run").changed({**changes, "second_stage.epochs": 1})
    session.train(run, verbose=2)
    line, head, row = capsys.readouterr().out.splitlines()
    assert line == "second stage: epochs 1 to 1 on the latents of 24 training images"
    assert head.split() == ["epoch", "loss", "val", "loss", "KL", "active", "seconds", "left"]
    assert row.split()[0] == "1/1" and len(row) < 80
    assert Run.open(run.path).has_second_stage()
    with pytest.raises(UserError, match="second_stage.width: expected 8, as the run was started with, got 16"):
        Run.open(run.path).changed({"second_stage.width": 16})
    longer = Run.open(run.path).changed({"training.epochs": 4, "second_stage.epochs": 0})
    session.train(longer, verbose=0)
    assert (longer.latest_checkpoint().epoch, longer.second_stage.path.exists()) == (4, False)
    # The rates of a run of four epochs: they have risen again.
    expected = [step_size_factor("one_cycle", share) for share in (2 / 9, 5 / 9, 8 / 9, 11 / 12)]
    for name, peak in (("learning_rate", 1e-3), ("critic_learning_rate", 1e-4)):
        assert [row[name] for row in longer.history()] == pytest.approx([peak * factor for factor in expected])
