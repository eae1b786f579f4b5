"""Jobs in parallel, each in a process of its own, on one machine or on several that share a folder.

Why not Optuna, KerasTuner or Ray? A study is a fixed list of runs with checkpoints of their own. All it needs is that
no two machines work on the same run. The system's file locks do that with nothing to install or to keep running, on a
local disk and on NFS, and a lock ends with its process, however that dies. Optuna was tried: between machines its queue
needs a database, it holds a killed run back until heartbeats are missed, and it takes a run twice if two machines start
at the same time. KerasTuner fits the models itself and needs a chief process; Ray needs a cluster. If a shared file
system has no locks, give each machine `--rows` of its own.
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
    """Train and evaluate runs. A failure does not stop the others; all running jobs stop with this process.

    Jobs that another process works on are waited for.

    Args:
        jobs: The jobs to run.
        report: Called in this thread when a job ends, with its failure in one line, or None.
        at_once: The number of jobs to run at the same time.
    """
    left = list(jobs)
    # On exit the processes are stopped first, because the pool waits for threads that wait for them.
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
    """Yield a function that starts a worker; stop the workers that still run at the end."""
    started = []

    def start(job: Job, log: TextIO) -> subprocess.Popen:
        command = [sys.executable, "-m", "gamix_keras.study.worker"]
        environment = {**os.environ, "KERAS_BACKEND": job.config.backend}
        streams = {"stdin": subprocess.PIPE, "stdout": log, "stderr": subprocess.STDOUT}
        process = subprocess.Popen(command, text=True, env=environment, **streams)
        started.append(process)
        with suppress(BrokenPipeError):  # the worker has ended already; its exit code says why
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
    """Run one job to its end and return its failure in one line, or None.

    Raises:
        files.Locked: If another process works on it.
    """
    path = log_of(job)
    with files.locked(path.with_suffix(".lock")), open(path, "a", encoding="utf-8") as log:
        if job.result():
            return None
        failure = _failure(start(job, log).wait(), path)
        return failure or (None if job.result() else "ended without an evaluation of this protocol")


def _failure(code: int, log: Path) -> str | None:
    if code == -signal.SIGKILL:
        return "ended by SIGKILL; out of memory?"
    if code < 0:
        return f"ended by {signal.Signals(-code).name}"
    if code:
        lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
        return lines[-1].strip() if lines else f"ended with code {code}"
    return None


def log_of(job: Job) -> Path:
    """Return the file that a job prints to."""
    return job.path.parent.parent / "logs" / f"{job.name}.log"
