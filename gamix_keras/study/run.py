"""A whole study, started or resumed, to its table."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from gamix_keras.config import UserError
from gamix_keras.study.job import Job
from gamix_keras.study.plan import Row
from gamix_keras.study.pool import run_jobs
from gamix_keras.study.results import write_results


def run_study(
    name: str,
    out: Path,
    rows: Sequence[Row],
    jobs: Sequence[Job],
    at_once: int,
    say: Callable[[str], None],
) -> dict[str, str]:
    """Run the jobs that are not finished, and write the results after each.

    Args:
        name: The name of the study.
        out: The directory of the study.
        rows: The rows of the study.
        jobs: The jobs of the rows, from `plan_jobs`.
        at_once: The number of jobs to run at the same time.
        say: Called with a line when a job ends.

    Returns:
        The failures by the name of the job.

    Raises:
        UserError: If the directory holds another study, or the same one with other settings.
    """
    _check(name, out, jobs)
    left = [job for job in jobs if job.result() is None]
    say(f"{name}: {len(jobs)} runs, {len(jobs) - len(left)} of them finished")
    failures: dict[str, str] = {}

    def report(job: Job, failure: str | None) -> None:
        if failure:
            failures[job.name] = failure
        say(f"{job.name}: {'failed: ' + failure if failure else 'done'}")
        write_results(name, out, rows, jobs, failures, pictures=False)

    run_jobs(left, report, at_once)
    write_results(name, out, rows, jobs, failures, pictures=True)
    return failures


def _check(name: str, out: Path, jobs: Sequence[Job]) -> None:
    try:
        found = json.loads((out / "study.json").read_text(encoding="utf-8"))["study"]
    except (OSError, ValueError, KeyError, TypeError):
        found = name
    if found != name:
        raise UserError(f"--out: expected a new directory or one of the study {name}, got {out}, of {found}")
    for job in jobs:
        job.check()
