"""The results of a study: the numbers of each run, and of each row over its seeds, as a file, a table and figures."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from gamix_keras import files, plots
from gamix_keras.study.job import Job
from gamix_keras.study.plan import STUDIES, Row

CONFIDENCE = 0.95
# The order of columns and lines; in evaluations names are sorted.
_NOT_DRAWN = ("frechet/real", "frechet/reconstruction")
_DRAWN = ("real", "reconstruction", "prior", "gaussian", "mixture", "second_stage", "best")
_COLUMNS = {"psnr": ("PSNR, dB", ".2f"), "mse": ("MSE", ".5f"), "active_units": ("active units", ".1f")}
Numbers = dict[str, float]
Mean = dict[str, Any]
Means = Mapping[str, dict[str, Mean]]  # by row and name of the number
Points = Mapping[str, Mapping[str, plots.Point]]


def measures_of(result: Mapping[str, Any]) -> Numbers:
    """Return the numbers of an evaluation that a study compares; distances are named `frechet/SAMPLER`.

    `frechet/real` is the floor: real images against other real images, see `evaluation.floor`.
    """
    scores = result["reconstruction"]
    numbers = {"psnr": scores["psnr"], "mse": scores["mse"], "active_units": result["latents"]["active_units"]}
    numbers["frechet/reconstruction"] = scores["frechet"]["value"]
    numbers |= {f"frechet/{name}": entry["frechet"]["value"] for name, entry in result["samplers"].items()}
    if "real" in result:  # evaluations of older versions have no floor
        numbers["frechet/real"] = result["real"]["frechet"]["value"]
    return numbers


def mean_of(values: Sequence[float]) -> Mean:
    """Return the mean, the number of seeds, and from two seeds on half of Student's 95 % interval, t s / sqrt(n)."""
    found: Mean = {"mean": float(np.mean(values)), "seeds": len(values)}
    if len(values) > 1:
        quantile = stats.t.ppf(0.5 + CONFIDENCE / 2, len(values) - 1)
        found["interval"] = float(quantile * np.std(values, ddof=1) / np.sqrt(len(values)))
    return found


def summarise(runs: Iterable[Numbers]) -> dict[str, Mean]:
    """Return the mean of each number over the runs of a row; `frechet/best` is of the sampler with the lowest."""
    runs = list(runs)
    if not runs:
        return {}
    means = {name: mean_of([run[name] for run in runs]) for name in runs[0] if all(name in run for run in runs)}
    drawn = [name for name in means if name.startswith("frechet/") and name not in _NOT_DRAWN]
    best = min(drawn, key=lambda name: means[name]["mean"])
    return {**means, "frechet/best": {**means[best], "sampler": best.removeprefix("frechet/")}}


def write_results(
    name: str, out: Path, rows: Sequence[Row], jobs: Sequence[Job], failures: Mapping[str, str], pictures: bool
) -> None:
    """Write `study.json` and `table.md` from the runs that are finished, and figures.

    Args:
        name: The name of the study.
        out: The directory of the study.
        rows: The rows of the study.
        jobs: All jobs of the study.
        failures: The failures of jobs, by the job's name.
        pictures: Whether to draw the figures too, which takes a second.
    """
    found = {job.name: job.result() for job in jobs}
    runs = {key: measures_of(result) for key, result in found.items() if result}
    by_row = {row.name: summarise(runs[job.name] for job in jobs if _is_done(job, row, runs)) for row in rows}
    protocols = [result["protocol"] for result in found.values() if result]
    label = next((result["reconstruction"]["frechet"]["name"] for result in found.values() if result), "FD")
    entries = {
        row.name: {"changes": row.changes, "means": by_row[row.name], "runs": _runs(row, jobs, runs, failures)}
        for row in rows
    }
    values = {
        "study": name,
        "question": STUDIES[name].question,
        "distance": label,
        "protocol": protocols[0] if protocols else {},
    }
    files.write_json(out / "study.json", {**values, "rows": entries})
    text = "\n".join([*_table(by_row, label), "", *_notes(name, protocols, by_row, label), *_failed(failures)]) + "\n"
    files.write_text(out / "table.md", text)
    if pictures:
        _write_figures(name, out, rows, by_row, label)


def _is_done(job: Job, row: Row, runs: Mapping[str, Numbers]) -> bool:
    return job.row == row.name and job.name in runs


def _runs(row: Row, jobs: Sequence[Job], runs: Mapping[str, Numbers], failures: Mapping[str, str]) -> dict[str, Any]:
    mine = [job.name for job in jobs if job.row == row.name]
    return {key: runs.get(key) or {"failure": failures.get(key, "not finished")} for key in mine}


def _table(by_row: Means, label: str) -> list[str]:
    """Return the lines of a Markdown table, aligned to be readable as plain text too."""
    drawn = _distances(by_row)
    short = label.partition("-")[0]
    columns = {**_COLUMNS, **{name: (f"{short} {name.removeprefix('frechet/')}", ".2f") for name in drawn}}
    cells = [["row", *(title for title, _ in columns.values())]]
    for row, means in by_row.items():
        cells.append([row, *(_cell(means.get(name), form) for name, (_, form) in columns.items())])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [[row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in cells]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return [f"| {' | '.join(line)} |" for line in [lines[0], rule, *lines[1:]]]


def _distances(by_row: Means) -> list[str]:
    names = (f"frechet/{name}" for name in _DRAWN)
    return [name for name in names if any(name in means for means in by_row.values())]


def _cell(mean: Mean | None, form: str) -> str:
    if mean is None:
        return "-"
    interval = f" ± {mean['interval']:{form}}" if "interval" in mean else ""
    sampler = f" ({mean['sampler']})" if "sampler" in mean else ""
    return f"{mean['mean']:{form}}{interval}{sampler}"


def _notes(name: str, protocols: Sequence[Mapping[str, Any]], by_row: Means, label: str) -> list[str]:
    if not protocols:
        return ["No run is finished yet."]
    seeds = [means["psnr"]["seeds"] for means in by_row.values() if means]
    interval = " (mean ± 95 % interval)" if max(seeds) > 1 else ""
    images = _span(protocol["real_images"] for protocol in protocols)
    return [
        f"{STUDIES[name].question} Seeds: {_span(seeds)}{interval}. MSE on the [0, 1] scale. {label}, lower is better: "
        f"{images} held-out images against as many generated ones, features of "
        f"{protocols[0]['extractor']}; `real` is the floor, real images against other real ones."
    ]


def _span(values: Iterable[int]) -> str:
    low, *_, high = sorted([*values] * 2)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _failed(failures: Mapping[str, str]) -> list[str]:
    return ["", *(f"- {name} failed: {text}" for name, text in failures.items())] if failures else []


def _write_figures(name: str, out: Path, rows: Sequence[Row], by_row: Means, label: str) -> None:
    finished = [row for row in rows if by_row[row.name]]
    if not finished:
        return
    means = {row.name: by_row[row.name] for row in finished}
    drawn = [key for key in _distances(means) if key != "frechet/best"]
    shown = {
        "distances": (f"{label}, lower is better", {key: key.removeprefix("frechet/") for key in drawn}),
        "psnr": ("PSNR of held-out images, dB", {"psnr": "PSNR"}),
    }
    for file, (title, names) in shown.items():
        points = {
            text: {row: _point(numbers[key]) for row, numbers in means.items() if key in numbers}
            for key, text in names.items()
        }
        with files.replacing(out / f"{file}.png") as temporary:
            temporary.write_bytes(_figure(STUDIES[name].varied, finished, points, title))


def _point(mean: Mean) -> plots.Point:
    return mean["mean"], mean.get("interval", 0.0)


def _figure(varied: str | None, rows: Sequence[Row], points: Points, title: str) -> bytes:
    if varied is None:
        return plots.groups_png(points, title)
    places = {row.name: row.value for row in rows}
    lines = {text: [(places[row], *point) for row, point in series.items()] for text, series in points.items()}
    return plots.sweep_png(lines, title, varied)
