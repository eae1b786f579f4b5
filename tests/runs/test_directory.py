"""Run directories: created, recorded, resumed, loaded."""

import json
import zipfile

import keras
import numpy as np
import pytest
from harness import compiled, gamix, images, state

from gamix_keras.config import Config, UserError
from gamix_keras.runs import Run, agreement, new_path, newest_path

backend_free = pytest.mark.backend_free


@pytest.fixture
def run(tmp_path):
    run = Run.create(tmp_path / "run", Config.from_dict({"model": {"width": 8}}), "faces-quick")
    run.begin_session(0)
    return run


def fake_checkpoint(run, epoch, whole=True):
    path = run.path / "checkpoints" / f"epoch-{epoch:04d}.keras"
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights", bytes(1000))
    if not whole:
        data = bytearray(path.read_bytes())
        data[200] ^= 1
        path.write_bytes(data)
    return path


@backend_free
def test_a_run_is_what_was_created(run):
    opened = Run.open(run.path)
    assert opened == run
    assert opened.config.model.width == 8


@backend_free
def test_what_a_result_depends_on_is_recorded(run):
    (session,) = json.loads((run.path / "config.json").read_text())["sessions"]
    assert session["versions"]["keras"] == keras.__version__
    assert {"git", "python", "platform", "command", "started"} <= set(session)
    assert session["from_epoch"] == 0


@backend_free
def test_nothing_is_overwritten(run, tmp_path):
    with pytest.raises(UserError, match="--out: .* holds a run already; go on with --resume"):
        Run.create(run.path, Config())
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    for name in ("full", "full/thesis.tex"):
        with pytest.raises(UserError, match="--out: expected a new or empty directory"):
            Run.create(tmp_path / name, Config())


@backend_free
@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"config": {"model": {"width": "x"}}}', '{"config": []}'])
def test_a_damaged_config_is_told_in_one_line(run, text):
    (run.path / "config.json").write_text(text)
    with pytest.raises(UserError) as caught:
        Run.open(run.path)
    assert "\n" not in str(caught.value)


@backend_free
def test_nothing_is_written_before_training_begins(tmp_path):
    Run.create(tmp_path / "run", Config())
    assert not (tmp_path / "run").exists()


@backend_free
def test_no_run_is_told(tmp_path):
    with pytest.raises(UserError, match="RUN: expected a run directory"):
        Run.open(tmp_path)


@backend_free
def test_rewinding_leaves_neither_gap_nor_duplicate(run):
    for epoch in (1, 2, 3):
        run.record({"epoch": epoch, "loss": 1.0})
    with open(run.path / "history.jsonl", "a") as file:
        file.write('{"epoch": 4, "lo')
    run.begin_session(2)
    run.record({"epoch": 3, "loss": 2.0})
    assert [(row["epoch"], row["loss"]) for row in run.history()] == [(1, 1.0), (2, 1.0), (3, 2.0)]


@backend_free
def test_the_newest_whole_checkpoint_is_used_and_a_damaged_one_named(run):
    assert run.latest_checkpoint() == (0, None)
    good = fake_checkpoint(run, 9)
    fake_checkpoint(run, 10, whole=False)
    (run.path / "checkpoints" / "epoch-0011.keras").write_bytes(b"PK")
    (run.path / "checkpoints" / ".epoch-0012.99.tmp.keras").touch()
    with pytest.warns(UserWarning, match="epoch-001[01].keras is damaged"):
        assert run.latest_checkpoint() == (9, good)


class Saved:
    """Stands for a model where only files matter."""

    @staticmethod
    def save(path):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("weights", bytes(100))


def kept(run):
    return sorted(file.stem for file in run.checkpoints.glob("*.keras"))


@backend_free
def test_a_checkpoint_that_is_not_what_was_written_is_damaged(run):
    """Bytes that belong to no member of the archive: only the checksum knows."""
    for epoch in (1, 2):
        run.save_checkpoint(Saved, epoch)
    digest, name = (run.checkpoints / "epoch-0002.keras.sha256").read_text().split()
    assert (len(digest), name) == (64, "epoch-0002.keras")
    with open(run.checkpoints / name, "ab") as file:
        file.write(b"more")
    with pytest.warns(UserWarning, match="epoch-0002.keras is damaged"):
        assert run.latest_checkpoint().epoch == 1
    run.save_checkpoint(Saved, 2)
    assert run.latest_checkpoint().epoch == 2


@backend_free
def test_steps_and_epochs_are_in_order_and_the_last_ones_kept(run):
    for epoch, step in ((1, 0), (1, 20), (1, 100), (2, 0), (2, 20)):
        run.save_checkpoint(Saved, epoch, step)
        assert run.latest_checkpoint().progress == (epoch, step)
    assert kept(run) == ["epoch-0002", "epoch-0002-step-000020"]


@backend_free
def test_the_best_epoch_is_kept_besides(run):
    run = run.changed({"training.keep_checkpoints": 1, "training.keep_best": "val_psnr"})
    run.begin_session(0)
    for epoch, psnr in enumerate((20.0, 23.0, float("nan"), 22.0), start=1):
        run.record({"epoch": epoch, "val_psnr": psnr})
        run.save_checkpoint(Saved, epoch)
    run.save_checkpoint(Saved, 4, 10)
    assert kept(run) == ["epoch-0002", "epoch-0004-step-000010"]


@backend_free
def test_damaged_checkpoints_of_a_given_up_future_do_not_push_out_good_ones(run):
    run.save_checkpoint(Saved, 1)
    for epoch in (5, 6):
        fake_checkpoint(run, epoch, whole=False)
    run.save_checkpoint(Saved, 2)
    assert kept(run)[:2] == ["epoch-0001", "epoch-0002"]


@backend_free
def test_a_killed_process_leaves_nothing_in_the_way(run, tmp_path):
    for name in (".epoch-0001.999999999.tmp.keras", "tmpabcd"):
        run.checkpoints.mkdir(exist_ok=True)
        (run.checkpoints / name).touch()
    with run.locked():
        assert not list(run.checkpoints.iterdir())
    (tmp_path / "early").mkdir()
    for name in (".lock", ".config.999999999.tmp.json"):
        (tmp_path / "early" / name).touch()
    Run.create(tmp_path / "early", Config())


@backend_free
def test_only_some_settings_may_change_on_resuming(run):
    longer = run.changed({"training.epochs": 99, "model.width": 8})
    longer.begin_session(1)
    assert Run.open(run.path).config == longer.config
    assert len(json.loads((run.path / "config.json").read_text())["sessions"]) == 2
    with pytest.raises(UserError, match="model.width: expected 8, as the run was started with, got 16"):
        run.changed({"model.width": 16})
    decaying = run.changed({"training.schedule": "cosine"})
    with pytest.raises(UserError, match="training.schedule: expected cosine, as the run was started with, got const"):
        decaying.changed({"training.schedule": "constant"})


@backend_free
def test_runs_are_numbered(tmp_path):
    assert new_path("p", tmp_path).name == "p-1"
    with pytest.raises(UserError, match="--resume: expected a run of p"):
        newest_path("p", tmp_path)
    for name in ("p-2", "p-10", "p-light-77", "p-x"):
        (tmp_path / name).mkdir()
    assert (newest_path("p", tmp_path).name, new_path("p", tmp_path).name) == ("p-10", "p-11")


def test_a_checkpoint_holds_everything_that_training_moves(run, monkeypatch):
    monkeypatch.setattr(agreement, "check", lambda *arguments, **keywords: None)  # the networks are no recipe's
    model = compiled(gamix())
    model.fit(images(8), batch_size=4, epochs=1, verbose=0)
    for epoch in (1, 2, 3):
        run.save_checkpoint(model, epoch)
    names = [f"epoch-000{epoch}.keras" for epoch in (2, 3)]
    assert {file.name for file in run.checkpoints.iterdir()} == {*names, *(f"{name}.sha256" for name in names)}
    before, after = state(model), state(run.load_model(compile=True))
    for left, right in zip(before.values(), after.values(), strict=True):
        np.testing.assert_array_equal(left, right)


def test_a_run_without_a_checkpoint_cannot_be_loaded(run):
    with pytest.raises(UserError, match="which has none yet"):
        run.load_model()


@backend_free
def test_a_checkpoint_can_be_chosen(run):
    run = run.changed({"training.keep_best": "val_psnr"})
    for epoch, value in enumerate((20.0, 23.0, 22.0), 1):
        run.record({"epoch": epoch, "val_psnr": value})
        fake_checkpoint(run, epoch)
    fake_checkpoint(run, 4, whole=False)
    assert [run.at(which).checkpoint().epoch for which in ("best", 1, "3")] == [2, 1, 3]
    with pytest.warns(UserWarning, match="epoch-0004.keras is damaged"):
        assert run.at("latest").checkpoint().epoch == 3
        assert run.at(3).samplers == run.path / "samplers"
        assert run.at("best").samplers == run.path / "samplers" / "epoch-0002"
    with pytest.raises(UserError, match="--checkpoint: expected a whole file, got .*4.keras, which is damaged"):
        run.at(4)


@backend_free
@pytest.mark.parametrize("which", ["9", "newest", "-1", ""])
def test_a_checkpoint_that_is_not_there_is_told(run, which):
    fake_checkpoint(run, 2)
    message = rf"--checkpoint: expected latest, best or an epoch that is kept \(2\), got {which}"
    with pytest.raises(UserError, match=message):
        run.at(which)
    with pytest.raises(UserError, match="--checkpoint: expected a run with training.keep_best for best"):
        run.at("best")


@backend_free
def test_bad_steps_after_the_checkpoint_are_told_anew(run):
    rows = [{"epoch": epoch, "step": step, "origin": "images"} for epoch, step in ((1, 9), (2, 3), (2, 4), (3, 1))]
    for row in rows:
        run.record_bad_step(row)
    run.begin_session(1, 3)
    assert run.bad_steps == rows[:2]
    run.begin_session(1)
    assert run.bad_steps == rows[:1]
