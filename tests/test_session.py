"""Training a run: what it leaves behind, and that an interruption changes nothing."""

import numpy as np
import pytest
from harness import state
from tiny import TINY

from gamix_keras import session
from gamix_keras.config import Config
from gamix_keras.runs import Run

THREE_EPOCHS = {**TINY, "training.epochs": 3}


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
