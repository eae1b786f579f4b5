"""Jobs, some at a time, each in a process of its own; on one machine, or on several that share a folder.

Why no Optuna, KerasTuner or Ray: a study is a fixed list of runs with checkpoints of their own, so all that is missing
is that no two machines work at the same run. The system's file locks do that with nothing to install or to keep
running, on one disk as on NFS, and a lock ends with its process however it dies. Optuna was tried: its queue wants a
database between machines, holds a killed run back until its heartbeats are missed, and takes a run twice where two
machines start together. KerasTuner fits the models itself, beside a chief process; Ray wants a cluster. Where a shared
file system has no locks, give each machine ``--rows`` of its own.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from gamix_keras import files
from gamix_keras.study.job import Job

POLL_SECONDS = 10
Start = Callable[[Job, TextIO], subprocess.Popen]
Report = Callable[[Job, str | None], None]


def run_jobs(jobs: Sequence[Job], report: Report, at_once: int = 1) -> None:
    """Train and evaluate runs. One that fails does not stop the others; what runs stops with this process.

    Jobs that another process works at are waited for.

    Args:
        jobs: What is to do.
        report: Called in this thread as each job ends, with its failure in one line, or None.
        at_once: How many run at the same time.
    """
    left = list(jobs)
    # Left from the inside out: processes are told to stop before the threads that wait for them are waited for.
    with ThreadPoolExecutor(at_once) as pool, _processes() as start:
        while left:
            waiting = {pool.submit(run_job, job, start): job for job in left}
            left = []
            try:
                for done in as_completed(waiting):
                    if isinstance(done.exception(), files.Locked):
                        left.append(waiting[done])
                    else:
                        report(waiting[done], done.result())
                time.sleep(POLL_SECONDS if left else 0)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


@contextmanager
def _processes() -> Iterator[Start]:
    """Yield what starts a worker; those that still run at the end are stopped."""
    started = []

    def start(job: Job, log: TextIO) -> subprocess.Popen:
        command = [sys.executable, "-m", "gamix_keras.study.worker"]
        environment = {**os.environ, "KERAS_BACKEND": job.config.backend}
        streams = {"stdin": subprocess.PIPE, "stdout": log, "stderr": subprocess.STDOUT}
        process = subprocess.Popen(command, text=True, env=environment, **streams)
        started.append(process)
        with suppress(BrokenPipeError):  # it has ended already; its exit code tells
            process.stdin.write(job.to_json() + "\n")
            process.stdin.flush()
        return process

    try:
        yield start
    finally:
        for process in started:
            with suppress(BrokenPipeError):
                process.stdin.close()


def run_job(job: Job, start: Start) -> str | None:
    """Run one job to its end; returns its failure in one line, or None.

    Raises:
        files.Locked: Where another process works at it.
    """
    path = log_of(job)
    with files.locked(path.with_suffix(".lock")), open(path, "a", encoding="utf-8") as log:
        if job.result():
            return None
        failure = _failure(start(job, log).wait(), path)
        return failure or (None if job.result() else "ended without an evaluation of this protocol")


def _failure(code: int, log: Path) -> str | None:
    if code < 0:
        return f"ended by {signal.Signals(-code).name}" + ("; out of memory?" if -code == signal.SIGKILL else "")
    if code:
        lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
        return lines[-1].strip() if lines else f"ended with code {code}"
    return None


def log_of(job: Job) -> Path:
    """The file that a job prints to."""
    return job.path.parent.parent / "logs" / f"{job.name}.log"
