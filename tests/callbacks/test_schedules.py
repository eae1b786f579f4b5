"""Schedules: their formula, and that they act inside a compiled fit."""

import math
import re
import warnings

import keras
import numpy as np
import pytest
from harness import compiled, difference, gamix, images, numpy, state, vae

from gamix_keras.callbacks.schedules import Schedule, WeightSchedule

X = images(16)
FIT = {"batch_size": 4, "shuffle": False, "verbose": 0}


class Watch(keras.callbacks.Callback):
    """Notes each step's own terms."""

    def __init__(self):
        super().__init__()
        self.rows = []

    def on_train_batch_end(self, batch, logs=None):
        self.rows.append({name: float(value) for name, value in logs.items()})
        self.model.reset_metrics()


def fit(model, *callbacks, epochs=2, data=X, **kwargs):
    return model.fit(data, epochs=epochs, callbacks=list(callbacks), **{**FIT, **kwargs}).history


def messages_of(model, *callbacks, **kwargs):
    """What schedules warn of in a fit, without what Keras says."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(model, *callbacks, **kwargs)
    return [
        str(w.message) for w in caught if issubclass(w.category, UserWarning) and "WeightSchedule" in str(w.message)
    ]


@pytest.mark.backend_free
def test_linear_ramp_with_a_delay():
    schedule = Schedule(end=3.0, length=4, start=1.0, delay=2)
    assert [schedule(t) for t in range(8)] == [0, 0, 1, 1.5, 2, 2.5, 3, 3]
    assert Schedule(end=100.0, length=0, delay=3)(2.9) == 0
    assert Schedule(end=100.0, length=0, delay=3)(3) == 100
    assert Schedule(end=0.1, length=2, start=1.0, delay=1, before=1.0)(0) == 1.0


@pytest.mark.backend_free
def test_cosine_ramp():
    schedule = Schedule(end=2.0, length=10, shape="cosine")
    for t in range(10):
        assert schedule(t) == pytest.approx(2.0 * math.sin(math.pi * t / 20) ** 2)


@pytest.mark.backend_free
def test_cyclical_ramp_of_fu():
    """Four cycles of 10, of which half rise: zero at the start of each, one from its middle on."""
    schedule = Schedule(end=1.0, length=40, cycles=4, ratio=0.5)
    cycle = [0, 0.2, 0.4, 0.6, 0.8, 1, 1, 1, 1, 1]
    np.testing.assert_allclose([schedule(t) for t in range(50)], cycle * 4 + [1] * 10, atol=1e-9)


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("name", "value"),
    [("end", math.nan), ("length", -1), ("delay", math.inf), ("shape", "cubic"), ("cycles", 1.5), ("ratio", 0)],
)
def test_wrong_numbers_are_named(name, value):
    with pytest.raises(ValueError, match=f"Schedule: {name}: expected .*got {value!r}"):
        Schedule(**{"end": 1.0, "length": 5, name: value})


def test_steps_and_fractions_act_inside_a_compiled_fit():
    """The loss of every step is made with the weights of that step; the rate is not 0, so a stale state would show."""
    beta, capacity, watch = Schedule(end=2.0, length=4, delay=2), Schedule(end=3.0, length=0.5, start=0.5), Watch()
    model = compiled(vae(capacity=9.0), 1e-2)
    callbacks = WeightSchedule("kl", beta), WeightSchedule("capacity", capacity, "fraction"), watch
    fit(model, *callbacks)
    for step, row in enumerate(watch.rows):
        excess = abs(row["kl"] - capacity(step / 8))
        assert row["loss"] == pytest.approx(row["reconstruction"] + beta(step) * excess, rel=1e-5)
    assert len(watch.rows) == 8 and beta(3) == 0.5 and capacity(2 / 8) == 1.75


def test_a_schedule_leaves_training_itself_alone():
    """Taking the state back in the middle of an epoch loses nothing. (Without a critic its weight has no effect.)"""
    plain, scheduled = (compiled(gamix(with_critic=False), 1e-2) for _ in range(2))
    fit(plain)
    fit(scheduled, WeightSchedule("critic", Schedule(end=5.0, length=8)))
    scheduled.term_weights["critic"].assign(plain.term_weights["critic"])
    assert difference(state(plain), state(scheduled)) == 0.0


def test_epochs_and_two_weights_at_once():
    late = WeightSchedule("adversarial", Schedule(end=5.0, length=0, delay=2), unit="epochs")
    ramp = WeightSchedule("variance", Schedule(end=0.4, length=2, shape="cosine"), unit="epochs")
    model = compiled(gamix(global_weight=0.0), 1e-2)
    history = fit(model, late, ramp, epochs=3)
    assert model.steps_done == 12
    for epoch in range(3):
        terms = {name: values[epoch] for name, values in history.items()}
        expected = terms["reconstruction"] + late.schedule(epoch) * terms["adversarial"]
        assert terms["loss"] == pytest.approx(expected + ramp.schedule(epoch) * terms["variance"], rel=1e-5)


def test_a_resumed_run_goes_on_where_it_was(tmp_path):
    ramp = Schedule(end=2.0, length=8)
    whole, half = compiled(vae(), 1e-2), compiled(vae(), 1e-2)
    fit(whole, WeightSchedule("kl", ramp))
    (message,) = messages_of(half, WeightSchedule("kl", ramp), epochs=1)
    assert "ends at 8 steps, after training, which ends at 4 with a value of about 1 instead of 2" in message
    half.save(tmp_path / "half.keras")
    resumed = keras.saving.load_model(tmp_path / "half.keras")
    fit(resumed, WeightSchedule("kl", ramp), initial_epoch=1)
    assert float(numpy(resumed.term_weights["kl"])) == ramp(7) == 1.75
    assert difference(state(whole), state(resumed)) == 0.0


def test_a_ramp_that_training_does_not_finish_warns_with_numbers():
    cases = [("steps", 9, 8), ("epochs", 3, 2), ("fraction", 1.5, 1)]
    fitting = [WeightSchedule("kl", Schedule(1.0, length=last), unit) for unit, _, last in cases]
    too_long = [WeightSchedule("kl", Schedule(1.0, length=length), unit) for unit, length, _ in cases]
    messages = messages_of(compiled(vae()), *fitting, *too_long)
    assert len(messages) == 3
    for message, (unit, length, last) in zip(messages, cases, strict=True):
        assert f"kl: the schedule ends at {length} {unit}, after training, which ends at {last} " in message


def test_the_end_is_foreseen_after_an_epoch_where_keras_does_not_know_its_length():
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices(X).batch(4).filter(lambda batch: True)
    messages = messages_of(compiled(vae()), WeightSchedule("kl", Schedule(1.0, length=99)), data=data, batch_size=None)
    # TensorFlow counts the step that found no data.
    assert len(messages) == 1 and re.search("ends at (8|10) with a value of about 0.[01]", messages[0])


def test_a_variable_outside_the_model_is_refused():
    """It would be frozen into the compiled step; so would a Python number."""
    for variable in ("beta", "no_such_weight", keras.Variable(1.0, trainable=False)):
        callback = WeightSchedule(variable, Schedule(end=1.0, length=1))
        with pytest.raises(ValueError, match="expected"):
            fit(compiled(vae()), callback)
    with pytest.raises(ValueError, match="unit: expected one of steps, epochs, fraction; got 'hours'"):
        WeightSchedule("kl", Schedule(end=1.0, length=1), unit="hours")
