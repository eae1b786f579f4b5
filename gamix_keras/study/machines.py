"""Jobs shared by several machines that see one folder, through a database of Optuna's.

Why Optuna: a study here is a fixed list of runs, each a process of its own with checkpoints of its own, so what is
missing is only a queue that hands a run to one machine at a time and notices a machine that died. Optuna's storages are
that, in any SQL database, with nothing to keep running. KerasTuner wants to build and fit the models itself, and a chief
process beside the workers; Ray wants a cluster. Its samplers and pruners are not used: nothing is searched for.

A trial stands for one attempt at a job. Each machine enqueues what is not finished when it starts, so a job may be
queued more than once: of two trials of one job that run at the same time, the later waits for the earlier.
"""

import threading
import time
import warnings
from collections.abc import Sequence
from typing import Any

from gamix_keras.config import UserError
from gamix_keras.study.job import Job
from gamix_keras.study.pool import Report, processes, run_job

# A machine is taken for dead after two beats without a sign.
HEARTBEAT_SECONDS = 30
POLL_SECONDS = 5


def share_jobs(jobs: Sequence[Job], report: Report, at_once: int, storage: str, name: str) -> None:
    """Train and evaluate runs together with every other machine that was given the same storage and name.

    Args:
        jobs: What is to do, the same list on all machines.
        report: Called as each job of this machine ends, with its failure in one line, or None.
        at_once: How many run at the same time on this machine.
        storage: A database, such as ``postgresql://USER@HOST/NAME``, or ``sqlite:///FILE`` on a single machine.
        name: Of the queue in it.

    Raises:
        UserError: Where Optuna is not installed, or the database cannot be reached.
    """
    queue = _open(storage, name)
    by_name = {job.name: job for job in jobs}
    one_at_a_time = threading.Lock()

    def attempt(trial: Any) -> float:
        job = by_name.get(trial.user_attrs.get("job"))
        if job is None:
            queue.stop()  # nothing was queued: Optuna made this trial up
            return 0.0
        _wait_for_others(queue, trial.number, job)
        failure = None if job.result() else run_job(job, start)
        with one_at_a_time:
            report(job, failure)
        return 0.0

    _enqueue(queue, jobs)
    with processes() as start:
        queue.optimize(attempt, n_jobs=at_once)


def _open(storage: str, name: str) -> Any:
    try:
        import optuna
        from sqlalchemy.exc import SQLAlchemyError
    except ImportError:
        raise UserError(
            '--storage: expected Optuna, which is not installed; pip install "gamix_keras[study]"'
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    requeue = optuna.storages.RetryHeartbeatStaleTrialCallback()
    beating = {"heartbeat_interval": HEARTBEAT_SECONDS, "grace_period": 2 * HEARTBEAT_SECONDS}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # heartbeats are, by name
            database = optuna.storages.RDBStorage(storage, **beating, heartbeat_stale_trial_callback=requeue)
        return optuna.create_study(storage=database, study_name=name, load_if_exists=True)
    except (SQLAlchemyError, ValueError, ImportError) as error:
        text = " ".join(str(error).split())[:200]
        raise UserError(f"--storage: expected a database that can be reached, got {storage}: {text}") from None


def _enqueue(queue: Any, jobs: Sequence[Job]) -> None:
    waiting = {
        trial.user_attrs.get("job") for trial in queue.get_trials(deepcopy=False) if trial.state.name == "WAITING"
    }
    for job in jobs:
        if job.name not in waiting and job.result() is None:
            queue.enqueue_trial({}, user_attrs={"job": job.name})


def _wait_for_others(queue: Any, number: int, job: Job) -> None:
    """Return once no earlier trial of the same job runs any more: it ended, or its machine died."""
    from optuna.storages import fail_stale_trials

    while any(_is_earlier(trial, number, job) for trial in queue.get_trials(deepcopy=False)):
        time.sleep(POLL_SECONDS)
        fail_stale_trials(queue)


def _is_earlier(trial: Any, number: int, job: Job) -> bool:
    return trial.state.name == "RUNNING" and trial.number < number and trial.user_attrs.get("job") == job.name
