"""The first stage's epochs, in the first process and in those that follow it where several share each batch.

A follower gets configuration and weights from the first process, trains along on its own rows of each batch, and writes
nothing. On PyTorch `gamix-keras train --devices N` starts the followers. On several machines each process is started by
hand, or by `torchrun`, and told by its environment which one it is, see `replicas.place`.
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

FOLLOW = "from gamix_keras.runs.processes import follow; follow()"
PATIENCE_SECONDS = 30


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
            devices.dealt(batches),
            steps_per_epoch=steps,
            validation_data=held_out,
            initial_epoch=first,
            epochs=end,
            callbacks=[*more, *callbacks],
            shuffle=False,
            verbose=0,
        )

    with devices.spread(model):
        held_out = devices.dealt(data.validation)
        if step:
            resumed = ResumedMetrics(model.tracker_variables)
            fit(data.begun, data.steps - step, done, done + 1, resumed)
            done, ended = done + 1, model.stop_training
        if done < last and not ended:
            fit(data.training, data.steps, done, last)


@contextmanager
def started(count: int) -> Iterator[None]:
    """A context in which there is a process for each of several devices, where the backend wants that.

    They are started and ended with it, unless the environment tells that they are there already.
    """
    backend = keras.config.backend()
    if backend != "torch" or count == 1 or replicas.place(backend) is not None:
        devices.join()
        try:
            yield
        except BaseException as error:
            devices.desert(error)
            raise
        devices.leave()
        return
    told = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
    told |= dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE"), str(count))
    processes = [_follower({**told, "RANK": str(rank), "LOCAL_RANK": str(rank)}) for rank in range(1, count)]
    os.environ.update({**told, "RANK": "0", "LOCAL_RANK": "0"})
    patience = 0.0
    try:
        devices.join()
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
    devices.join()
    told = devices.tell(None)
    if told is not None:
        _train_along(*told)
    devices.leave()


def _train_along(values: dict, planned_epochs: int | None, *progress: int) -> None:
    config = Config.from_dict(values)
    with devices.scope(config.training.devices):
        data = assembly.build_data(config, *progress)
        model = assembly.build_model(config)
        devices.share(model)
        # Pictures are drawn here too: what one process of JAX's computes, all must.
        callbacks = assembly.build_callbacks(config.in_steps(data.steps, planned_epochs), data, None)
        callbacks += assembly.build_guard(config, data, lambda row: None, progress[1])
        fit_epochs(config, data, model, progress, callbacks)
