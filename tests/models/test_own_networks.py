"""Networks, likelihoods, data and files that a model cannot use: one sentence each."""

import warnings

import keras
import numpy as np
import pytest
from harness import SHAPE, compiled, decoder, encoder, gamix, images, numpy, vae
from keras import layers

from gamix_keras.losses import GaussianNLL
from gamix_keras.models import GAMIXVAE, VAE

X = images(8)


def heads(*shapes):
    """An encoder with a head of each number of features, or a feature map if it is None."""
    image = keras.Input(SHAPE)
    flat = layers.Flatten()(image)
    return keras.Model(image, [layers.Conv2D(4, 3, 4)(image) if n is None else layers.Dense(n)(flat) for n in shapes])


@pytest.mark.parametrize(
    ("shapes", "got"),
    [((4, 4, 4), "got 3 outputs"), ((8,), "got 1 output"), ((None, None), r"got \(B, 2, 2, 4\)"), ((4, 3), "got")],
)
def test_an_encoder_of_another_form_is_named(shapes, got):
    with pytest.raises(ValueError, match=rf"VAE: encoder: expected outputs \[mean, log_var\], each \(B, D\), {got}"):
        VAE(heads(*shapes), decoder(), GaussianNLL(1.0))


class Encoder(keras.Model):
    def __init__(self):
        super().__init__()
        self.flat, self.mean, self.log_var = layers.Flatten(), layers.Dense(4), layers.Dense(4)

    def call(self, image):
        return self.mean(self.flat(image)), self.log_var(self.flat(image))


class Decoder(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense, self.form = layers.Dense(int(np.prod(SHAPE))), layers.Reshape(SHAPE)

    def call(self, z):
        return self.form(self.dense(z))


def test_subclassed_networks_work_once_called():
    parts = Encoder(), Decoder()
    with pytest.raises(ValueError, match="encoder: expected a network that knows its input shape, got a Encoder that"):
        VAE(*parts, GaussianNLL(1.0))
    mean = parts[0](X)[0]
    parts[1](mean)
    model = compiled(VAE(*parts, GaussianNLL(1.0)))
    before = numpy(parts[0].mean.kernel).copy()
    model.fit(X, batch_size=8, verbose=0)
    assert model.image_shape == SHAPE and model.latent_dim == 4
    assert np.any(numpy(parts[0].mean.kernel) != before)


def test_a_network_that_was_never_called_is_built_to_fit_the_other():
    called = Encoder()
    called(X)
    for parts in ((called, Decoder()), (encoder(), Decoder()), (Encoder(), decoder())):
        model = compiled(VAE(*parts, GaussianNLL(1.0)))
        before = model.get_weights()
        model.fit(X, batch_size=8, verbose=0)
        assert model.image_shape == SHAPE and model.latent_dim == 4
        assert all(np.any(old != new) for old, new in zip(before, model.get_weights(), strict=True))
    scales = VAE(Encoder(), decoder(channels=2 * SHAPE[-1]), GaussianNLL("per_pixel"))
    assert scales.image_shape == SHAPE


class Critic(keras.Model):
    def __init__(self):
        super().__init__()
        self.patches = layers.Conv2D(1, 3, 2)

    def call(self, image):
        return self.patches(image)


def test_a_subclassed_critic_is_trained():
    judge = Critic()
    model = compiled(GAMIXVAE(encoder(), decoder(), GaussianNLL(1.0), judge))
    before = numpy(judge.patches.kernel).copy()
    model.fit(X, batch_size=8, verbose=0)
    assert np.any(numpy(judge.patches.kernel) != before)


def test_a_likelihood_by_name_is_refused():
    with pytest.raises(ValueError, match="likelihood: expected one of gamix_keras.losses, got 'mse'"):
        VAE(encoder(), decoder(), "mse")


def test_a_loss_and_a_shared_optimizer_are_refused_by_name():
    adam = keras.optimizers.Adam()
    with pytest.raises(ValueError, match=r"compile\(\): loss: expected None, since GAMIXVAE has its own, got 'mse'"):
        gamix().compile(loss="mse")
    with pytest.raises(ValueError, match="critic_optimizer: expected an optimizer of its own"):
        gamix().compile(adam, critic_optimizer=adam)
    with pytest.raises(ValueError, match="expected critic_optimizer; got weighted_metrics"):
        gamix().compile(weighted_metrics=["mae"])


def test_metrics_are_those_of_images_against_reconstructions(tmp_path):
    model = vae()
    model.compile("adam", metrics=["mae", keras.metrics.MeanSquaredError(name="error")])
    history = model.fit(X, batch_size=4, validation_data=(X,), verbose=0).history
    assert {"mae", "val_mae", "error"} <= set(history)
    errors = X - numpy(model.reconstruct(X))
    logs = model.evaluate(X, batch_size=4, verbose=0, return_dict=True)
    assert logs["mae"] == pytest.approx(np.abs(errors).mean(), rel=1e-4)
    assert logs["error"] == pytest.approx((errors**2).mean(), rel=1e-4)
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras").evaluate(X, batch_size=4, verbose=0, return_dict=True)
    assert again == pytest.approx(logs, rel=1e-5)


def test_metrics_names_are_the_names_of_what_evaluate_returns():
    model = compiled(gamix())
    assert len(set(model.metrics_names)) == len(model.metrics_names)
    named = dict(zip(model.metrics_names, model.evaluate(X, verbose=0), strict=True))
    assert named == pytest.approx(model.evaluate(X, verbose=0, return_dict=True))


def test_every_metric_tells_keras_its_direction():
    model = compiled(vae())
    best = keras.callbacks.EarlyStopping("val_psnr", patience=0, restore_best_weights=False)
    model.fit(X, validation_data=(X,), verbose=0, callbacks=[best])
    assert best.monitor_op is keras.ops.greater or best.monitor_op(2.0, 1.0)
    ups = {name for name, tracker in model.trackers.items() if tracker._direction == "up"}
    assert ups == {"elbo", "psnr", "active_units"}


def test_the_old_format_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="save: expected a path that ends in .keras"):
        vae().save(tmp_path / "m.h5")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ((X * 127.5 + 127.5).astype("uint8"), "got uint8; convert bytes with gamix_keras.data.to_unit_range"),
        (X * 127.5 + 127.5, "expected values in .-1, 1., got"),
        (np.where(np.arange(8)[:, None, None, None] == 3, np.nan, X), "expected finite values"),
        (X[..., 0], "add the channel axis"),
        (X[:, :4], r"expected \(B, 8, 8, 3\), got \(B, 4, 8, 3\)"),
    ],
)
def test_pixels_of_another_range_or_form_are_refused(bad, message):
    model = compiled(vae())
    before = model.get_weights()
    with pytest.raises(ValueError, match=message):
        model.fit(bad, verbose=0)
    assert all(np.array_equal(old, new) for old, new in zip(before, model.get_weights(), strict=True))


def test_unit_pixels_are_warned_of():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        compiled(vae()).fit((X + 1) / 2, verbose=0)
    assert sum("looks like [0, 1]; map them with 2 * images - 1" in str(warning.message) for warning in caught) == 1


def test_the_look_at_the_first_batch_takes_nothing_from_a_generator():
    """All batches are trained on, in their order, as from the array; TensorFlow rounds unknown shapes differently."""
    left, right = compiled(vae()), compiled(vae())
    left.fit(X, batch_size=2, shuffle=False, verbose=0)
    right.fit(((X[i : i + 2],) for i in range(0, 8, 2)), shuffle=False, steps_per_epoch=4, verbose=0)
    assert left.steps_done == right.steps_done == 4
    for a, b in zip(left.get_weights(), right.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_the_learning_rates_keep_their_ratio_through_zero_and_are_logged():
    model = gamix()
    model.compile(keras.optimizers.Adam(1e-3), critic_optimizer=keras.optimizers.Adam(4e-3))
    for rate in (0.0, 2e-3):
        model.optimizer.learning_rate = rate
    rates = [float(numpy(optimizer.learning_rate)) for optimizer in model.optimizer.optimizers]
    assert rates == pytest.approx([2e-3, 8e-3])
    halving = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    history = model.fit(X, epochs=2, verbose=0, callbacks=[halving]).history
    assert history["learning_rate"] == pytest.approx([1e-3, 5e-4])
    assert history["critic_learning_rate"] == pytest.approx([4e-3, 2e-3])
    assert {name for name in history if "adam" in name} == set()


def test_set_random_seed_governs_the_noise_of_models_and_samples():
    def drawn(seed):
        keras.utils.set_random_seed(seed)
        model = VAE(encoder(), decoder(), GaussianNLL(1.0))
        return model.seed, numpy(model.sample(2))

    first, same, other = drawn(1), drawn(1), drawn(2)
    assert first[0] == same[0] != other[0]
    np.testing.assert_array_equal(first[1], same[1])
    assert np.any(first[1] != other[1])
    assert vae(seed=7).seed == 7
