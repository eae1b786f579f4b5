"""An encoder that rests, to the bit, while the decoder trains on."""

import keras
import numpy as np
import pytest
from harness import LATENT, SHAPE, compiled, critic, decoder, difference, gamix, images, initializer, numpy, state, vae

from gamix_keras.callbacks import EMAWeights, EncoderFreeze
from gamix_keras.losses import LaplaceNLL
from gamix_keras.models import GAMIXVAE
from gamix_keras.training import Batch

X = images(24)


def normalised(**options):
    """A model with a critic, whose encoder has statistics and dropout."""
    inputs = keras.Input(SHAPE)
    x = keras.layers.Conv2D(4, 3, 2, "same", kernel_initializer=initializer(1))(inputs)
    x = keras.layers.Dropout(0.3, seed=3)(keras.layers.BatchNormalization()(x))
    x = keras.layers.Flatten()(keras.layers.ReLU()(x))
    heads = [keras.layers.Dense(LATENT, kernel_initializer=initializer(2 + i))(x) for i in range(2)]
    encoder = keras.Model(inputs, heads, name="encoder")
    return GAMIXVAE(encoder, decoder(), LaplaceNLL(0.5), critic(), seed=0, adversarial_weight=1.0, **options)


def values(variables):
    return [numpy(variable).copy() for variable in variables]


def same(before, after):
    return [np.array_equal(one, other) for one, other in zip(before, after, strict=True)]


class Watch(keras.callbacks.Callback):
    """Notes the encoder and its average as they are in the midst of training."""

    def __init__(self):
        super().__init__()
        self.encoders, self.averages = [], []

    def on_train_batch_end(self, batch, logs=None):
        if hasattr(self.model, "jax_state_sync"):
            self.model.jax_state_sync()
        self.encoders.append(values(self.model.encoder.weights))
        count = len(self.model.encoder.weights)
        self.averages.append(values(self.model.ema.averages[:count]))


def test_weights_statistics_and_averages_rest_from_the_step_on_and_the_rest_moves():
    model, watch = compiled(normalised(ema_decay=0.9), rate=1e-2), Watch()
    model.guard_steps()
    fit = {"batch_size": 8, "shuffle": False, "verbose": 0, "validation_data": (X,)}
    model.fit(X, epochs=3, callbacks=[EncoderFreeze(4), EMAWeights(), watch], **fit)
    moved = [not all(same(*pair)) for pair in zip(watch.encoders[:3], watch.encoders[1:4], strict=True)]
    assert all(moved)
    # From the first step after it on: the encoder is its average, and stays it.
    for encoder, average in zip(watch.encoders[4:], watch.averages[4:], strict=True):
        assert all(same(watch.averages[3], encoder)) and all(same(watch.averages[3], average))
    before = values([*model.decoder.weights, *model.critic.weights])
    model.fit(X, epochs=4, initial_epoch=3, **fit)
    assert not any(same(before, values([*model.decoder.weights, *model.critic.weights])))
    assert all(same(watch.encoders[-1], values(model.encoder.weights)))


def test_the_posteriors_in_training_are_those_of_inference():
    model = compiled(normalised())
    model.fit(X, verbose=0)
    model.freeze_encoder()
    for found, wanted in zip(model.posterior(Batch.of(X), True)[:2], model.encode(X), strict=True):
        np.testing.assert_array_equal(numpy(found), numpy(wanted))


@pytest.mark.parametrize("options", [{"clipnorm": 1.0}, {"gradient_accumulation_steps": 2}, {"weight_decay": 0.1}])
def test_every_optimizer_leaves_it_alone(options):
    model = vae()
    model.compile(keras.optimizers.Adam(1e-2, **options))
    model.fit(X, batch_size=8, verbose=0)
    before = values(model.encoder.weights)
    model.freeze_encoder()
    moving = values(model.decoder.weights)
    model.fit(X, batch_size=8, epochs=2, verbose=0)
    assert all(same(before, values(model.encoder.weights)))
    assert not any(same(moving, values(model.decoder.weights)))


def test_a_loss_scale_leaves_it_alone():
    model = compiled(gamix(dtype="mixed_float16"))
    before = values(model.encoder.weights)
    model.freeze_encoder()
    model.fit(X, batch_size=8, verbose=0)
    assert all(same(before, values(model.encoder.weights)))


def test_a_step_of_the_decoder_is_the_one_that_it_would_have_made():
    """With a resting encoder, the first step moves the decoder as if nothing rested."""
    free, frozen = compiled(vae()), compiled(vae())
    frozen.freeze_encoder()
    for model in (free, frozen):
        model.train_on_batch(X)
    for one, other in zip(free.decoder.weights, frozen.decoder.weights, strict=True):
        np.testing.assert_allclose(numpy(one), numpy(other), atol=1e-6)


def test_a_resumed_training_ends_the_same_to_the_bit(tmp_path):
    straight, half = (compiled(normalised(ema_decay=0.9)) for _ in range(2))
    fit = {"batch_size": 8, "shuffle": False, "verbose": 0}
    straight.fit(X, epochs=3, callbacks=[EncoderFreeze(4)], **fit)
    half.fit(X, epochs=2, callbacks=[EncoderFreeze(4)], **fit)
    half.save(tmp_path / "half.keras")
    resumed = keras.saving.load_model(tmp_path / "half.keras")
    resumed.fit(X, epochs=3, initial_epoch=2, callbacks=[EncoderFreeze(4)], **fit)
    assert difference(state(straight), state(resumed)) == 0.0
