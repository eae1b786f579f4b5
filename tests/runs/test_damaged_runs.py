"""A run whose files were damaged: nothing is overwritten or removed, and the user is told how to go on."""

import json
import zipfile

import pytest
from tiny import TINY

from gamix_keras.config import Config, UserError
from gamix_keras.runs import Run, session

pytestmark = pytest.mark.backend_free
ROWS = [{"epoch": epoch, "loss": float(epoch)} for epoch in (1, 2, 3)]


@pytest.fixture
def run(tmp_path):
    """A run of three epochs, the last two of which have a checkpoint."""
    run = Run.create(tmp_path / "run", Config().updated({**TINY, "training.epochs": 3, "second_stage.epochs": 1}))
    run.begin_session(0)
    for row in ROWS:
        run.record(row)
    for epoch in (2, 3):
        checkpoint(run, epoch)
    return run


def checkpoint(stage, epoch):
    """Write a file that passes the check."""
    stage.checkpoints.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(stage.checkpoints / f"epoch-{epoch:04d}.keras", "w") as archive:
        archive.writestr("weights", bytes(1000))
        archive.writestr("config.json", "{}")


def damage(stage):
    """Damage all checkpoints."""
    for file in stage.checkpoints.glob("*.keras"):
        data = bytearray(file.read_bytes())
        data[200] ^= 1
        file.write_bytes(data)


def contents(run):
    """Every file with its bytes."""
    return {file.name: file.read_bytes() for file in run.path.rglob("*") if file.is_file() and file.name != ".lock"}


@pytest.mark.filterwarnings("ignore:.*is damaged")
@pytest.mark.parametrize("second", [False, True])
def test_without_a_whole_checkpoint_training_does_not_go_on(run, second):
    if second:
        checkpoint(run.second_stage, 1)
    stage = run.second_stage if second else run
    damage(stage)
    before = contents(run)
    for _ in range(2):
        with pytest.raises(UserError) as refused:
            session.train(run, verbose=0)
    text, names = str(refused.value), ["epoch-0001"] if second else ["epoch-0003", "epoch-0002"]
    damaged = ", ".join(f"{name}.keras" for name in names)
    assert text.startswith(f"--resume: expected a whole checkpoint in {stage.checkpoints}, got damaged {damaged}; ")
    assert text.endswith(
        f"restore one from a copy, or train anew with `gamix-keras train --restart {run.path} --out NEW`"
    )
    assert contents(run) == before


@pytest.mark.filterwarnings("ignore:.*is damaged")
def test_loading_says_that_the_checkpoints_are_damaged(run):
    damage(run)
    with pytest.raises(UserError, match=r"checkpoints are damaged \(epoch-0003.keras, epoch-0002.keras\)$"):
        run.load_model()


def test_a_damaged_checkpoint_is_set_aside_before_its_name_is_written_again(run):
    damaged = run.checkpoints / "epoch-0003.keras"
    for content in (b"first", b"second"):
        damaged.write_bytes(content)
        run.begin_session(2)
    names = sorted(file.name for file in run.checkpoints.iterdir())
    assert names == ["epoch-0002.keras", "epoch-0003.keras.damaged", "epoch-0003.keras.damaged-2"]
    assert (run.checkpoints / names[2]).read_bytes() == b"second"
    assert run.latest_checkpoint().progress == (2, 0)


@pytest.mark.parametrize("line", [b'{"epoch": 2, "loss": "\xff"}', b'{"epoch": "x"}', b"null", b'{"epoch": tr'])
def test_a_line_of_the_history_that_cannot_be_read_is_named(run, line):
    file = run.path / "history.jsonl"
    lines = [json.dumps(ROWS[0]).encode(), line, json.dumps(ROWS[2]).encode()]
    file.write_bytes(b"\n".join(lines) + b"\n")
    with pytest.warns(UserWarning, match="history.jsonl: expected an epoch in every line, got none in line 2"):
        assert run.history() == [ROWS[0], ROWS[2]]
    before = file.read_bytes()
    with pytest.warns(UserWarning, match="got none in line 2"):
        run.begin_session(3)
    assert run.history() == [ROWS[0], ROWS[2]]
    assert file.with_name("history.jsonl.damaged").read_bytes() == before


def test_an_epoch_stands_in_the_history_once(run):
    run.record({"epoch": 3, "loss": 9.0})
    assert run.history() == [*ROWS[:2], {"epoch": 3, "loss": 9.0}]


def test_a_value_that_is_no_number_is_never_the_best(run):
    run = run.changed({"training.keep_best": "val_psnr"})
    run.rewind(0)
    for epoch, value in ((2, "x"), (3, 20.0)):
        run.record({"epoch": epoch, "val_psnr": value})
    assert run.at("best").checkpoint().epoch == 3
