"""A training session: a run from its newest checkpoint, or from the start, to its last epoch.

If the configuration has a second stage, it follows the last epoch of the first, with a history and checkpoints of its
own. The posteriors that it learns from are encoded anew when it is resumed: the same ones, from the same weights.
"""

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from gamix_keras import assembly, plots
from gamix_keras.callbacks import EpochCheckpoint, EpochHistory, StepCheckpoint, TerminalProgress
from gamix_keras.config import UserError
from gamix_keras.data import reading
from gamix_keras.distributed import devices
from gamix_keras.files import DiskFull
from gamix_keras.interrupts import stop_requests
from gamix_keras.models import TwoStageVAE
from gamix_keras.runs import agreement, processes
from gamix_keras.runs.checkpoints import Checkpoint
from gamix_keras.runs.directory import Run
from gamix_keras.runs.stage import Stage
from gamix_keras.samplers import collect_posteriors

WAIT_SECONDS = 30


class Session(NamedTuple):
    """A run that is ready to train.

    Attributes:
        run: The run to train.
        done: Finished epochs of the first stage, as of the newest checkpoint.
        data: The data to train on.
        model: The compiled model as of that checkpoint, without its second stage.
        step: Finished steps of the next epoch.
    """

    run: Run
    done: int
    data: assembly.Data
    model: keras.Model
    step: int = 0


class Outcome(NamedTuple):
    """The result of a run.

    Attributes:
        picture: The newest grid of originals, reconstructions and draws; that of the second stage if there is one.
        row: The last row of the history.
    """

    picture: Path
    row: dict[str, float]


def train(run: Run, verbose: str | int = "auto") -> Outcome:
    """Train a run to `training.epochs`, then to `second_stage.epochs`; do nothing if it was trained that far.

    A resumed run ends with the same weights, bit for bit, as one that was never interrupted: on the same backend,
    machine and number of threads.

    Args:
        run: A new run, or one to resume.
        verbose: `"auto"` or 1 prints a row per epoch, with a bar if stdout is a terminal; 2 the rows only; 0 nothing;
            `"all"` adds every metric to each row.
    """
    with processes.started(run.config.training.devices):
        session = prepare(run)
        return outcome(run) if session is None else fit(session, verbose)


def prepare(run: Run) -> Session | None:
    """Open the data, and build or load the model; write nothing. Return None if nothing is left to train.

    Raises:
        UserError: If another process trains the run, or the run has checkpoints and all of them are damaged, or
            had some and has none, or the newest is of another model than the configuration's.
    """
    checkpoint = run.latest_checkpoint()
    _refuse_lost(run, run, run.config.training.checkpoint_every)
    first_done = checkpoint.epoch >= run.config.training.epochs
    if first_done and run.config.second_stage.epochs:
        _refuse_lost(run, run.second_stage, run.config.second_stage.checkpoint_every)
    if first_done and _second_done(run) >= run.config.second_stage.epochs:
        devices.broadcast(None)
        return None
    if run.path.exists():
        with run.locked():  # raises now rather than after everything is built
            pass
    with devices.scope(run.config.training.devices):
        # Before anything that all must build together.
        devices.broadcast((run.scheduled.to_dict(), run.planned_epochs, *checkpoint.progress))
        data = assembly.build_data(run.config, start_epoch=checkpoint.epoch, start_step=checkpoint.step)
        model = _model(run, checkpoint)
    return Session(run.planned(data.steps), checkpoint.epoch, data, model, checkpoint.step)


def _refuse_lost(run: Run, stage: Stage, every: int) -> None:
    """Refuse to train over what was done: a checkpoint of another model, or none, although there was one."""
    if (newest := stage.latest_checkpoint()).exists:
        return agreement.check(run.config, newest.file, second=stage.is_second)
    damaged, done = stage.damaged_checkpoints(), max((row["epoch"] for row in stage.history()), default=0)
    if not damaged and done <= every:  # the process may have ended before its first checkpoint
        return None
    got = f"damaged {damaged}" if damaged else f"none, though history.jsonl tells of {done} epochs"
    ways = f"restore one from a copy, or train anew with `gamix-keras train --restart {run.path} --out NEW`"
    raise UserError(f"--resume: expected a whole checkpoint in {stage.checkpoints}, got {got}; {ways}")


def _model(run: Run, checkpoint: Checkpoint) -> keras.Model:
    if checkpoint.exists and devices.process_shard().count == 1:
        model = run.load_checkpoint(compile=True)
        assembly.use_perceptual(model, run.config)
        return model
    model = assembly.build_model(run.config)
    if not checkpoint.exists and run.config.loss.perceptual_weight and not run.config.loss.perceptual_start:
        wanted = "expected steps or a share of the training, got 0: the term loses the colours from the first step on"
        warnings.warn(f"loss.perceptual_start: {wanted}", stacklevel=2)
    if checkpoint.exists:  # built as the other processes build theirs, variable by variable
        devices.run_locally(model.load_weights, checkpoint.file)
    return model


def _second_done(run: Run) -> int:
    return run.second_stage.latest_checkpoint().epoch


def fit(session: Session, verbose: str | int = "auto") -> Outcome:
    """Train to the end. A row is written before its checkpoint, so that every checkpoint has its history.

    Args:
        session: The run, as `prepare` returns it.
        verbose: See `train`.

    Raises:
        Stopped: After SIGTERM or SIGINT, once a checkpoint is written.
        DiskFull: If there is no room for a checkpoint or a row; those before are whole.
        UserError: If another process trains the run, or has trained it since `prepare`.
    """
    run = session.run
    with run.locked(), reading(*session.data.sources), stop_requests() as stopping:
        if run.latest_checkpoint().progress != (session.done, session.step):
            raise UserError(f"RUN: {run.path} was trained on by another process meanwhile; start again with --resume")
        run.begin_session(session.done, session.step)
        if session.done < run.config.training.epochs:
            with devices.scope(run.config.training.devices):
                _fit_first(session, verbose, stopping)
        devices.leave()
        if _second_done(run) < run.config.second_stage.epochs:
            _fit_second(session, verbose, stopping)
    return outcome(run)


def _fit_first(session: Session, verbose: str | int, stopping: Callable[[], int]) -> None:
    config, progress = session.run.config, (session.done, session.step)
    devices.broadcast_model(session.model)
    with _progress(config.training.epochs, verbose, session.step) as shown:
        processes.fit_epochs(config, session.data, session.model, progress, _callbacks(session, stopping, shown))


@contextmanager
def _progress(epochs: int, verbose: str | int, begun: int = 0) -> Iterator[list[keras.callbacks.Callback]]:
    """Yield the callback that shows the training, if any, and leave the terminal clean however training ends."""
    shown = [TerminalProgress(epochs, verbose, begun)] if verbose else []
    try:
        yield shown
    finally:
        for progress in shown:
            progress.close()


def _callbacks(
    session: Session, stopping: Callable[[], int], shown: list[keras.callbacks.Callback]
) -> list[keras.callbacks.Callback]:
    run, training = session.run, session.run.config.training
    every, minutes = training.checkpoint_steps, training.checkpoint_minutes
    pauses = training.full_disk == "pause"
    record, write = (_waiting(write, stopping) if pauses else write for write in (run.record, run.save_checkpoint))
    guards = assembly.build_guard(run.config, session.data, run.record_bad_step, session.step)

    def save(*arguments: Any) -> None:
        for guard in guards:  # a bad step is recorded before the checkpoint that comes after it
            guard.look()
        devices.run_locally(write, *arguments)

    return [
        EpochHistory(record),
        *shown,
        *assembly.build_callbacks(run.scheduled, session.data, run.samples, session.step),
        *guards,
        *assembly.build_tensorboard(run.config, run.tensorboard, run.samples),
        StepCheckpoint(save, every, minutes, session.step, stopping),
        EpochCheckpoint(save, training.checkpoint_every, stopping),
    ]


def _waiting(write: Callable[..., None], stopping: Callable[[], int]) -> Callable[..., None]:
    """Return `write`, tried again until there is room on the disk or training is asked to stop."""

    def patient(*arguments: object) -> None:
        while True:
            try:
                return write(*arguments)
            except DiskFull as error:
                if stopping():
                    raise
                warnings.warn(f"{error}; waiting for room", stacklevel=2)
                time.sleep(WAIT_SECONDS)

    return patient


def _fit_second(session: Session, verbose: str | int, stopping: Callable[[], int]) -> None:
    run, data, first = session.run, session.data, session.model
    stage, settings = run.second_stage, run.config.second_stage
    checkpoint = stage.latest_checkpoint()
    done = checkpoint.epoch
    second = stage.load_checkpoint(compile=True) if checkpoint.exists else assembly.build_second_stage(run.config)
    stage.rewind(done)
    if verbose:
        images = len(data.sources[0])
        print(f"second stage: epochs {done + 1} to {settings.epochs} on the latents of {images:,} training images")
    # For models that keep averaged weights: samples are drawn with those.
    with first.averaged():
        posteriors, held_out = (
            collect_posteriors(first, assembly.batches_in_order(run.config, source)) for source in data.sources
        )
        model = TwoStageVAE(first, second)
        with _progress(settings.epochs, verbose) as shown:
            model.fit_second(
                posteriors,
                epochs=settings.epochs,
                batch_size=settings.batch_size,
                validation_data=held_out,
                initial_epoch=done,
                callbacks=[
                    *assembly.build_second_stage_callbacks(run.config),
                    *assembly.build_tensorboard(run.config, run.tensorboard / "second_stage"),
                    EpochHistory(stage.record),
                    *shown,
                    EpochCheckpoint(stage.save_checkpoint, settings.checkpoint_every, stopping),
                ],
                verbose=0,
            )
        _picture(model, data.shown, run)


def _picture(model: TwoStageVAE, shown: np.ndarray, run: Run) -> None:
    rows = {
        "original": shown,
        "reconstruction": ops.convert_to_numpy(model.reconstruct(shown)),
        "draws of the second stage": ops.convert_to_numpy(model.sample(len(shown), seed=run.config.seed)),
        "draws of N(0, I)": ops.convert_to_numpy(model.stage1.sample(len(shown), seed=run.config.seed)),
    }
    plots.save_rows(rows, run.second_stage.path / "samples.png")


def outcome(run: Run) -> Outcome:
    """Return the result of the run so far."""
    found = [*sorted(run.samples.glob("epoch-*.png")), *run.second_stage.path.glob("samples.png")]
    rows = run.history()
    return Outcome(found[-1] if found else run.samples, rows[-1] if rows else {})
