"""The first stage's epochs, in the first process and in those that follow it where PyTorch trains on several devices.

A follower gets configuration and weights from the first process, trains along on its own rows of each batch, and writes
nothing. `gamix-keras train --devices N` starts the followers; `torchrun`, also on several machines, starts all.
"""

import os
import socket
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import keras

from gamix_keras import assembly, replicas
from gamix_keras.callbacks import ResumedMetrics, SampleGrid
from gamix_keras.config import Config
from gamix_keras.training import devices

FOLLOW = "from gamix_keras.followers import follow; follow()"
PATIENCE_SECONDS = 30


def fit_epochs(
    config: Config,
    data: assembly.Data,
    model: keras.Model,
    progress: tuple[int, int],
    callbacks: Sequence[keras.callbacks.Callback],
    verbose: str | int,
) -> None:
    """Train from epoch and step `progress` to the last epoch."""
    (done, step), last, ended = progress, config.training.epochs, False

    def fit(batches: object, steps: int, first: int, end: int, *more: keras.callbacks.Callback) -> None:
        model.fit(
            batches,
            steps_per_epoch=steps,
            validation_data=data.validation,
            initial_epoch=first,
            epochs=end,
            callbacks=[*more, *callbacks],
            shuffle=False,
            verbose=verbose,
        )

    if step:
        resumed = ResumedMetrics(model.tracker_variables)
        fit(data.begun, data.steps - step, done, done + 1, resumed)
        done, ended = done + 1, model.stop_training
    if done < last and not ended:
        fit(data.training, data.steps, done, last)


@contextmanager
def started(count: int) -> Iterator[None]:
    """A context in which there is a process for each of several devices, where the backend wants that.

    They are started and ended with it, unless `torchrun` has started them all.
    """
    if keras.config.backend() != "torch" or count == 1 or replicas.is_told():
        yield
        devices.leave()
        return
    told = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "WORLD_SIZE": str(count)}
    processes = [_follower({**told, "RANK": str(rank), "LOCAL_RANK": str(rank)}) for rank in range(1, count)]
    os.environ.update({**told, "RANK": "0", "LOCAL_RANK": "0"})
    patience = 0.0
    try:
        yield
        patience = PATIENCE_SECONDS
    finally:
        for name in (*told, "RANK", "LOCAL_RANK"):
            del os.environ[name]
        devices.leave()
        for process in processes:
            _end(process, patience)


def _follower(told: dict[str, str]) -> subprocess.Popen:
    environment = {**os.environ, **told, "KERAS_BACKEND": keras.config.backend()}
    # In a session of its own: a Ctrl-C is for the first process, which ends with a checkpoint.
    return subprocess.Popen(
        [sys.executable, "-c", FOLLOW], env=environment, stdin=subprocess.DEVNULL, start_new_session=True
    )


def _end(process: subprocess.Popen, patience: float) -> None:
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def follow() -> None:
    """Train along with the first process, to the end of its first stage."""
    warnings.simplefilter("ignore")  # the first process warns
    with devices.scope(int(os.environ["WORLD_SIZE"])):
        values, *progress = devices.tell(None)
        config = Config.from_dict(values)
        data = assembly.build_data(config, *progress)
        model = assembly.build_model(config)
        devices.share(model)
        every = assembly.build_callbacks(config, data, Path())
        callbacks = [callback for callback in every if not isinstance(callback, SampleGrid)]
        fit_epochs(config, data, model, tuple(progress), callbacks, 0)
    devices.leave()
