"""Step sizes over a training: their formula, and that they act inside a compiled fit."""

import warnings

import keras
import numpy as np
import pytest
from harness import compiled, difference, gamix, images, numpy, state, vae

from gamix_keras.callbacks import NumericGuard, StepSizeHalving, StepSizeSchedule, step_size_factor

X = images(16)
FIT = {"batch_size": 4, "shuffle": False, "verbose": 0}
PEAKS = {"autoencoder": 0.02, "critic": 0.005}


def rates(model):
    return [float(numpy(model.phase_optimizer(name).learning_rate)) for name in model.phase_names]


class Watch(keras.callbacks.Callback):
    """Notes the step sizes after each step."""

    def __init__(self):
        super().__init__()
        self.rows = []

    def on_train_batch_end(self, batch, logs=None):
        self.rows.append(rates(self.model))


def test_one_cycle_is_the_cosine_decay_of_keras_with_its_warm_up():
    reference = keras.optimizers.schedules.CosineDecay(0.0, 85, warmup_target=1.0, warmup_steps=15)
    for step in range(1, 100):
        assert step_size_factor("one_cycle", step / 100) == pytest.approx(float(reference(step)), abs=1e-3)


def test_cosine_is_that_of_keras_after_a_short_rise():
    reference = keras.optimizers.schedules.CosineDecay(1.0, 100)
    for step in range(5, 98):
        assert step_size_factor("cosine", step / 100) == pytest.approx(float(reference(step)), abs=1e-6)
    assert step_size_factor("cosine", 0.02) == pytest.approx(0.4 * float(reference(2)), abs=1e-6)


@pytest.mark.backend_free
def test_it_never_stands_still():
    for schedule in ("cosine", "one_cycle"):
        factors = [step_size_factor(schedule, share) for share in np.linspace(0, 1, 1001)]
        assert min(factors) == factors[0] == factors[-1] == 1e-3 and max(factors) <= 1.0


def test_each_step_is_made_with_the_rate_of_its_place():
    """A fit comes to what single steps come to, each with its rates set by hand."""
    watch, whole, single = Watch(), compiled(gamix(), 1e-3), compiled(gamix(), 1e-3)
    history = whole.fit(X, epochs=2, callbacks=[StepSizeSchedule("one_cycle", PEAKS), watch], **FIT).history
    for step in range(8):
        factor = step_size_factor("one_cycle", step / 8)
        for name, peak in PEAKS.items():
            single.phase_optimizer(name).learning_rate = peak * factor
        np.testing.assert_allclose(watch.rows[step], [0.02 * factor, 0.005 * factor], rtol=1e-6)
        single.train_on_batch(X[step % 4 * 4 :][:4])
    assert difference(state(whole), state(single)) < 1e-5
    for name, of_all in (("learning_rate", 0), ("critic_learning_rate", 1)):
        assert history[name] == [watch.rows[3][of_all], watch.rows[7][of_all]]


def test_it_goes_on_within_an_epoch_as_if_nothing_had_happened():
    """The epoch's first step was done before: the same rates, bit for bit."""
    watch, later = Watch(), Watch()
    model = compiled(vae(), 1e-3)
    peaks = {"autoencoder": 0.01}
    model.fit(X, epochs=2, callbacks=[StepSizeSchedule("cosine", peaks), watch], **FIT)
    resumed = StepSizeSchedule("cosine", peaks, epochs=2, begun=1)
    model.fit(X[4:], epochs=1, callbacks=[resumed, later], **FIT)
    model.fit(X, initial_epoch=1, epochs=2, callbacks=[resumed, later], **FIT)
    assert later.rows == watch.rows[1:]


def test_accumulated_steps_count():
    model, watch = vae(), Watch()
    model.compile(keras.optimizers.Adam(1e-3, gradient_accumulation_steps=2))
    model.fit(X, epochs=1, callbacks=[StepSizeSchedule("cosine", {"autoencoder": 1.0}), watch], **FIT)
    np.testing.assert_allclose(watch.rows, [[step_size_factor("cosine", step / 4)] for step in range(4)], rtol=1e-6)


def test_a_loss_scale_is_no_obstacle():
    model, watch = vae(dtype="mixed_float16"), Watch()
    model.compile(keras.optimizers.Adam(1e-3))
    model.fit(X, epochs=1, callbacks=[StepSizeSchedule("cosine", {"autoencoder": 1e-4}), watch], **FIT)
    factors = [step_size_factor("cosine", step / 4) for step in range(4)]
    np.testing.assert_allclose(watch.rows, [[1e-4 * factor] for factor in factors], rtol=1e-6)


def test_what_the_guard_lowered_stays_lowered_also_in_a_file(tmp_path):
    bad = X.copy()
    bad[5] = np.nan
    model, watch = compiled(gamix(), 1e-3), Watch()
    callbacks = [StepSizeSchedule("one_cycle", PEAKS), NumericGuard("lower"), watch]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(bad, epochs=1, callbacks=callbacks, **FIT)
    assert any("1 left out, learning rate now" in str(warning.message) for warning in caught)
    model.save(tmp_path / "lowered.keras")
    loaded = keras.saving.load_model(tmp_path / "lowered.keras")
    assert loaded.rate_scale == 0.5
    loaded.fit(X, initial_epoch=1, epochs=2, callbacks=[StepSizeSchedule("one_cycle", PEAKS), watch], **FIT)
    for step in range(4, 8):
        factor = 0.5 * step_size_factor("one_cycle", step / 8)
        np.testing.assert_allclose(watch.rows[step], [0.02 * factor, 0.005 * factor], rtol=1e-6)


def test_a_halving_keeps_what_the_guard_lowered():
    bad = X.copy()
    bad[5] = np.nan
    model, watch = compiled(gamix(), 1e-3), Watch()
    callbacks = [StepSizeHalving(0.02, every=1), NumericGuard("lower"), watch]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        model.fit(bad, epochs=1, callbacks=callbacks, **FIT)
    model.fit(X, initial_epoch=1, epochs=3, callbacks=callbacks, **FIT)
    ratio = watch.rows[0][1] / watch.rows[0][0]
    lowered = [[0.02 * factor, 0.02 * factor * ratio] for factor in (0.25, 0.125)]
    np.testing.assert_allclose(watch.rows[4::4], lowered, rtol=1e-6)


def test_without_a_known_length_the_rates_change_between_epochs():
    model = compiled(vae(), 1e-3)
    callback = StepSizeSchedule("cosine", {"autoencoder": 1.0})
    callback.set_model(model)
    callback.set_params({"steps": None, "epochs": 10})
    callback.on_train_begin()
    for epoch in range(2):
        callback.on_epoch_begin(epoch)
        callback.on_train_batch_begin(3)
        assert rates(model) == [pytest.approx(step_size_factor("cosine", epoch / 10))]


@pytest.mark.backend_free
def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="schedule: expected one of cosine, one_cycle; got 'linear'"):
        StepSizeSchedule("linear", PEAKS)
    with pytest.raises(ValueError, match="peaks: expected numbers above 0, got 0 for critic"):
        StepSizeSchedule("cosine", {"autoencoder": 1e-3, "critic": 0})
    model = compiled(gamix(), 1e-3)
    with pytest.raises(ValueError, match="peaks: expected one for each of autoencoder, critic; got autoencoder"):
        model.fit(X, callbacks=[StepSizeSchedule("cosine", {"autoencoder": 1e-3})], **FIT)
