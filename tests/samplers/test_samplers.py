"""Every sampler: its map from noise to latents, temperature, truncation, seeds."""

import re

import keras
import numpy as np
import pytest
from harness import backend, decoder, numpy, round_trip
from sampler_cases import MAKERS, D, second_decoder
from scipy import stats

from gamix_keras.samplers import (
    FullGaussianSampler,
    MixtureSampler,
    PriorSampler,
    SecondStageSampler,
    truncate,
)


@pytest.fixture(params=MAKERS)
def sampler(request):
    return MAKERS[request.param]()


def noise_of(sampler, count=50) -> np.ndarray:
    return np.random.default_rng(7).standard_normal((count, sampler.noise_dim), dtype="float32")


def reference(sampler, noise, temperature=1.0):
    """The map in float64 NumPy, row by row, with the component chosen by the normal distribution function."""
    noise = noise.astype("float64")
    eps = temperature * noise[:, : sampler.scaled_dim]
    if isinstance(sampler, PriorSampler):
        return eps
    if isinstance(sampler, FullGaussianSampler):
        return numpy(sampler.mean) + eps @ numpy(sampler.factor).T
    if isinstance(sampler, SecondStageSampler):
        kernel, bias = (numpy(weight) for weight in sampler.decoder.weights)
        return np.tanh(eps[:, :2] @ kernel + bias) + np.exp(numpy(sampler.log_scale)) * eps[:, 2:]
    means, factors = numpy(sampler.means), numpy(sampler.factors)
    factors = factors if factors.ndim == 3 else np.stack([np.diag(row) for row in factors])
    upper = np.cumsum(np.exp(numpy(sampler.log_weights)))[:-1]
    chosen = np.searchsorted(upper, stats.norm.cdf(noise[:, -1]), side="right")
    return np.stack([means[k] + factors[k] @ row for k, row in zip(chosen, eps, strict=True)])


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_the_map_is_numpys(sampler, temperature):
    noise = noise_of(sampler)
    got = sampler(noise, temperature=temperature)
    assert got.shape == (50, D) and keras.backend.standardize_dtype(got.dtype) == "float32"
    np.testing.assert_allclose(numpy(got), reference(sampler, noise, temperature), rtol=1e-5, atol=1e-5)


def test_a_seed_gives_the_same_latents_and_more_begin_with_fewer(sampler):
    few, many = sampler.sample(5, seed=3), sampler.sample(9, seed=3)
    np.testing.assert_array_equal(few, sampler.sample(5, seed=3))
    np.testing.assert_allclose(few, many[:5], rtol=1e-6, atol=1e-6)
    assert not np.allclose(few, sampler.sample(5, seed=4))
    assert not np.allclose(sampler.sample(5), sampler.sample(5))


def test_blocks_do_not_change_the_latents(sampler, monkeypatch):
    whole = sampler.sample(10, seed=0)
    monkeypatch.setattr("gamix_keras.samplers.base._ROWS", 3)
    np.testing.assert_allclose(sampler.sample(10, seed=0), whole, rtol=1e-6, atol=1e-6)


def test_temperature_zero_gives_the_means(sampler):
    drawn = sampler.sample(40, seed=0, temperature=0.0)
    if isinstance(sampler, MixtureSampler):
        assert {tuple(row) for row in drawn} == {tuple(row) for row in numpy(sampler.means)}
        return
    expected = {
        PriorSampler: lambda: np.zeros(D),
        FullGaussianSampler: lambda: numpy(sampler.mean),
        SecondStageSampler: lambda: numpy(sampler.decoder(np.zeros((1, 2), "float32")))[0],
    }[type(sampler)]()
    np.testing.assert_array_equal(drawn, np.tile(expected.astype("float32"), (40, 1)))


def test_a_mixture_keeps_its_shares_when_temperature_and_truncation_change():
    sampler = MAKERS["mixture"]()
    means = numpy(sampler.means)

    def component(**kwargs):
        drawn = sampler.sample(300, seed=1, **kwargs)
        return np.square(drawn[:, None] - means).sum(-1).argmin(-1)

    np.testing.assert_array_equal(component(temperature=0.0), component(temperature=1e-3, truncation=0.1))


def test_temperature_may_be_a_tensor(sampler):
    noise = noise_of(sampler)
    got = sampler(noise, temperature=keras.ops.convert_to_tensor(0.5, "float32"))
    np.testing.assert_array_equal(numpy(got), numpy(sampler(noise, temperature=0.5)))


@pytest.mark.parametrize("bound", [0.1, 1.0, 2.5])
def test_truncated_noise_follows_the_truncated_normal(bound):
    noise = np.random.default_rng(0).standard_normal(20000, dtype="float32")
    inner = numpy(truncate(noise, bound))
    assert np.abs(inner).max() <= bound
    assert stats.kstest(inner, stats.truncnorm(-bound, bound).cdf).pvalue > 0.01
    # Monotone up to rounding.
    assert np.all(np.diff(inner[np.argsort(noise)]) > -1e-6 * bound)


def test_truncation_survives_the_far_tail_and_wide_bounds():
    noise = np.array([-9.0, -6.0, -1.0, 0.0, 1.0, 6.0, 9.0], "float32")
    np.testing.assert_allclose(numpy(truncate(noise, 2.0))[[0, 3, 6]], [-2, 0, 2], atol=1e-5)
    np.testing.assert_allclose(numpy(truncate(noise, 100.0)), noise, rtol=1e-5)


def test_truncation_bounds_the_prior():
    drawn = PriorSampler(D).sample(2000, seed=0, truncation=0.7, temperature=2.0)
    assert 1.35 < np.abs(drawn).max() <= 1.4


def test_prior_gives_the_latents_of_the_models_own_sampling():
    noise = np.random.default_rng(5).standard_normal((4, D), dtype="float32")
    np.testing.assert_array_equal(PriorSampler(D).sample(4, seed=5), noise)


@pytest.mark.parametrize(("choice", "expected"), [(-50.0, 0), (50.0, -1)])
def test_extreme_choices_are_the_first_and_the_last_component(choice, expected):
    sampler = MAKERS["mixture"]()
    noise = np.array([[0.0] * D + [choice]], "float32")
    np.testing.assert_array_equal(numpy(sampler(noise))[0], numpy(sampler.means)[expected])


def test_a_sampler_is_built_from_the_start(sampler):
    assert sampler.built


def test_nothing_of_a_sampler_trains(sampler):
    shared = [] if not isinstance(sampler, SecondStageSampler) else sampler.decoder.trainable_variables
    assert {id(v) for v in sampler.trainable_variables} == {id(v) for v in shared}


def test_a_configuration_rebuilds_the_sampler(sampler):
    again = round_trip(sampler)
    again.set_weights(sampler.get_weights())
    np.testing.assert_array_equal(again.sample(6, seed=0), sampler.sample(6, seed=0))


def test_a_mixed_precision_policy_leaves_samplers_alone(sampler):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        again = round_trip(sampler)
        again.set_weights(sampler.get_weights())
        got = again.sample(6, seed=0)
    finally:
        keras.config.set_dtype_policy("float32")
    np.testing.assert_array_equal(got, sampler.sample(6, seed=0))


def test_a_second_stage_shares_the_scale_it_is_given():
    scale = keras.Variable(np.log(0.5), name="scale", dtype="float32")
    sampler = SecondStageSampler(second_decoder(), scale)
    scale.assign(np.log(0.25))
    noise = noise_of(sampler)
    np.testing.assert_allclose(numpy(sampler(noise)), reference(sampler, noise), atol=1e-5)
    assert sampler.get_config()["log_scale"] == pytest.approx(np.log(0.25))


@pytest.mark.skipif(backend() != "tensorflow", reason="tf.function is TensorFlow's")
def test_traces_with_any_count_and_temperature(sampler):
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((), tf.int32), tf.TensorSpec((), tf.float32)])
    def draw(count, temperature):
        noise = tf.random.stateless_normal([count, sampler.noise_dim], [0, 0])
        return sampler(noise, temperature=temperature, truncation=2.0)

    for count in (1, 17):
        noise = tf.random.stateless_normal([count, sampler.noise_dim], [0, 0])
        expected = numpy(sampler(noise, temperature=0.5, truncation=2.0))
        np.testing.assert_allclose(numpy(draw(count, 0.5)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: PriorSampler(0), "latent_dim: expected a whole number >= 1, got 0"),
        (lambda: MixtureSampler(D, 0), "components: expected a whole number >= 1, got 0"),
        (lambda: MixtureSampler(D, covariance="tied"), "covariance: expected full or diag, got 'tied'"),
        (lambda: SecondStageSampler(decoder(), 0.0), "decoder: expected a model from (B, U) to (B, D)"),
        (lambda: SecondStageSampler(second_decoder(), keras.Variable([0.0])), "log_scale: expected a scalar, got"),
        (lambda: PriorSampler(D).sample(0), "count: expected at least 1, got 0"),
        (lambda: PriorSampler(D).sample(1, temperature=-1.0), "temperature: expected a number >= 0, got -1.0"),
        (lambda: PriorSampler(D).sample(1, temperature=float("nan")), "temperature: expected a number >= 0, got nan"),
        (lambda: PriorSampler(D).sample(1, truncation=0.0), "truncation: expected a number > 0, or None, got 0.0"),
        (lambda: FullGaussianSampler(D).sample(1), "FullGaussianSampler: expected a fitted sampler"),
        (lambda: MixtureSampler(D).sample(1), "MixtureSampler: expected a fitted sampler"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()
