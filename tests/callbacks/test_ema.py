"""The moving average of the weights: its value, its state, and what sees it."""

import keras
import numpy as np
import pytest
from harness import LATENT, SHAPE, compiled, difference, encoder, gamix, images, numpy, state, vae

from gamix_keras.callbacks.ema import EMAWeights
from gamix_keras.layers.ema import MovingAverage
from gamix_keras.losses import LaplaceNLL
from gamix_keras.models import VAE

X = images(16)
FIT = {"batch_size": 4, "shuffle": False, "verbose": 0}


class Trace(keras.callbacks.Callback):
    """Copies the weights after each step."""

    def __init__(self):
        super().__init__()
        self.weights = []

    def on_train_batch_end(self, batch, logs=None):
        if hasattr(self.model, "jax_state_sync"):
            self.model.jax_state_sync()
        self.weights.append(values(self.model))


def values(model):
    return [numpy(v).copy() for v in model.averaged_variables]


def averages(model):
    return [numpy(v).copy() for v in model.ema.averages]


@pytest.mark.parametrize(("decay", "start"), [(0.8, 0), (0.999, 3)])
def test_the_average_is_recomputed_in_numpy(decay, start):
    """The weighted mean with weights d^(n - i), a form that shares nothing with the recursion."""
    trace = Trace()
    model = compiled(vae(LaplaceNLL("learned"), ema_decay=decay, ema_start=start), 1e-2)
    model.fit(X, epochs=2, callbacks=[trace], **FIT)
    seen = trace.weights[start:]
    shares = np.array([decay**i for i in range(len(seen))])[::-1]
    shares /= shares.sum()
    assert len(seen) == 8 - start and len(model.ema.averages) == len(seen[0])
    for average, *steps in zip(averages(model), *seen, strict=True):
        expected = np.tensordot(shares, np.stack(steps).astype("float64"), 1)
        np.testing.assert_allclose(average, expected, rtol=1e-5, atol=1e-6)


def test_no_decay_is_the_weights_themselves():
    variable = keras.Variable([1.0, 2.0])
    layer = MovingAverage(0.0)
    layer.build([(2,)])
    for value in ([1.0, 2.0], [3.0, 5.0]):
        variable.assign(value)
        layer.update([variable])
    np.testing.assert_array_equal(numpy(layer.averages[0]), [3.0, 5.0])


def test_swapped_in_and_back_to_the_bit():
    model = compiled(vae(ema_decay=0.9), 1e-2)
    with model.averaged():
        untouched = values(model)
    assert any(np.any(value) for value in untouched)  # no average yet: its zeros must not be shown
    model.fit(X, epochs=2, **FIT)
    before, average = state(model), averages(model)
    own = numpy(model.reconstruct(X))
    with pytest.raises(RuntimeError, match="within"), model.averaged():
        for left, right in zip(values(model), average, strict=True):
            np.testing.assert_array_equal(left, right)
        assert np.abs(numpy(model.reconstruct(X)) - own).max() > 1e-3
        raise RuntimeError("within")
    assert difference(before, state(model)) == 0.0


def test_save_load_resume_and_a_second_fit_are_bit_identical(tmp_path):
    whole = compiled(gamix(ema_decay=0.9, ema_start=2), 1e-2)
    whole.fit(X, **FIT)
    whole.save(tmp_path / "half.keras")
    whole.fit(X, **FIT)
    resumed = keras.saving.load_model(tmp_path / "half.keras")
    assert (resumed.ema_decay, resumed.ema_start) == (0.9, 2)
    resumed.fit(X, **FIT)
    assert difference(state(whole), state(resumed)) == 0.0


def test_validation_sees_the_average_and_training_does_not():
    simple, model = compiled(vae(), 1e-2), compiled(vae(ema_decay=0.9), 1e-2)
    plain, averaged = (
        m.fit(X, epochs=2, validation_data=(X,), callbacks=callbacks, **FIT).history
        for m, callbacks in ((simple, []), (model, [EMAWeights()]))
    )
    assert plain["loss"] == averaged["loss"]
    for left, right in zip(values(simple), values(model), strict=True):
        np.testing.assert_array_equal(left, right)
    with model.averaged():
        expected = model.evaluate(X, batch_size=4, verbose=0, return_dict=True)
    assert averaged["val_psnr"][-1] == pytest.approx(expected["psnr"], rel=1e-5)
    assert abs(averaged["val_psnr"][-1] - plain["val_psnr"][-1]) > 1e-4


def test_moving_statistics_are_averaged_too():
    inputs = keras.Input((LATENT,), name="z")
    x = keras.layers.BatchNormalization()(keras.layers.Dense(8 * 8 * 3)(inputs))
    network = keras.Model(inputs, keras.layers.Reshape(SHAPE)(x))
    model = VAE(encoder(), network, LaplaceNLL(), ema_decay=0.9)
    assert len(model.ema.averages) == len(model.autoencoder_variables) + 2


def test_wrong_uses_are_named():
    with pytest.raises(ValueError, match="EMAWeights: model: expected one made with ema_decay"):
        compiled(vae()).fit(X, callbacks=[EMAWeights()], **FIT)
    with pytest.raises(ValueError, match=r"decay: expected a number in \[0, 1\), got 1.0"):
        MovingAverage(1.0)
    with pytest.raises(ValueError, match="start: expected a whole number >= 0, got -1"):
        vae(ema_decay=0.9, ema_start=-1)
