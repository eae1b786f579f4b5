"""Numbers that are not finite, in every place where they can arise."""

import warnings
from contextlib import contextmanager

import keras
import numpy as np
import pytest
from harness import compiled, difference, gamix, images, numpy, state, vae

from gamix_keras.callbacks import NumericGuard

X = images(32)


@contextmanager
def warned(text):
    """Not `pytest.warns`: it would pass on what TensorFlow has to say about NumPy."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    messages = [str(warning.message) for warning in caught]
    assert any(text in message for message in messages), messages


def fit(model, x, **arguments):
    guard = NumericGuard(**arguments)
    model.fit(x, batch_size=4, shuffle=False, callbacks=[guard], verbose=0)
    return guard


def broken_at(step, value=np.nan, x=X):
    broken = x.copy()
    broken[4 * step + 1, 2, 3] = value
    return broken


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_bad_batch_is_undone_noted_and_leaves_training_as_if_it_had_not_been(value):
    """Beside the random generators, which moved on: they are put back for the comparison."""
    rows, model, other = [], compiled(gamix(ema_decay=0.9, momentum=0.9)), compiled(gamix(ema_decay=0.9, momentum=0.9))
    names = lambda epoch, step: [f"{epoch}/{step}"]  # noqa: E731
    with warned("images not finite in epoch 1, step 1 (images 0/0); 1 left out"):
        guard = fit(model, broken_at(0, value)[:4], record=rows.append, images=names)
    assert rows == guard.found == [{"epoch": 1, "step": 1, "origin": "images", "images": ["0/0"]}]
    for seeds in zip(model._seed_states(), other._seed_states(), strict=True):
        seeds[0].assign(seeds[1])
    assert difference(state(model), state(other)) == 0.0


def test_means_of_the_epoch_leave_the_bad_batch_out():
    model = compiled(vae(), rate=0.0)
    with warned("step 3"):
        fit(model, broken_at(2))
    assert float(numpy(model.trackers["kl"].count)) == 28
    assert np.isfinite(numpy(model.trackers["loss"].result()))


def test_a_good_run_is_the_same_with_and_without():
    guarded, plain = compiled(gamix()), compiled(gamix())
    fit(guarded, X)
    plain.fit(X, batch_size=4, shuffle=False, verbose=0)
    # On JAX the compiler may order sums otherwise.
    assert difference(state(guarded), state(plain)) < (1e-5 if keras.config.backend() == "jax" else 1e-12)


PLANTED = {
    "reconstruction": lambda model: model.decoder.trainable_variables[-1],
    "adversarial": lambda model: model.critic.trainable_variables[-1],
    "global": lambda model: model.aggregate.variables[0],
}


@pytest.mark.parametrize("origin", PLANTED)
def test_the_term_that_broke_first_is_named_and_training_ends(origin):
    """A NaN among the weights makes every step bad; the diagnosis names what it reached first, and the weight."""
    model = compiled(gamix(momentum=0.9))
    variable = PLANTED[origin](model)
    variable.assign(np.full(variable.shape, np.nan, "float32"))
    with pytest.raises(FloatingPointError, match=f"3 bad steps: {origin} not finite in epoch 1, step 1; ") as ended:
        fit(model, X[:12], events=3)
    assert "not finite already" in str(ended.value)
    assert "\n" not in str(ended.value)


def test_a_gradient_that_alone_is_not_finite_is_found():
    """sqrt has none at 0, where the loss itself is finite."""
    model = compiled(vae())
    phases = model.phases

    def with_root():
        (phase,) = phases()

        def rooted(x, training, carry):
            terms, carry = phase.losses(x, training, carry)
            kernel = keras.ops.convert_to_tensor(phase.variables[0])
            terms["loss"] = terms["loss"] + keras.ops.sum(keras.ops.sqrt(0.0 * kernel))
            return terms, carry

        return [phase._replace(losses=rooted)]

    model.phases = with_root
    before = state(model)
    with pytest.raises(FloatingPointError, match="8 bad steps: autoencoder gradient not finite"):
        fit(model, X, events=8)
    weights = [key for key in before if before[key].dtype == np.float32]
    after = state(model)
    assert all(np.array_equal(before[key], after[key]) for key in weights)


def test_a_step_size_that_is_not_finite_moves_nothing():
    model = compiled(vae(), rate=float("inf"))
    before = model.get_weights()
    with pytest.raises(FloatingPointError, match="2 bad steps: autoencoder learning rate not finite"):
        fit(model, X[:8], events=2)
    assert all(map(np.array_equal, before, model.get_weights()))


def test_weights_that_overflow_alone_end_training_at_once():
    """From finite gradients: 3e38 is not yet infinity, the next step's sum is."""
    model = vae()
    model.compile(keras.optimizers.SGD(3e38))
    with pytest.raises(FloatingPointError, match="autoencoder weights not finite in epoch 1, step 1") as ended:
        fit(model, X[:4])
    assert "not finite already" in str(ended.value) or "weights" in str(ended.value)


def test_the_learning_rates_are_lowered_and_stay_so_within_the_epoch():
    model = compiled(gamix(), rate=0.01)
    x = np.concatenate([broken_at(1), X])
    with warned("learning rate now 0.005"):
        fit(model, x, action="lower")
    assert [float(numpy(o.learning_rate)) for o in model.optimizer.optimizers] == pytest.approx([0.005, 0.005])


def test_a_guard_may_come_after_a_fit_without():
    model = compiled(vae())
    model.fit(X, batch_size=4, verbose=0)
    with warned("step 2"):
        fit(model, broken_at(1))


def test_validation_does_not_forget_what_training_found():
    with warned("step 8"):
        guard = NumericGuard()
        data = {"validation_data": (X[:4],), "callbacks": [guard]}
        compiled(vae()).fit(broken_at(7), batch_size=4, shuffle=False, verbose=0, **data)
    assert len(guard.found) == 1


@pytest.mark.parametrize(("arguments", "told"), [({"action": "pray"}, "action"), ({"events": 0}, "events")])
def test_mistakes(arguments, told):
    with pytest.raises(ValueError, match=f"NumericGuard: {told}: expected"):
        NumericGuard(**arguments)
