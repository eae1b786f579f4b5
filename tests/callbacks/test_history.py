"""Rows and checkpoints of epochs."""

from harness import compiled, images, numpy, vae

from gamix_keras.callbacks import EpochCheckpoint, EpochHistory

X = images(8)


def test_a_row_for_each_epoch_with_validation():
    rows = []
    model = compiled(vae())
    model.fit(X, validation_data=(X,), initial_epoch=3, epochs=5, callbacks=[EpochHistory(rows.append)], verbose=0)
    assert [row["epoch"] for row in rows] == [4, 5]
    assert {"seconds", "loss", "val_psnr"} <= set(rows[0])
    assert all(type(value) in (int, float) for value in rows[0].values())


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
