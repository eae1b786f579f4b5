"""What may be done to the critic: R1, the adaptive weight, spectral norm, a late start. On every backend."""

import keras
import numpy as np
import pytest
from harness import (
    backend,
    both_phases,
    compiled,
    critic,
    decoder,
    difference,
    encoder,
    gamix,
    images,
    number,
    numpy,
    projected,
    round_trip,
    state,
    vae,
)
from keras import ops

from gamix_keras.callbacks.schedules import Schedule, WeightSchedule
from gamix_keras.config.catalogue import objective_of
from gamix_keras.layers.spectral import SpectralNorm
from gamix_keras.losses import DiscretisedLogisticNLL, LaplaceNLL, gradient_ratio, slope_penalty
from gamix_keras.models import GAMIXVAE, VAE
from gamix_keras.training import Batch

X = images(16)
FIT = {"batch_size": 8, "shuffle": False, "verbose": 0}
OPTIONS = {"r1_weight": 3.0, "adaptive_weight": True}


def test_a_vae_may_have_the_critic_of_gamix():
    """A VAE-GAN: the same networks are judged alike, and the term stands beside the ELBO."""
    options = {"adversarial_weight": 3.0, "seed": 0}
    model = VAE(encoder(), decoder(), LaplaceNLL(0.5), beta=2.0, critic=critic(), **options)
    terms, judged, _ = both_phases(model, X)
    expected = number(terms["reconstruction"]) + 2.0 * number(terms["kl"]) + 3.0 * number(terms["adversarial"])
    assert number(terms["loss"]) == pytest.approx(expected, rel=1e-6)
    others, other, _ = both_phases(gamix(), X)
    assert number(terms["adversarial"]) == pytest.approx(number(others["adversarial"]), rel=1e-6)
    assert number(judged["loss"]) == pytest.approx(number(other["loss"]), rel=1e-6)
    assert [objective_of(each) for each in (model, vae(), gamix())] == ["vae-gan", "vae", "gamix"]


def test_a_vae_trains_with_its_critic_and_is_rebuilt_with_it():
    model = compiled(vae(critic=critic(), **OPTIONS), rate=1e-2)
    kernel = model.critic.layers[1].kernel
    before = numpy(kernel).copy()
    logs = model.fit(X, **FIT).history
    assert np.abs(numpy(kernel) - before).max() > 0 and logs["adaptive_weight"][0] > 0 and logs["critic_r1"][0] > 0
    again = round_trip(model)
    assert again.get_config()["critic"] == model.get_config()["critic"] and again.r1_weight == 3.0
    assert not vae().phase_names[1:] and "adversarial" not in vae().term_weights


def sum_of_logits(model, x):
    return numpy(model.critic(x)).astype("float64").sum(axis=(1, 2, 3))


def test_the_penalty_is_a_finite_difference_of_the_critic():
    """R1 without an autograd: the slope along each pixel's axis."""
    model = gamix(**OPTIONS)
    _, terms, _ = both_phases(model, X)
    x, step = X.reshape(16, -1), 1e-2
    slope = np.zeros(x.shape)
    for i in range(x.shape[1]):
        for sign in (1, -1):
            moved = x.copy()
            moved[:, i] += sign * step
            slope[:, i] += sign * sum_of_logits(model, moved.reshape(X.shape)) / (2 * step)
    patches = np.prod(model.critic.output_shape[1:])
    # The critic is piecewise linear: a step over a kink is where the two may differ.
    assert number(terms["critic_r1"]) == pytest.approx(0.5 * (slope**2).sum(1).mean() / patches, rel=0.02)
    expected = number(terms["critic_real"]) + number(terms["critic_fake"]) + 3.0 * number(terms["critic_r1"])
    assert number(terms["loss"]) == pytest.approx(expected, rel=1e-5)


def test_the_penalty_of_a_linear_critic_by_hand():
    """D(x) = sum of w * x over one patch: R1 = |w|^2 / 2 whatever the images."""
    inputs = keras.Input(X.shape[1:], name="image")
    outputs = keras.layers.Conv2D(1, 8, padding="valid", use_bias=False)(inputs)
    judge = keras.Model(inputs, outputs)
    model = GAMIXVAE(encoder(), decoder(), LaplaceNLL(), judge, r1_weight=1.0)
    weights = numpy(judge.layers[-1].kernel)
    assert number(both_phases(model, X)[1]["critic_r1"]) == pytest.approx(0.5 * (weights**2).sum(), rel=1e-5)
    assert number(slope_penalty(2.0 * np.ones((5, 2, 2, 1)), 4)) == pytest.approx(0.5 * 16 / 4)


def moved_by_sgd(rate, **kwargs):
    """How one step moved the critic's variables, and the terms before it."""
    model = gamix(critic_weight=1.0, **kwargs)
    model.compile(keras.optimizers.SGD(0.0), critic_optimizer=keras.optimizers.SGD(rate))
    before = [numpy(v).copy() for v in model.critic.trainable_variables]
    terms = both_phases(model, X)[1]
    model.fit(X, batch_size=16, shuffle=False, verbose=0)
    return model, [numpy(v) - b for v, b in zip(model.critic.trainable_variables, before, strict=True)], terms


def test_the_penalty_moves_the_critic_against_its_slope():
    """The gradient that a compiled step applies is that of the penalty: the first-order change of R1 is right."""
    rate = 1e-4
    _, plain, _ = moved_by_sgd(rate)
    model, penalised, terms = moved_by_sgd(rate, r1_weight=3.0)
    step = [(a - b) for a, b in zip(penalised, plain, strict=True)]
    fresh = gamix(r1_weight=3.0)
    for variable, change in zip(fresh.critic.trainable_variables, step, strict=True):
        variable.assign_add(change)
    drop = number(terms["critic_r1"]) - number(both_phases(fresh, X)[1]["critic_r1"])
    # Gradient descent: the change is -rate * gamma * gradient, so R1 falls by |change|^2 / (rate * gamma).
    predicted = sum((change.astype("float64") ** 2).sum() for change in step) / (rate * 3.0)
    assert drop == pytest.approx(predicted, rel=0.03) and drop > 0


def kernel_gradients_by_hand(model, x):
    """Gradients of the two terms by the decoder's last kernel, by a plain autograd through the whole model."""
    kernel = model.decoder.layers[-1].kernel

    def terms():
        mean, log_var, z = model.posterior(Batch.of(x), False)
        output = model.decoder(z)
        logits = model.critic(model.likelihood.location(output))
        adversarial = model.generator_loss(ops.ones_like(logits), logits)
        return model.negative_log_likelihood(x, output), adversarial

    if backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape(persistent=True) as tape:
            tape.watch(kernel.value)
            values = terms()
        return [tape.gradient(value, kernel.value).numpy() for value in values]
    if backend() == "torch":
        import torch

        values = terms()
        return [torch.autograd.grad(value, kernel.value, retain_graph=True)[0].numpy() for value in values]
    import jax

    def of(value, i):
        with keras.StatelessScope(state_mapping=[(kernel, value)]):
            return terms()[i]

    return [np.asarray(jax.grad(of)(kernel.value, i)) for i in (0, 1)]


LIKELIHOODS = {"laplace": (LaplaceNLL(0.5), 3), "per_pixel": (DiscretisedLogisticNLL("per_pixel"), 6)}


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_the_adaptive_weight_is_the_ratio_of_gradients(name):
    likelihood, channels = LIKELIHOODS[name]
    model = GAMIXVAE(encoder(), decoder(channels=channels), likelihood, critic(), adversarial_weight=2.0, **OPTIONS)
    terms, _, _ = both_phases(model, X, training=False)
    rec, adv = (np.linalg.norm(g) for g in kernel_gradients_by_hand(model, ops.convert_to_tensor(X)))
    weight = number(terms["adaptive_weight"])
    assert weight == pytest.approx(rec / (adv + 1e-4), rel=1e-4)
    assert 1 < weight < 1e4
    expected = number(terms["reconstruction"]) + number(terms["global"]) + 0.1 * number(terms["variance"])
    assert number(terms["loss"]) == pytest.approx(expected + 2.0 * weight * number(terms["adversarial"]), rel=1e-5)


def test_the_adaptive_weight_is_clipped_and_has_no_gradient():
    ones = np.ones((3, 3), "float32")
    assert number(gradient_ratio(ones, 0 * ones)) == 1e4
    assert number(gradient_ratio(0 * ones, ones)) == 0.0
    assert number(gradient_ratio(2 * ones, ones)) == pytest.approx(2.0, rel=1e-4)


def moved_autoencoder(judge, **kwargs):
    keras.utils.set_random_seed(5)
    model = gamix(judge=judge(), **kwargs)
    model.sampler.draw = lambda mean, log_var, seed=0: mean
    model.sampler.call = lambda mean, log_var, training=False: mean
    model.compile(keras.optimizers.SGD(1e-5))
    before = [numpy(v).copy() for v in model.autoencoder_variables]
    logs = model.fit(X, batch_size=16, shuffle=False, verbose=0).history
    return logs, [numpy(v) - b for v, b in zip(model.autoencoder_variables, before, strict=True)]


@pytest.mark.parametrize("judge", [critic, projected])
def test_a_step_with_the_adaptive_weight_is_a_step_with_that_weight(judge):
    """The gradient through the critic, taken once and reused, is the whole gradient of the weighted term."""
    logs, adaptive = moved_autoencoder(judge, adaptive_weight=True, adversarial_weight=0.7)
    _, fixed = moved_autoencoder(judge, adversarial_weight=0.7 * logs["adaptive_weight"][0])
    for left, right in zip(adaptive, fixed, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-3, atol=1e-3 * np.abs(right).max())


def calls_of(network):
    seen, original = [], network.call
    network.call = lambda *args, **kwargs: (seen.append(1), original(*args, **kwargs))[1]
    return seen


def test_the_passes_of_a_step():
    """One of the encoder and one of the decoder; the critic judges once for the generator and once for itself."""
    model = compiled(gamix(**OPTIONS), run_eagerly=True, jit_compile=False)
    first_of_decoder = next(layer for layer in model.decoder.layers if layer.variables)
    seen = [calls_of(part) for part in (model.encoder, first_of_decoder, model.critic)]
    model.train_on_batch(X)
    assert [len(calls) for calls in seen] == [1, 1, 2]


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_with_every_option_it_trains_resumes_and_reloads_exactly(dtype, tmp_path):
    ramp = Schedule(end=1.0, length=3, delay=1)
    start_late = lambda: WeightSchedule("adversarial", ramp)  # noqa: E731
    constraint = SpectralNorm()
    judge = critic(dtype=dtype, constraint=constraint)
    parts = (encoder(dtype=dtype), decoder(dtype=dtype), LaplaceNLL("learned"), judge)
    whole = compiled(GAMIXVAE(*parts, adversarial_weight=1.0, **OPTIONS))
    whole.fit(X, epochs=2, callbacks=[start_late()], validation_data=(X,), **FIT)
    whole.save(tmp_path / "half.keras")
    resumed = keras.saving.load_model(tmp_path / "half.keras")
    assert (resumed.r1_weight, resumed.adaptive_weight) == (3.0, True)
    logs = [m.fit(X, epochs=3, initial_epoch=2, callbacks=[start_late()], **FIT).history for m in (whole, resumed)]
    assert logs[0] == logs[1] and difference(state(whole), state(resumed)) == 0.0
    assert {"critic_r1", "adaptive_weight"} <= set(logs[0])
    for layer in judge.layers[1:]:
        if hasattr(layer, "kernel"):
            kernel = numpy(layer.kernel)
            assert np.linalg.norm(kernel.reshape(-1, kernel.shape[-1]), 2) == pytest.approx(1.0, abs=0.01)


def test_options_without_a_critic_are_left_out():
    model = compiled(gamix(with_critic=False, **OPTIONS))
    assert "critic_r1" not in model.trackers and "adaptive_weight" not in model.trackers
    assert np.isfinite(model.fit(X, **FIT).history["loss"][0])


def test_wrong_uses_are_named():
    with pytest.raises(ValueError, match="r1_weight: expected a finite number >= 0, got -1"):
        gamix(r1_weight=-1.0)
    inputs = keras.Input((4,), name="z")
    x = keras.layers.Dense(8 * 8 * 3)(keras.layers.Dense(2)(inputs))
    around = keras.layers.Reshape((8, 8, 3))(keras.layers.Add()([x, ops.tile(inputs, (1, 48))]))
    for outputs in (around, keras.layers.Reshape((8, 8, 3))(ops.tile(inputs, (1, 48)))):
        with pytest.raises(ValueError, match="decoder: expected a functional model whose output"):
            GAMIXVAE(encoder(), keras.Model(inputs, outputs), LaplaceNLL(), critic(), adaptive_weight=True)
