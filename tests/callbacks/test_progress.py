"""What a training prints: a row per epoch, and a bar in a terminal."""

import io
import re

import pytest
from harness import compiled, gamix, images, vae

from gamix_keras.callbacks import TerminalProgress

X = images(8)
LOGS = {"loss": 10684.421875, "psnr": 14.33, "global": 8.22, "kl": 0.05, "active_units": 4.0, "variance": -0.049}
VALIDATION = {"val_loss": 9910.25, "val_psnr": 15.03}


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        """Return True."""
        return True


def printed(monkeypatch, stream, callback, epochs=(0,), steps=4, logs=LOGS):
    """Return what a training of such epochs prints."""
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setattr("gamix_keras.callbacks.progress.REDRAW_SECONDS", 0)
    callback.set_params({"steps": steps, "epochs": epochs[-1] + 1})
    for epoch in epochs:
        callback.on_epoch_begin(epoch)
        for batch in range(4):
            callback.on_train_batch_end(batch, logs)
        callback.on_test_begin()
        callback.on_epoch_end(epoch, {**logs, **VALIDATION})
    callback.on_train_end()
    return stream.getvalue()


@pytest.mark.parametrize(("build", "term"), [(vae, "KL"), (gamix, "global")])
def test_a_row_for_each_epoch_of_a_fit(build, term, capsys):
    callback = TerminalProgress(5)
    compiled(build()).fit(X, validation_data=(X,), initial_epoch=3, epochs=5, callbacks=[callback], verbose=0)
    head, *rows = capsys.readouterr().out.splitlines()
    assert re.sub(" {2,}", "|", head) == f"|epoch|loss|PSNR|val PSNR|{term}|active|seconds|left"
    assert [row.split()[0] for row in rows] == ["4/5", "5/5"] and rows[-1].endswith(" 0:00")
    assert {len(row) for row in (head, *rows)} == {len(head)} and len(head) < 80


def test_numbers_stand_below_their_names(monkeypatch):
    head, row = printed(monkeypatch, io.StringIO(), TerminalProgress(30, 2)).splitlines()
    row = row.split()
    assert dict(zip(head.replace("val PSNR", "val_PSNR").split(), row, strict=True)) == {
        **{"epoch": "1/30", "loss": "10684.4", "PSNR": "14.33", "val_PSNR": "15.03", "global": "8.220"},
        **{"active": "4", "seconds": row[-2], "left": row[-1]},
    }


def test_no_bar_but_in_a_terminal(monkeypatch):
    assert "\r" not in printed(monkeypatch, io.StringIO(), TerminalProgress(1))
    assert "\r" not in printed(monkeypatch, Terminal(), TerminalProgress(1, 2))
    assert "\r" in printed(monkeypatch, Terminal(), TerminalProgress(1))


@pytest.mark.parametrize("columns", [80, 30])
def test_the_bar_never_wraps_and_leaves_nothing_behind(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    text = printed(monkeypatch, Terminal(), TerminalProgress(1), logs={**LOGS, "loss": 1e30})
    *drawn, row = text.partition("    epoch")[0].split("\r")
    assert max(map(len, drawn)) < columns and row == ""
    assert drawn[-1] == " " * len(drawn[-1]) and len(drawn[-1]) >= len(drawn[-2].rstrip())


def test_the_bar_counts_the_steps_of_an_earlier_session(monkeypatch):
    text = printed(monkeypatch, Terminal(), TerminalProgress(9, begun=2), epochs=(6, 7))
    counts = [re.search(r" (\d+/\d+)  loss", line) for line in text.split("\r")]
    assert [found[1] for found in counts if found] == ["3/6", "4/6", "5/6", "6/6", "1/4", "2/4", "3/4", "4/4"]


def test_an_epoch_of_unknown_length_has_a_count(monkeypatch):
    assert "step 4  loss" in printed(monkeypatch, Terminal(), TerminalProgress(1), steps=None)


def test_all_metrics_if_they_are_asked_for(monkeypatch):
    lines = printed(monkeypatch, io.StringIO(), TerminalProgress(1, "all")).splitlines()
    assert all(f"{name}=" in " ".join(lines[2:]) for name in (*LOGS, *VALIDATION))
    assert "variance=-0.049" in " ".join(lines[2:]).split() and max(map(len, lines)) <= 80
