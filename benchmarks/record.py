"""What the measurements share: contestants that take turns, Markdown tables, and JSON with all that a number needs."""

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
    """The processor's name, how many of its cores this process may use, the memory in GiB and the system."""
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
    """Write rows as JSON with date, command, machine, versions and seed; does nothing without a path."""
    if path is None:
        return
    about = {"benchmark": name, "date": datetime.now(UTC).isoformat(timespec="seconds"), "command": sys.argv}
    about |= {"machine": machine(), "versions": provenance.versions(), "seed": seed, **further}
    Path(path).write_text(json.dumps({**about, "rows": list(rows)}, indent=2) + "\n", encoding="utf-8")


def table(rows: Sequence[Row], columns: Mapping[str, str]) -> str:
    """Return a Markdown table.

    Args:
        rows: What to show; a value that is missing or None becomes an empty cell.
        columns: Title of a column by the name of its value.
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
    """Return how much each call gets done a second, once per round; the calls take turns.

    Args:
        calls: By title; each does some work to its very end and returns how much, and if not all of its time counts,
            the seconds that do.
        seconds: Of each call, over all rounds.
        rounds: How often each has its turn, so that a busy moment of the machine falls on all.
    """
    for call in calls.values():
        for _ in range(WARM_UP):
            call()
    found: dict[str, list[float]] = {title: [] for title in calls}
    for number in range(rounds):
        titles = list(calls)[:: 1 if number % 2 else -1]  # nobody always goes first
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
    """The median over the rounds of one call's rate over another's: what was busy in a round falls out."""
    pairs = zip(found[title], found[reference], strict=True)
    return statistics.median(mine / other for mine, other in pairs)
