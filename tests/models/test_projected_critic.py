"""A critic on a frozen network, draws that it judges, a running ratio, augmentation. On every backend."""

import zipfile

import keras
import numpy as np
import pytest
from harness import (
    both_phases,
    compiled,
    critic,
    difference,
    features,
    gamix,
    gradient,
    images,
    number,
    numpy,
    projected,
    state,
)
from keras import ops

from gamix_keras.training import Batch

X = images(16)
FIT = {"batch_size": 8, "shuffle": False, "verbose": 0}
EVERYTHING = {
    "adversarial": "hinge",
    "adaptive_weight": True,
    "adaptive_every": 2,
    "adversarial_samples": 0.5,
    "augment": "colour,translation",
}


def phases(model, training=False):
    return both_phases(model, X, training)


def warm(model, mean=1.0):
    """The model with moments of q(z) that are warm: mean `mean` and covariance 1.5 I."""
    averages = model.draws.moments.averages
    size = averages["first"].shape[0]
    values = {"first": np.full(size, mean), "second": np.eye(size), "within": np.full(size, 0.5), "weight": 0.9}
    for name, value in values.items():
        averages[name].assign(value)
    return model


def test_hinge_terms_in_numpy():
    """The mean over stages of the mean over patches; the real ones lie above 1 here and there."""
    model = gamix(judge=projected(), adversarial="hinge")
    for variable in model.critic.trainable_variables:
        variable.assign(3.0 * ops.convert_to_tensor(variable))
    first, second, carry = phases(model)
    fakes = model.decoder(model.posterior(Batch.of(X), False)[2])
    real, fake = ([numpy(part) for part in model.critic(x)] for x in (X, fakes))
    np.testing.assert_allclose(numpy(carry["fake"][1]), numpy(model.critic.see(fakes)[1]), atol=1e-5)
    mean = lambda parts: np.mean([part.mean() for part in parts])  # noqa: E731
    assert number(first["adversarial"]) == pytest.approx(-mean(fake), rel=1e-4, abs=1e-6)
    assert number(second["critic_real"]) == pytest.approx(mean([np.maximum(0, 1 - part) for part in real]), rel=1e-4)
    assert number(second["critic_fake"]) == pytest.approx(mean([np.maximum(0, 1 + part) for part in fake]), rel=1e-4)


def test_the_penalty_is_on_the_slope_of_all_logits_through_the_frozen_network():
    model = gamix(judge=projected(), r1_weight=2.0)
    terms = phases(model)[1]
    slope = gradient(lambda x: sum(ops.sum(part) for part in model.critic(x)), X)
    patches = sum(np.prod(part.shape[1:]) for part in model.critic(X))
    assert number(terms["critic_r1"]) == pytest.approx(0.5 * (slope**2).sum((1, 2, 3)).mean() / patches, rel=1e-4)


def test_an_idle_critic_costs_nothing_and_moves_nothing():
    model = compiled(gamix(judge=projected(), **EVERYTHING, critic_weight=0.0), run_eagerly=True, jit_compile=False)
    # JAX traces what it does not run, so whatever came of the frozen network shows.
    model.critic.see = lambda x: [ops.full((ops.shape(x)[0], *each), np.nan) for each in model.critic.map_shapes]
    before = [numpy(v).copy() for v in model.critic.variables]
    logs = model.fit(X, validation_data=(X,), **FIT).history
    for old, new in zip(before, model.critic.variables, strict=True):  # the constraint rounds its kernels
        np.testing.assert_allclose(numpy(new), old, rtol=1e-5)
    assert np.isfinite([value for values in logs.values() for value in values]).all()
    assert logs["adversarial"] == logs["critic"] == logs["val_critic"] == [0.0]
    assert number(model.phase_steps("critic")[0]) == 0 and number(model.balance.steps) == 0


def test_the_critic_s_first_step_is_the_same_whenever_it_comes():
    """Idle steps do not count for Adam, which would step ten times as far."""
    moves = []
    for idle in (0, 3):
        keras.utils.set_random_seed(1)
        model = gamix(judge=projected(), adversarial_weight=0.0)
        model.compile(keras.optimizers.SGD(0.0), critic_optimizer=keras.optimizers.Adam(1e-3, beta_1=0.0))
        model.term_weights["critic"].assign(0.0)
        before = [numpy(v).copy() for v in model.critic.trainable_variables if v.name == "bias"]
        for step in range(idle + 1):
            if step == idle:
                model.term_weights["critic"].assign(1.0)
            model.train_on_batch(X)
        after = [numpy(v) for v in model.critic.trainable_variables if v.name == "bias"]
        moves.append([new - old for old, new in zip(before, after, strict=True)])
    for left, right in zip(*moves, strict=True):
        assert np.abs(left).max() == pytest.approx(1e-3, rel=0.05)
        assert np.abs(right).max() == pytest.approx(1e-3, rel=0.05)


def moved(judge, is_warm=True, **kwargs):
    """How one step moved encoder and decoder, with no noise but that of the draws."""
    model = gamix(judge=judge, **kwargs)
    model.sampler.call = lambda mean, log_var, training=False: mean
    if model.draws is not None and is_warm:
        warm(model)
    model.compile(keras.optimizers.SGD(1e-5))
    parts = [model.encoder.trainable_variables, model.decoder.trainable_variables]
    before = [[numpy(v).copy() for v in part] for part in parts]
    logs = model.fit(X, batch_size=16, shuffle=False, verbose=0).history
    pairs = zip(parts, before, strict=True)
    steps = [np.concatenate([(numpy(v) - old).ravel() for v, old in zip(*pair, strict=True)]) for pair in pairs]
    return steps, {name: values[0] for name, values in logs.items()}


def test_draws_are_fakes_of_the_decoder_and_not_of_the_encoder():
    """With 8 draws beside 16 reconstructions the encoder's pull is that of 16 in 24; the decoder's is more."""
    (encoder, decoder), without = moved(critic(), adversarial_weight=300.0)
    (encoder_0, decoder_0), _ = moved(critic(), adversarial_weight=0.0)
    (encoder_s, decoder_s), with_draws = moved(critic(), adversarial_weight=300.0, adversarial_samples=0.5)
    expected = encoder_0 + (encoder - encoder_0) * 16 / 24
    scale = np.abs(encoder - encoder_0).max()
    np.testing.assert_allclose(encoder_s, expected, atol=0.02 * scale)
    shared = decoder_0 + (decoder - decoder_0) * 16 / 24
    assert np.abs(decoder_s - shared).max() > 0.2 * np.abs(decoder - decoder_0).max()
    assert with_draws["adversarial"] != without["adversarial"]


def test_there_are_no_draws_before_the_moments_are_warm():
    plain, logs = moved(critic(), adversarial_weight=300.0)
    cold, others = moved(critic(), is_warm=False, adversarial_weight=300.0, adversarial_samples=0.5)
    for left, right in zip(plain, cold, strict=True):
        np.testing.assert_allclose(left, right, atol=1e-3 * np.abs(left).max())
    assert others["critic_fake"] == pytest.approx(logs["critic_fake"], rel=1e-4)


def test_the_critic_judges_decodings_of_a_gaussian_of_q():
    model = warm(gamix(judge=critic(), adversarial_samples=0.5), mean=3.0)
    _, terms, carry = phases(model, training=True)
    fakes, weights = numpy(carry["fake"][0]), numpy(carry["fake_weights"])
    assert fakes.shape == (24, *X.shape[1:])
    np.testing.assert_allclose(weights, np.ones(24), rtol=1e-5)
    logits = numpy(model.critic(fakes))
    assert number(terms["critic_fake"]) == pytest.approx(np.log1p(np.exp(logits)).mean(), rel=1e-4)
    again = warm(gamix(judge=critic(), adversarial_samples=0.5), mean=3.0)
    z = np.concatenate([numpy(again.draws.draw(again.draws.noise(8))) for _ in range(300)])
    np.testing.assert_allclose(z.mean(0), np.full(4, 3.0), atol=0.1)
    np.testing.assert_allclose(np.cov(z.T), 1.5 * np.eye(4), atol=0.15)


def test_validation_judges_reconstructions_as_they_are():
    options = {"adversarial_samples": 0.5, "augment": "colour"}
    plain, changed = gamix(judge=critic()), warm(gamix(judge=critic(), **options))
    for left, right in zip(phases(plain)[:2], phases(changed)[:2], strict=True):
        assert {name: number(left[name]) for name in ("adversarial", "critic_fake") if name in left} == {
            name: pytest.approx(number(right[name]), rel=1e-5)
            for name in ("adversarial", "critic_fake")
            if name in left
        }


@pytest.mark.parametrize("judge", [critic, projected])
def test_the_running_ratio_is_that_of_every_step_now_and_then(judge):
    """At steps 0 and 3 it is taken, as `adaptive_every=1` has it, and averaged 0.8 to 0.2."""
    options = {"adversarial_weight": 1.0, "adaptive_weight": True}
    keras.utils.set_random_seed(3)
    running = gamix(judge=judge(), **options, adaptive_every=3)
    each = gamix(judge=running.critic, **options)
    for model in (running, each):
        model.sampler.call = lambda mean, log_var, training=False: mean
    seen, ratios = [], []
    for _ in range(4):
        ratios.append(number(phases(each, training=True)[0]["adaptive_weight"]))
        seen.append(number(phases(running, training=True)[0]["adaptive_weight"]))
        for model in (running, each):
            for variable in model.decoder.trainable_variables:
                variable.assign(1.5 * ops.convert_to_tensor(variable))
    expected = [ratios[0]] * 3 + [0.8 * ratios[0] + 0.2 * ratios[3]]
    np.testing.assert_allclose(seen, expected, rtol=1e-3)
    assert abs(ratios[3] / ratios[0] - 1) > 0.05


@pytest.mark.parametrize(("judge", "dtype"), [(projected, "mixed_bfloat16"), (critic, "float32")])
def test_with_everything_it_resumes_and_reloads_exactly(judge, dtype, tmp_path):
    whole = warm(compiled(gamix(judge=judge(dtype=dtype), dtype=dtype, **EVERYTHING)))
    frozen = [numpy(v).copy() for v in whole.critic.frozen().weights] if judge is projected else []
    whole.fit(X, epochs=2, validation_data=(X,), **FIT)
    whole.save(tmp_path / "half.keras")
    resumed = keras.saving.load_model(tmp_path / "half.keras")
    assert {name: getattr(resumed, name) for name in EVERYTHING} == EVERYTHING
    assert numpy(resumed.sample(2, seed=0)).shape == (2, *X.shape[1:])
    if judge is projected:
        resumed.critic.use(features())
    logs = [model.fit(X, epochs=3, initial_epoch=2, **FIT).history for model in (whole, resumed)]
    assert logs[0] == logs[1] and difference(state(whole), state(resumed)) == 0.0
    assert logs[0]["adaptive_weight"][0] > 0 and number(whole.balance.steps) == 6
    for old, new in zip(frozen, whole.critic.frozen().weights if frozen else (), strict=True):
        np.testing.assert_array_equal(old, numpy(new))


def test_a_file_holds_nothing_of_the_frozen_network(tmp_path):
    model = compiled(gamix(judge=projected()))
    own = {id(v) for v in model.variables}
    assert not own & {id(v) for v in model.critic.frozen().variables}
    model.save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        assert b"features" not in archive.read("model.weights.h5")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.count_params() == model.count_params()
    with pytest.raises(ValueError, match="call critic.use"):
        loaded.fit(X, **FIT)


def test_wrong_uses_are_named():
    with pytest.raises(ValueError, match="augment: expected one of none; colour; .*, got 'cutout'"):
        gamix(augment="cutout")
    with pytest.raises(ValueError, match="adversarial_samples: expected a finite number >= 0, got -1"):
        gamix(adversarial_samples=-1)
    with pytest.raises(ValueError, match="every: expected a positive integer, got 0"):
        gamix(adaptive_weight=True, adaptive_every=0)
