"""Weights of terms are settings: weights files do not carry them, model files do."""

import keras
import numpy as np
import pytest
from harness import compiled, gamix, images, numpy, round_trip, vae

X = images(8)


def kl_weight(model):
    return float(numpy(model.term_weights["kl"]))


def test_weights_of_another_model_do_not_change_beta(tmp_path):
    other, model = compiled(vae()), compiled(vae(beta=8.0))
    other.save_weights(tmp_path / "other.weights.h5")
    model.load_weights(tmp_path / "other.weights.h5")
    assert kl_weight(model) == 8.0
    model.set_weights(other.get_weights())
    assert kl_weight(model) == 8.0
    logs = model.evaluate(X, verbose=0, return_dict=True)
    assert logs["loss"] == pytest.approx(logs["reconstruction"] + 8.0 * logs["kl"], rel=1e-5)


def test_restoring_the_best_weights_leaves_an_annealed_weight_alone():
    class Annealing(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.term_weights["kl"].assign(epoch + 1.0)

    best = keras.callbacks.EarlyStopping("loss", mode="min", patience=5, restore_best_weights=True)
    model = compiled(vae())
    model.fit(X, epochs=3, verbose=0, callbacks=[Annealing(), best])
    assert kl_weight(model) == 3.0


def test_a_model_file_and_a_copy_have_the_weights_of_the_moment(tmp_path):
    model = gamix(variance_weight=0.2, r1_weight=2.0)
    assert model.term_weights.keys() == ["global", "variance", "adversarial", "critic", "critic_r1"]
    model.term_weights["global"].assign(0.1)
    model.save(tmp_path / "m.keras")
    for again in (keras.saving.load_model(tmp_path / "m.keras"), round_trip(model)):
        values = {name: float(numpy(again.term_weights[name])) for name in again.term_weights}
        expected = {"global": 0.1, "variance": 0.2, "adversarial": 1.0, "critic": 1.0, "critic_r1": 2.0}
        assert values == {name: float(np.float32(value)) for name, value in expected.items()}
    assert "term_weights" not in gamix().get_config()


def test_an_unknown_term_is_named():
    with pytest.raises(KeyError, match="expected one of kl; got 'beta'"):
        vae().term_weights["beta"]


def test_a_file_with_term_weights_among_the_model_s_own_variables_loads():
    """As files were before version 0.1: the first entries are dropped, generators and the rest are kept."""
    model = vae(capacity=2.0)
    store = {"0": np.float32(5.0), "1": np.float32(6.0)}
    model.load_own_variables(store)
    assert (kl_weight(model), float(numpy(model.term_weights["capacity"]))) == (1.0, 2.0)
