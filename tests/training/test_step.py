"""The generic step against Keras's own trainer, and what every stock feature of `fit` needs of it."""

import warnings

import keras
import numpy as np
import pytest
from harness import LATENT, backend, compiled, difference, encoder, gamix, images, numpy, state, vae
from keras import ops

from gamix_keras.training import Phase, PhasedModel


class Regressor(PhasedModel):
    """The smallest phased model: one phase that Keras's own trainer can do as well."""

    phase_names = ("autoencoder",)

    def __init__(self, network, **kwargs):
        super().__init__(**kwargs)
        self.network = network
        self.trackers = {"loss": keras.metrics.Mean(name="loss")}
        self.build(network.input_shape)

    def build(self, input_shape=None):
        pass

    def call(self, x, training=False):
        return self.network(x, training=training)[0]

    def phases(self):
        def losses(batch, training, carry):
            x = batch.images
            return {"loss": ops.mean(ops.square(self(x, training=training) - ops.mean(x)))}, carry

        return [Phase("autoencoder", losses, self.network.trainable_variables, self.phase_optimizer("autoencoder"))]


class Reference(keras.Model):
    """The same objective the way Keras means it: `compute_loss` and its own `train_step`."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def build(self, input_shape):
        pass

    def call(self, x, training=False):
        return self.network(x, training=training)[0]

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return ops.mean(ops.square(y_pred - ops.mean(x)))


def _head():
    network = encoder()
    return keras.Model(network.input, [network.outputs[0]])


def test_one_phase_step_is_kerass_own_bit_for_bit():
    x = images(32)
    ours, theirs = Regressor(_head()), Reference(_head())
    theirs.build(ours.network.input_shape)
    theirs.network.set_weights(ours.network.get_weights())
    adam = {"learning_rate": 0.01, "clipnorm": 0.5}
    ours.compile(keras.optimizers.Adam(**adam))
    jit = {"jit_compile": ours.jit_compile}
    theirs.compile(keras.optimizers.Adam(**adam), **jit)
    for model in (ours, theirs):
        model.fit(x, batch_size=8, epochs=3, shuffle=False, verbose=0)
    for left, right in zip(ours.network.get_weights(), theirs.network.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("make", [vae, gamix, lambda: gamix(momentum=0.9, moments="full")], ids=["vae", "gan", "run"])
def test_gradient_reaches_every_trainable_variable(make):
    model = compiled(make())
    before = [numpy(v).copy() for v in model.trainable_variables]
    model.train_on_batch(images(16))
    for old, variable in zip(before, model.trainable_variables, strict=True):
        assert np.any(old != numpy(variable)), f"{variable.path} did not move"


def test_phases_partition_the_trainable_variables():
    model = compiled(gamix())
    moved = [id(v) for phase in model.phases() for v in phase.variables]
    assert sorted(moved) == sorted(id(v) for v in model.trainable_variables)


def _count_calls(network):
    """Number of times that a network is traced or run in one step."""
    calls = []
    original = network.call
    network.call = lambda *args, **kwargs: (calls.append(1), original(*args, **kwargs))[1]
    return calls


def test_one_encoder_and_one_decoder_pass_per_step():
    model = compiled(gamix(), run_eagerly=True, jit_compile=False)
    encoder_calls, decoder_calls, critic_calls = map(_count_calls, (model.encoder, model.decoder, model.critic))
    model.train_on_batch(images(8))
    assert (len(encoder_calls), len(decoder_calls), len(critic_calls)) == (1, 1, 2)


@pytest.mark.parametrize("make", [vae, gamix])
def test_save_load_resume_is_bit_identical(make, tmp_path):
    x = images(32)
    options = {"batch_size": 8, "shuffle": False, "verbose": 0}
    whole = compiled(make())
    whole.fit(x, epochs=1, **options)
    whole.save(tmp_path / "half.keras")
    whole.fit(x, epochs=1, **options)
    resumed = keras.saving.load_model(tmp_path / "half.keras")
    resumed.fit(x, epochs=1, **options)
    assert difference(state(whole), state(resumed)) == 0.0


def test_weights_file_keeps_both_optimizers(tmp_path):
    model = compiled(gamix())
    model.fit(images(16), batch_size=8, verbose=0)
    model.save_weights(tmp_path / "m.weights.h5")
    other = compiled(gamix(seed=5))
    other.load_weights(tmp_path / "m.weights.h5")
    assert difference(state(model), state(other)) == 0.0


def test_different_optimizers_per_phase_survive_loading(tmp_path):
    model = gamix()
    model.compile(keras.optimizers.Adam(1e-3), critic_optimizer=keras.optimizers.SGD(0.1, momentum=0.9))
    model.fit(images(16), batch_size=8, verbose=0)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    assert isinstance(loaded.optimizer["critic"], keras.optimizers.SGD)
    assert float(loaded.optimizer["critic"].momentum) == 0.9
    assert difference(state(model), state(loaded)) == 0.0


def test_automatic_jit_is_decided_by_the_backend_that_loads(tmp_path):
    model = compiled(vae())
    assert model.jit_compile == (backend() == "jax")
    assert model.get_compile_config()["jit_compile"] == "auto"


def test_optimizer_for_a_phase_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="no further optimizer; got critic_optimizer"):
        vae().compile("adam", critic_optimizer=keras.optimizers.Adam())


def test_stock_callbacks_validation_and_predict(tmp_path):
    x = images(32)
    model = compiled(gamix())
    callbacks = [
        keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", monitor="val_psnr", mode="max", save_best_only=True),
        keras.callbacks.BackupAndRestore(tmp_path / "backup"),
        keras.callbacks.ReduceLROnPlateau("val_loss", factor=0.5, patience=0, min_delta=1e9),
        keras.callbacks.CSVLogger(tmp_path / "log.csv"),
        keras.callbacks.TerminateOnNaN(),
        keras.callbacks.EarlyStopping("val_loss", patience=5),
        keras.callbacks.TensorBoard(tmp_path / "tb", write_graph=False),
    ]
    history = model.fit(x, batch_size=8, epochs=3, validation_data=(x[:12],), callbacks=callbacks, verbose=0).history
    assert all(np.all(np.isfinite(values)) for values in history.values())
    assert {"val_reconstruction", "val_global", "val_critic", "psnr"} <= set(history)
    rates = [float(numpy(o.learning_rate)) for o in model.optimizer.optimizers]
    assert rates == [pytest.approx(1e-3 / 4, rel=0.01)] * 2 or rates == [pytest.approx(1e-3 / 8, rel=0.01)] * 2
    assert model.predict(x, batch_size=10, verbose=0).shape == x.shape
    again = [model.evaluate(x[:12], batch_size=5, verbose=0, return_dict=True) for _ in range(2)]
    assert again[0] == again[1]
    keras.saving.load_model(tmp_path / "best.keras")


def test_short_last_batch_counts_by_its_size():
    x = images(10)
    model = compiled(vae())
    parts = [model.evaluate(part, batch_size=8, verbose=0, return_dict=True) for part in (x, x[:8], x[8:])]
    # The evaluation noise depends on the batch's size, the mean's reconstruction does not.
    whole, first, last = (p["psnr"] for p in parts)
    assert whole == pytest.approx(0.8 * first + 0.2 * last, rel=1e-4)


def test_steps_per_execution():
    x = images(32)
    model = vae()
    if backend() == "torch":
        with pytest.raises(ValueError, match="steps_per_execution"):
            compiled(model, steps_per_execution=2).fit(x, batch_size=8, verbose=0)
        return
    one, two = compiled(model), compiled(vae(), steps_per_execution=2)
    for m in (one, two):
        m.fit(x, batch_size=8, epochs=2, shuffle=False, verbose=0)
    left, right = state(one), state(two)
    assert difference(left, right) < 1e-5


def test_eager_and_compiled_agree():
    x = images(16)
    logs = []
    for eager in (True, False):
        model = compiled(gamix(), run_eagerly=eager, jit_compile=False if eager else "auto")
        logs.append(model.fit(x, batch_size=8, epochs=2, shuffle=False, verbose=0).history)
    for name in logs[0]:
        np.testing.assert_allclose(logs[0][name], logs[1][name], rtol=1e-3, atol=1e-5)


def test_clipping_through_the_optimizers_own_option():
    model = vae()
    model.compile(keras.optimizers.SGD(1.0, global_clipnorm=1e-3))
    before = [numpy(v).copy() for v in model.trainable_variables]
    model.train_on_batch(images(16))
    moved = np.sqrt(sum(np.sum((numpy(v) - b) ** 2) for v, b in zip(model.trainable_variables, before, strict=True)))
    assert moved == pytest.approx(1e-3, rel=1e-3)


def test_annealed_weight_acts_inside_a_compiled_fit():
    """Trap: a Python float would be frozen at trace time; a variable is not."""

    class Off(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.term_weights["kl"].assign(0.0 if epoch else 1.0)

    history = compiled(vae(), rate=0.0).fit(images(8), batch_size=8, epochs=2, verbose=0, callbacks=[Off()]).history
    with_kl, without = history["loss"]
    assert with_kl == pytest.approx(history["reconstruction"][0] + history["kl"][0], rel=1e-5)
    assert without == pytest.approx(history["reconstruction"][1], rel=1e-5)
    assert history["kl"][1] > 0.01


def test_accumulated_gradients_count_steps_and_move_the_average_with_the_weights():
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            seen.append(self.model.steps_done)

    model = vae(ema_decay=0.9)
    model.compile(keras.optimizers.Adam(1e-2, gradient_accumulation_steps=2))
    model.fit(images(24), batch_size=8, epochs=4, verbose=0, callbacks=[Watch()])
    assert seen == [0, 3, 6, 9]
    assert float(numpy(model.ema.steps)) == 6  # of 12 steps


def test_frozen_after_compile_trains_on_until_the_next_compile():
    model = compiled(vae())
    model.encoder.trainable = False
    before = [numpy(v).copy() for v in model.encoder.weights]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(images(8), verbose=0)
    assert any("`trainable` state has changed since compile()" in str(warning.message) for warning in caught)
    assert all(np.any(old != numpy(v)) for old, v in zip(before, model.encoder.weights, strict=True))
    compiled(model)
    before = [numpy(v).copy() for v in model.encoder.weights]
    model.fit(images(8), verbose=0)
    assert all(np.array_equal(old, numpy(v)) for old, v in zip(before, model.encoder.weights, strict=True))


def test_latent_dimension_mismatch_is_named():
    from harness import decoder

    from gamix_keras.losses import LaplaceNLL
    from gamix_keras.models import VAE

    with pytest.raises(ValueError, match=f"expected the encoder's {LATENT} latents, got 5"):
        VAE(encoder(), decoder(latent=5), LaplaceNLL())
    with pytest.raises(ValueError, match="decoder: expected output"):
        VAE(encoder(), decoder(), LaplaceNLL("per_pixel"))
    with pytest.raises(ValueError, match="beta: expected a finite number"):
        VAE(encoder(), decoder(), LaplaceNLL(), beta=float("nan"))
