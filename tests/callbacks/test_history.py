"""Rows and checkpoints of epochs."""

from types import SimpleNamespace

import pytest
from harness import compiled, images, numpy, vae

from gamix_keras.callbacks import EpochCheckpoint, EpochHistory, ResumedMetrics, StepCheckpoint
from gamix_keras.interrupts import Stopped

X = images(8)


def test_a_row_for_each_epoch_with_validation():
    rows = []
    model = compiled(vae())
    model.fit(X, validation_data=(X,), initial_epoch=3, epochs=5, callbacks=[EpochHistory(rows.append)], verbose=0)
    assert [row["epoch"] for row in rows] == [4, 5]
    assert {"seconds", "cpu_seconds", "loss", "val_psnr"} <= set(rows[0])
    assert all(type(value) in (int, float) for value in rows[0].values())


def test_seconds_are_by_the_clock_and_of_the_processor(monkeypatch):
    rows, clocks = [], {"perf_counter": iter((10.0, 15.0)), "process_time": iter((2.0, 3.5))}
    fake = SimpleNamespace(**{name: values.__next__ for name, values in clocks.items()})
    monkeypatch.setattr("gamix_keras.callbacks.history.time", fake)
    history = EpochHistory(rows.append)
    history.on_epoch_begin(0)
    history.on_epoch_end(0, {"loss": 1.0})
    assert rows == [{"epoch": 1, "seconds": 5.0, "cpu_seconds": 1.5, "loss": 1.0}]


def test_checkpoints_every_so_often_and_at_the_end():
    saved = []
    model = compiled(vae())
    callback = EpochCheckpoint(lambda model, epoch: saved.append(epoch), every=2)
    model.fit(X, epochs=5, callbacks=[callback], verbose=0)
    assert saved == [2, 4, 5]


def test_the_model_handed_over_is_the_trained_one():
    """On JAX the variables of a model in training are stale unless the callback's own `model` is asked."""
    seen = []
    model = compiled(vae(), rate=0.1)
    kernel = model.encoder.trainable_variables[0]
    before = numpy(kernel).copy()
    save = EpochCheckpoint(lambda model, epoch: seen.append(abs(numpy(kernel) - before).max()))
    model.fit(X, epochs=1, callbacks=[save], verbose=0)
    assert seen[0] > 0


def test_checkpoints_every_so_many_steps_but_not_at_the_end_of_an_epoch():
    saved = []
    callback = StepCheckpoint(lambda model, *progress: saved.append(progress), steps=2, begun=1)
    compiled(vae()).fit(X, batch_size=2, initial_epoch=3, epochs=5, callbacks=[callback], verbose=0)
    assert saved == [(3, 2), (3, 4), (4, 2)]


def test_checkpoints_every_so_many_minutes(monkeypatch):
    saved, clock = [], iter(range(0, 10**6, 40))
    monkeypatch.setattr("gamix_keras.callbacks.history.time", SimpleNamespace(monotonic=lambda: next(clock)))
    callback = StepCheckpoint(lambda model, *progress: saved.append(progress), minutes=2)
    compiled(vae()).fit(X, batch_size=1, callbacks=[callback], verbose=0)
    assert saved == [(0, 3), (0, 6)]


@pytest.mark.parametrize(("kind", "progress"), [(StepCheckpoint, (0, 1)), (EpochCheckpoint, (1,))])
def test_told_to_stop_they_save_first(kind, progress):
    saved = []
    callback = kind(lambda model, *progress: saved.append(progress), stopping=lambda: 15)
    with pytest.raises(Stopped, match="stopped by SIGTERM"):
        compiled(vae()).fit(X, batch_size=2, callbacks=[callback], verbose=0)
    assert saved == [progress]


def test_running_means_go_on_where_they_were():
    """Training frozen, the mean over two fits of half an epoch each is that over the whole."""
    means = []
    model = compiled(vae(), rate=0.0)
    half = [model.fit(x, batch_size=4, verbose=0).history["kl"][0] for x in (X[4:], X[:4])]
    for resumed in ([ResumedMetrics(model.tracker_variables)], []):
        means.append(model.fit(X[4:], batch_size=4, callbacks=resumed, verbose=0).history["kl"][0])
    assert means == pytest.approx([sum(half) / 2, half[0]])
