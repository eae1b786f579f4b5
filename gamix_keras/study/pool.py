"""Jobs on this machine, some at a time, each in a process of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

from gamix_keras.study.job import Job

Start = Callable[[Job, Path], subprocess.Popen]
Report = Callable[[Job, str | None], None]


def run_jobs(jobs: Sequence[Job], report: Report, at_once: int = 1) -> None:
    """Train and evaluate runs. One that fails does not stop the others; what runs stops with this process.

    Args:
        jobs: What is to do.
        report: Called in this thread as each job ends, with its failure in one line, or None.
        at_once: How many run at the same time.
    """
    # Left from the inside out: processes are told to stop before the threads that wait for them are waited for.
    with ThreadPoolExecutor(at_once) as pool, processes() as start:
        waiting = {pool.submit(run_job, job, start): job for job in jobs}
        try:
            for done in as_completed(waiting):
                report(waiting[done], done.result())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


@contextmanager
def processes() -> Iterator[Start]:
    """Yield what starts a worker; those that still run at the end are stopped."""
    started = []

    def start(job: Job, log: Path) -> subprocess.Popen:
        command = [sys.executable, "-m", "gamix_keras.study.worker"]
        environment = {**os.environ, "KERAS_BACKEND": job.config.backend}
        with open(log, "a", encoding="utf-8") as file:
            output = {"stdout": file, "stderr": subprocess.STDOUT}
            process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, env=environment, **output)
        started.append(process)
        process.stdin.write(job.to_json() + "\n")
        process.stdin.flush()
        return process

    try:
        yield start
    finally:
        for process in started:
            process.stdin.close()


def run_job(job: Job, start: Start) -> str | None:
    """Run one job to its end; returns its failure in one line, or None."""
    log = log_of(job)
    log.parent.mkdir(parents=True, exist_ok=True)
    code = start(job, log).wait()
    if code < 0:
        return f"ended by {signal.Signals(-code).name}" + ("; out of memory?" if -code == signal.SIGKILL else "")
    if code:
        lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
        return lines[-1].strip() if lines else f"ended with code {code}"
    return None if job.result() else "ended without an evaluation of this protocol"


def log_of(job: Job) -> Path:
    """The file that a job prints to."""
    return job.path.parent.parent / "logs" / f"{job.name}.log"
