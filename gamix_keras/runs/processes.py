"""The first stage's epochs, in the lead process and in the workers that share each batch with it.

A worker gets configuration and weights from the lead process, trains on its own rows of each batch, and writes nothing.
On PyTorch `gamix-keras train --devices N` starts the workers. On several machines each process is started by hand, or
by `torchrun`, and its environment says which one it is, see `replicas.process_index`.
"""

import os
import socket
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import keras

from gamix_keras import assembly
from gamix_keras.callbacks import ResumedMetrics
from gamix_keras.config import Config
from gamix_keras.distributed import devices, replicas

WORKER_EXIT_SECONDS = 30


def fit_epochs(
    config: Config,
    data: assembly.Data,
    model: keras.Model,
    progress: tuple[int, int],
    callbacks: Sequence[keras.callbacks.Callback],
) -> None:
    """Train from epoch and step `progress` to the last epoch."""
    (done, step), last, ended = progress, config.training.epochs, False

    def fit(batches: object, steps: int, first: int, end: int, *more: keras.callbacks.Callback) -> None:
        model.fit(
            devices.shard(batches),
            steps_per_epoch=steps,
            validation_data=held_out,
            initial_epoch=first,
            epochs=end,
            callbacks=[*more, *callbacks],
            shuffle=False,
            verbose=0,
        )

    with devices.replicated(model):
        held_out = devices.shard(data.validation)
        if step:
            resumed = ResumedMetrics(model.tracker_variables)
            fit(data.begun, data.steps - step, done, done + 1, resumed)
            done, ended = done + 1, model.stop_training
        if done < last and not ended:
            fit(data.training, data.steps, done, last)


@contextmanager
def started(count: int) -> Iterator[None]:
    """Run a process for each of several devices within this context, if the backend needs that.

    The workers are started and ended with the context, unless the environment says that they are running already.
    """
    backend = keras.config.backend()
    if backend != "torch" or count == 1 or replicas.process_index(backend) is not None:
        devices.join()
        try:
            yield
        except BaseException as error:
            devices.abort(error)
            raise
        devices.leave()
        return
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
    shared |= dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE"), str(count))
    workers = [_start_worker({**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}) for rank in range(1, count)]
    os.environ.update({**shared, "RANK": "0", "LOCAL_RANK": "0"})
    wait_seconds = 0.0
    try:
        devices.join()
        yield
        wait_seconds = WORKER_EXIT_SECONDS
    finally:
        for name in (*shared, "RANK", "LOCAL_RANK"):
            del os.environ[name]
        devices.leave()
        for worker in workers:
            _end(worker, wait_seconds)


def _start_worker(variables: dict[str, str]) -> subprocess.Popen:
    environment = {**os.environ, **variables, "KERAS_BACKEND": keras.config.backend()}
    # The command that a user gives on each machine: its environment makes it a worker.
    command = [sys.executable, "-m", "gamix_keras", "train", "--backend", keras.config.backend()]
    # In a session of its own: a Ctrl-C is for the lead process, which ends with a checkpoint.
    return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)


def _end(worker: subprocess.Popen, wait_seconds: float) -> None:
    try:
        worker.wait(wait_seconds)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def work() -> None:
    """Train as a worker, to the end of the first stage."""
    warnings.simplefilter("ignore")  # the lead process warns
    devices.join()
    message = devices.broadcast(None)
    if message is not None:
        _train(*message)
    devices.leave()


def _train(values: dict, planned_epochs: int | None, *progress: int) -> None:
    config = Config.from_dict(values)
    with devices.scope(config.training.devices):
        data = assembly.build_data(config, *progress)
        model = assembly.build_model(config)
        devices.broadcast_model(model)
        # Pictures are drawn here too: what one JAX process computes, all must.
        callbacks = assembly.build_callbacks(config.in_steps(data.steps, planned_epochs), data, None, progress[1])
        callbacks += assembly.build_guard(config, data, lambda row: None, progress[1])
        fit_epochs(config, data, model, progress, callbacks)
