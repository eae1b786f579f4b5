"""A training session: a run from its newest checkpoint, or from the start, to its last epoch."""

from pathlib import Path
from typing import NamedTuple

import keras

from gamix_keras import assembly
from gamix_keras.callbacks import EpochCheckpoint, EpochHistory
from gamix_keras.data import reading
from gamix_keras.runs import Run


class Session(NamedTuple):
    """A run that is ready to train.

    Attributes:
        run: The run.
        done: Epochs that its newest checkpoint has behind it.
        data: What is read.
        model: The compiled model as of that checkpoint.
    """

    run: Run
    done: int
    data: assembly.Data
    model: keras.Model


class Outcome(NamedTuple):
    """What a run has come to.

    Attributes:
        picture: The newest grid of originals, reconstructions and samples.
        row: The last row of the history.
    """

    picture: Path
    row: dict[str, float]


def train(run: Run, verbose: str | int = "auto") -> Outcome:
    """Train a run to ``training.epochs``; does nothing where it has got there already.

    A resumed run ends, bit for bit, where one that was never interrupted would: on the same backend, machine
    and number of threads.

    Args:
        run: A new run, or one that is to go on.
        verbose: As in ``keras.Model.fit``.
    """
    session = prepare(run)
    return outcome(run) if session is None else fit(session, verbose)


def prepare(run: Run) -> Session | None:
    """Open the data, and build or load the model; nothing is written. None where nothing is left to train."""
    done, file = run.latest_checkpoint()
    if done >= run.config.training.epochs:
        return None
    data = assembly.build_data(run.config, start_epoch=done)
    model = assembly.build_model(run.config) if file is None else run.load_model(compile=True)
    return Session(run, done, data, model)


def fit(session: Session, verbose: str | int = "auto") -> Outcome:
    """Train to the end. A row is written before its checkpoint, so that every checkpoint has its history."""
    run, done, data, model = session
    run.begin_session(done)
    training = run.config.training
    pictures = assembly.build_callbacks(run.config, data.shown, run.samples)
    checkpoints = EpochCheckpoint(run.save_checkpoint, training.checkpoint_every)
    with reading(*data.sources):
        model.fit(
            data.training,
            steps_per_epoch=data.steps,
            validation_data=data.validation,
            initial_epoch=done,
            epochs=training.epochs,
            callbacks=[EpochHistory(run.record), *pictures, checkpoints],
            shuffle=False,
            verbose=verbose,
        )
    return outcome(run)


def outcome(run: Run) -> Outcome:
    """Return what the run has come to so far."""
    pictures = sorted(run.samples.glob("epoch-*.png"))
    rows = run.history()
    return Outcome(pictures[-1] if pictures else run.samples, rows[-1] if rows else {})
