"""Shared by the measurements: calls that take turns, Markdown tables, and JSON with the origin of every number."""

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gamix_keras.runs import provenance

ROUNDS = 5
WARM_UP = 2
Row = dict[str, Any]
Call = Callable[[], int | tuple[int, float]]


def machine() -> dict[str, Any]:
    """Return the processor's name, the number of cores this process may use, the memory in GiB and the system."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"cpu": _cpu_model(), "cores": usable, "memory_gib": _memory(), "system": platform.platform()}


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _memory() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return None


def save(path: str | None, name: str, rows: Sequence[Row], seed: int, **further: Any) -> None:
    """Write rows as JSON with date, command, machine, versions and seed; do nothing if `path` is None."""
    if path is None:
        return
    about = {"benchmark": name, "date": datetime.now(UTC).isoformat(timespec="seconds"), "command": sys.argv}
    about |= {"machine": machine(), "versions": provenance.versions(), "seed": seed, **further}
    Path(path).write_text(json.dumps({**about, "rows": list(rows)}, indent=2) + "\n", encoding="utf-8")


def table(rows: Sequence[Row], columns: Mapping[str, str]) -> str:
    """Return a Markdown table.

    Args:
        rows: The rows; a missing value or None becomes an empty cell.
        columns: The title of each column by the name of its value.
    """
    lines = [list(columns.values()), ["---"] * len(columns)]
    lines += [[_shown(row.get(name)) for name in columns] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def rates(calls: Mapping[str, Call], seconds: float, rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Let calls take turns, and return how much work each does per second, once per round.

    Args:
        calls: The calls by title. Each does some work, waits for its end and returns how much it was, or a pair of that
            and the seconds to count, if not the whole call counts.
        seconds: The time for each call, over all rounds.
        rounds: The number of turns of each call; a busy moment of the machine slows all calls of a round.
    """
    for call in calls.values():
        for _ in range(WARM_UP):
            call()
    found: dict[str, list[float]] = {title: [] for title in calls}
    for number in range(rounds):
        titles = list(calls) if number % 2 else list(reversed(calls))  # no call is always the first
        for title in titles:
            found[title].append(_rate(calls[title], seconds / rounds))
    return found


def _rate(call: Call, seconds: float) -> float:
    done, counted, start = 0, 0.0, time.perf_counter()
    while not done or time.perf_counter() - start < seconds:
        begun = time.perf_counter()
        found = call()
        count, own = found if isinstance(found, tuple) else (found, time.perf_counter() - begun)
        done, counted = done + count, counted + own
    return done / counted


def against(found: Mapping[str, Sequence[float]], title: str, reference: str) -> float:
    """Return the median over the rounds of the ratio of two calls' rates, which cancels what slowed a round."""
    pairs = zip(found[title], found[reference], strict=True)
    return statistics.median(mine / other for mine, other in pairs)
