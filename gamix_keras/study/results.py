"""The results of a study: the numbers of each run, and of each row over its seeds, as a file, a table and figures."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from gamix_keras import files, plots
from gamix_keras.runs import measured
from gamix_keras.study.job import Job
from gamix_keras.study.plan import STUDIES, Row

CONFIDENCE = 0.95
_NOTHING = {"reconstruction": {}, "samplers": {}, "protocol": {}}
# The order of columns and lines; in evaluations names are sorted.
_NOT_DRAWN = ("frechet/real", "frechet/reconstruction")
_DRAWN = ("real", "reconstruction", "prior", "gaussian", "mixture", "second_stage", "best")
_COLUMNS = {"psnr": ("PSNR, dB", ".2f"), "mse": ("MSE", ".5f"), "active_units": ("active units", ".1f")}
Numbers = dict[str, float]
Mean = dict[str, Any]
Means = Mapping[str, dict[str, Mean]]  # by row and name of the number
Points = Mapping[str, Mapping[str, plots.Point]]


def deciding_extractor(results: Iterable[Mapping[str, Any]]) -> str | None:
    """Return the extractor that decides which sampler is best, or None if there is none.

    It is the first of those that all runs have and none was trained on, else the first that all have.
    """
    judged = [measured.by_extractor(result) for result in results]
    common = [name for name in (judged[0] if judged else ()) if all(name in found for found in judged)]
    neutral = [name for name in common if not any(measured.is_trained_on(found[name]) for found in judged)]
    return next(iter([*neutral, *common]), None)


def measures_of(result: Mapping[str, Any], deciding: str | None = None) -> Numbers:
    """Return the numbers of an evaluation that a study compares.

    Distances are named `frechet/SAMPLER` if they are by the deciding extractor (None: that of the evaluation), and
    `EXTRACTOR/SAMPLER` if by another; `.../real` is the floor, real images against other real images, see
    `evaluation.floor`. `face/SAMPLER` is the share of images with a face, if it was measured.
    """
    scores = result["reconstruction"]
    numbers = {"psnr": scores["psnr"], "mse": scores["mse"], "active_units": result["latents"]["active_units"]}
    judged = measured.by_extractor(result)
    for extractor, found in judged.items():
        kind = "frechet" if extractor == (deciding or next(iter(judged))) else extractor
        # Evaluations of older versions have no floor.
        sets = {"real": found["real"], "reconstruction": found["reconstruction"], **found["samplers"]}
        numbers |= {f"{kind}/{name}": entry["frechet"]["value"] for name, entry in sets.items() if entry}
        numbers |= {f"face/{name}": share for name, share in measured.face_shares(found).items()}
    return numbers


def mean_of(values: Sequence[float]) -> Mean:
    """Return the mean, the number of seeds, and from two seeds on half of Student's 95 % interval, t s / sqrt(n)."""
    found: Mean = {"mean": float(np.mean(values)), "seeds": len(values)}
    if len(values) > 1:
        quantile = stats.t.ppf(0.5 + CONFIDENCE / 2, len(values) - 1)
        found["interval"] = float(quantile * np.std(values, ddof=1) / np.sqrt(len(values)))
    return found


def summarise(runs: Iterable[Numbers]) -> dict[str, Mean]:
    """Return the mean of each number over the runs of a row; `.../best` is of the sampler with the lowest `frechet`."""
    runs = list(runs)
    if not runs:
        return {}
    means = {name: mean_of([run[name] for run in runs]) for name in runs[0] if all(name in run for run in runs)}
    drawn = [name for name in means if name.startswith("frechet/") and name not in _NOT_DRAWN]
    best = min(drawn, key=lambda name: means[name]["mean"])
    sampler = best.removeprefix("frechet/")
    others = {name.removesuffix(f"/{sampler}") + "/best": means[name] for name in means if name.endswith(f"/{sampler}")}
    return {**means, **others, "frechet/best": {**means[best], "sampler": sampler}}


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
    results = {key: result for key, result in found.items() if result}
    deciding = deciding_extractor(results.values())
    runs = {key: measures_of(result, deciding) for key, result in results.items()}
    by_row = {row.name: summarise(runs[job.name] for job in jobs if _is_done(job, row, runs)) for row in rows}
    protocols = [result["protocol"] for result in results.values()]
    label = next((_label(result, deciding) for result in results.values()), "FD")
    further = _further(results.values(), deciding)
    trained = _trained(jobs, results, deciding)
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
    notes = _notes(name, protocols, by_row, label, deciding)
    lines = [*_table(by_row, label, further, trained), "", *notes, *_marked(trained), *_failed(failures)]
    files.write_text(out / "table.md", "\n".join(lines) + "\n")
    if pictures:
        _write_figures(name, out, rows, by_row, label)


def _label(result: Mapping[str, Any], extractor: str | None) -> str:
    judged = measured.by_extractor(result)
    return judged.get(extractor, result)["reconstruction"]["frechet"]["name"]


def _further(results: Iterable[Mapping[str, Any]], deciding: str | None) -> dict[str, str]:
    """Return the label of every extractor but the deciding one, by name."""
    labels = {name: _label(result, name) for result in results for name in measured.by_extractor(result)}
    return {name: label for name, label in labels.items() if name != deciding}


def _trained(
    jobs: Sequence[Job], results: Mapping[str, Mapping[str, Any]], deciding: str | None
) -> dict[str, set[str]]:
    """Return the kinds of distances, see `measures_of`, on whose features the runs of a row were trained."""
    found: dict[str, set[str]] = {}
    for job in jobs:
        for name, scores in measured.by_extractor(results.get(job.name, _NOTHING)).items():
            if measured.is_trained_on(scores):
                found.setdefault(job.row, set()).add("frechet" if name == deciding else name)
    return found


def _is_done(job: Job, row: Row, runs: Mapping[str, Numbers]) -> bool:
    return job.row == row.name and job.name in runs


def _runs(row: Row, jobs: Sequence[Job], runs: Mapping[str, Numbers], failures: Mapping[str, str]) -> dict[str, Any]:
    mine = [job.name for job in jobs if job.row == row.name]
    return {key: runs.get(key) or {"failure": failures.get(key, "not finished")} for key in mine}


def _table(by_row: Means, label: str, further: Mapping[str, str], trained: Mapping[str, set[str]]) -> list[str]:
    """Return the lines of a Markdown table, aligned to be readable as plain text too."""
    columns = {**_COLUMNS, **_distance_columns(by_row, label, further)}
    cells = [["row", *(title for title, _ in columns.values())]]
    for row, means in by_row.items():
        stars = {name: "*" * (name.partition("/")[0] in trained.get(row, ())) for name in columns}
        cells.append([row, *(_cell(means.get(name), form, stars[name]) for name, (_, form) in columns.items())])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [[row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in cells]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return [f"| {' | '.join(line)} |" for line in [lines[0], rule, *lines[1:]]]


def _distance_columns(by_row: Means, label: str, further: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Return titles and formats of distances and shares of faces, by the number's name."""
    short = label.partition("-")[0] if not further else label
    kinds = {"frechet": short, **further, "face": "face"}
    found = {
        key: f"{title} {key.partition('/')[2]}" for kind, title in kinds.items() for key in _distances(by_row, kind)
    }
    return {key: (title, _form(by_row, key.partition("/")[0])) for key, title in found.items()}


def _form(by_row: Means, kind: str) -> str:
    """Return the format of a kind of distance: two digits behind the point, three if all are below 10."""
    values = [mean["mean"] for means in by_row.values() for key, mean in means.items() if key.startswith(f"{kind}/")]
    return ".2f" if max(values) >= 10 else ".3f"


def _distances(by_row: Means, kind: str = "frechet") -> list[str]:
    names = (f"{kind}/{name}" for name in _DRAWN)
    return [name for name in names if any(name in means for means in by_row.values())]


def _cell(mean: Mean | None, form: str, star: str = "") -> str:
    if mean is None:
        return "-"
    interval = f" ± {mean['interval']:{form}}" if "interval" in mean else ""
    sampler = f" ({mean['sampler']})" if "sampler" in mean else ""
    return f"{mean['mean']:{form}}{interval}{star}{sampler}"


def _notes(
    name: str, protocols: Sequence[Mapping[str, Any]], by_row: Means, label: str, deciding: str | None
) -> list[str]:
    if not protocols:
        return ["No run is finished yet."]
    seeds = [means["psnr"]["seeds"] for means in by_row.values() if means]
    interval = " (mean ± 95 % interval)" if max(seeds) > 1 else ""
    images = _span(protocol["real_images"] for protocol in protocols)
    return [
        f"{STUDIES[name].question} Seeds: {_span(seeds)}{interval}. MSE on the [0, 1] scale. {label}, lower is better: "
        f"{images} held-out images against as many generated ones, features of "
        f"{deciding or protocols[0]['extractor']}; `real` is the floor, real images against other real ones."
    ]


def _span(values: Iterable[int]) -> str:
    low, *_, high = sorted([*values] * 2)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _marked(trained: Mapping[str, set[str]]) -> list[str]:
    return ["", "\\* trained on these features: the distance is no judgement."] if trained else []


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
