"""What a training shows in the terminal: one row per epoch, and a bar within the epoch."""

import shutil
import sys
import textwrap
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import keras

BAR_LENGTH = 20
REDRAW_SECONDS = 0.1


class Column(NamedTuple):
    """A column of the table: its title, the metric that it shows, and how (width included)."""

    title: str
    metric: str
    form: str

    def shown(self, logs: Mapping[str, Any]) -> str:
        """Return the metric as text of the column's width."""
        return format(float(logs[self.metric]), self.form)

    @property
    def head(self) -> str:
        """The title, as wide as the column."""
        return self.title.rjust(int(self.form.lstrip("#").partition(".")[0]))


COLUMNS = (
    Column("loss", "loss", "#12.6g"),
    Column("PSNR", "psnr", "8.2f"),
    Column("val PSNR", "val_psnr", "10.2f"),
    Column("val loss", "val_loss", "#12.6g"),
    Column("global", "global", "#10.4g"),
    Column("KL", "kl", "#10.4g"),
    Column("active", "active_units", "8.0f"),
)
# If a training logs the first of a pair, the second is left out: one row has to fit 80 characters.
REPLACES = {"val_psnr": "val_loss", "global": "kl"}


class TerminalProgress(keras.callbacks.Callback):
    """Prints a row for each epoch: its number, the metrics that matter most, its seconds, and the time left.

    If stdout is a terminal, a bar shows the steps within the epoch. Metrics are fetched from the device only when the
    bar is redrawn, at most ten times a second. Use `verbose=0` in `fit` beside it.

    Args:
        epochs: Epochs of the whole training.
        verbose: `"auto"` or 1 prints rows, and the bar in a terminal; 2 prints rows only; `"all"` adds every metric
            below each row.
        begun: Steps of the first epoch that an earlier session has done.
    """

    def __init__(self, epochs: int, verbose: str | int = "auto", begun: int = 0) -> None:
        super().__init__()
        self.epochs = epochs
        self.verbose = verbose
        self.begun = begun
        self.columns: tuple[Column, ...] = ()
        self._on_screen = 0

    @property
    def has_bar(self) -> bool:
        """Whether a bar is drawn: not to a file or a pipe, and not if `verbose` is 2."""
        return self.verbose != 2 and sys.stdout is not None and sys.stdout.isatty()

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Start the clock."""
        self.started = time.perf_counter()
        self.first_ended = self.redrawn = None
        self.label = f"{epoch + 1}/{self.epochs}".rjust(9)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Redraw the bar if it is time."""
        now = time.perf_counter()
        self.first_ended = self.first_ended or (batch, now)
        if self.has_bar and (self.redrawn is None or now - self.redrawn >= REDRAW_SECONDS):
            self._draw(self._bar(batch, logs or {}, now))
            self.redrawn = now

    def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Say that validation runs."""
        if self.has_bar:
            self._draw(f"{self.label}  validation")

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Print the row."""
        logs, seconds = logs or {}, time.perf_counter() - self.started
        self.close()
        if not self.columns:
            self.columns = _columns_of(logs)
            self._print("    epoch" + "".join(column.head for column in self.columns) + f"{'seconds':>9}{'left':>9}")
        values = "".join(column.shown(logs) for column in self.columns)
        left = _duration(seconds * (self.epochs - epoch - 1))
        self._print(f"{self.label}{values}{seconds:9.1f}{left:>9}")
        if self.verbose == "all":
            self._print(_all_metrics(logs))
        self.begun = 0

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Leave the terminal clean."""
        self.close()

    def close(self) -> None:
        """Remove the bar, if there is one: what is printed next starts on a line of its own."""
        if self._on_screen:
            print(" " * self._on_screen, end="\r", flush=True)
            self._on_screen = 0

    def _bar(self, batch: int, logs: Mapping[str, Any], now: float) -> str:
        done, steps = self.begun + batch + 1, self.params.get("steps")
        metrics = [f"{column.title} {column.shown(logs).strip()}" for column in _columns_of(logs)[:2]]
        if not steps:
            return "  ".join([self.label, f"step {done}", *metrics])
        steps += self.begun
        filled = BAR_LENGTH * done // steps
        bar = "[" + "=" * filled + " " * (BAR_LENGTH - filled) + "]"
        count = f"{done}/{steps}".rjust(2 * len(str(steps)) + 1)
        return "  ".join([self.label, bar, count, *metrics, *self._left(batch, steps - done, now)])

    def _left(self, batch: int, steps: int, now: float) -> list[str]:
        first, ended = self.first_ended  # the first step is compiled, and tells nothing about the others
        return [f"{_duration((now - ended) / (batch - first) * steps)} left"] if batch > first else []

    def _draw(self, line: str) -> None:
        line = line[: shutil.get_terminal_size().columns - 1]
        print(line.ljust(self._on_screen), end="\r", flush=True)
        self._on_screen = len(line)

    def _print(self, line: str) -> None:
        print(line, flush=True)


def _columns_of(logs: Mapping[str, Any]) -> tuple[Column, ...]:
    replaced = {other for metric, other in REPLACES.items() if metric in logs}
    return tuple(column for column in COLUMNS if column.metric in logs and column.metric not in replaced)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _all_metrics(logs: Mapping[str, Any]) -> str:
    text = " ".join(f"{name}={float(value):.6g}" for name, value in sorted(logs.items()))
    indent = " " * 11
    return textwrap.fill(text, 80, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
