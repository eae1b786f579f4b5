"""The VAE of latents: its loss, its draws, what it learns, its batches."""

import keras
import numpy as np
import pytest
from harness import compiled, difference, numpy, round_trip, state
from scipy import stats

from gamix_keras.metrics import maximum_mean_discrepancy
from gamix_keras.models import PosteriorBatches, SecondStageVAE
from gamix_keras.networks import SecondStageDecoder, SecondStageEncoder
from gamix_keras.samplers import Posteriors, SecondStageSampler, draw_latents
from gamix_keras.training.pass_noise import SEED, pass_noise


def second_stage(latent_dim=2, width=16, depth=1, **kwargs) -> SecondStageVAE:
    arguments = (latent_dim, width, depth)
    return SecondStageVAE(SecondStageEncoder(*arguments), SecondStageDecoder(*arguments), **{"seed": 0, **kwargs})


def ring(count=512, seed=0) -> Posteriors:
    """Means on a circle of radius 2, each with a spread of 0.1: nothing like a Gaussian."""
    angle = np.random.default_rng(seed).uniform(0, 2 * np.pi, count)
    mean = 2 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return Posteriors(mean.astype("float32"), np.full((count, 2), 2 * np.log(0.1), "float32"))


def beside(posteriors) -> np.ndarray:
    return np.concatenate(posteriors, axis=1)


def sampler_of(model) -> SecondStageSampler:
    return SecondStageSampler(model.decoder, model.log_scale.log_scale)


def fit(model, posteriors, epochs, begin=0, batch_size=64):
    batches = PosteriorBatches(posteriors, batch_size, seed=model.seed, epoch=begin)
    return model.fit(batches, initial_epoch=begin, epochs=epochs, shuffle=False, verbose=0).history


def test_the_loss_is_recomputed_by_hand():
    model, posteriors = second_stage(), ring(16)
    model.log_scale.log_scale.assign(-0.7)
    z = posteriors.mean + np.exp(0.5 * posteriors.log_var) * numpy(pass_noise(0, (16, 2)))
    mean, log_var = (numpy(part).astype("float64") for part in model.encoder(z))
    u = mean + np.exp(0.5 * log_var) * numpy(pass_noise(0, (16, 2), SEED + 1))
    nll = -stats.norm(numpy(model.decoder(u)), np.exp(-0.7)).logpdf(z).sum(1).mean()
    kl = 0.5 * (mean**2 + np.exp(log_var) - 1 - log_var).sum(1).mean()
    logs = compiled(model).evaluate(beside(posteriors), batch_size=16, verbose=0, return_dict=True)
    expected = {"loss": nll + kl, "reconstruction": nll, "kl": kl, "elbo": -nll - kl}
    assert {name: logs[name] for name in expected} == pytest.approx(expected, rel=1e-4)
    assert 0 <= logs["active_units"] <= 2


def test_noise_is_fresh_in_every_step_and_not_shared_by_z_and_u():
    model = second_stage()
    zeros = np.zeros((64, 2), "float32")
    drawn = [numpy(part(zeros, zeros, training=True)) for part in (model.first_sampler, model.sampler) * 2]
    for i, left in enumerate(drawn):
        for right in drawn[:i]:
            assert abs(np.corrcoef(left.ravel(), right.ravel())[0, 1]) < 0.4
    first, second = (numpy(pass_noise(0, (64, 2), SEED + i)) for i in range(2))
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.4


def test_a_ring_is_matched_much_better_than_by_the_prior():
    model = compiled(second_stage(width=64, depth=2), rate=3e-3)
    fit(model, ring(2048), 25)
    real = draw_latents(*ring(1000, seed=1), seed=2)
    drawn = sampler_of(model).sample(1000, seed=3)
    prior = np.random.default_rng(4).standard_normal((1000, 2), dtype="float32")
    learned, unlearned = (maximum_mean_discrepancy(real, other, permutations=1).value for other in (drawn, prior))
    assert learned < 0.25 * unlearned, (learned, unlearned)
    assert np.linalg.norm(drawn, axis=1).mean() == pytest.approx(2.0, abs=0.3)


def test_sampling_is_the_decoder_plus_its_noise():
    model = second_stage(3)
    model.log_scale.log_scale.assign(-1.3)
    noise = np.random.default_rng(5).standard_normal((4, 6), dtype="float32")
    expected = numpy(model.decoder(0.8 * noise[:, :3])) + 0.8 * np.exp(-1.3) * noise[:, 3:]
    np.testing.assert_allclose(sampler_of(model).sample(4, seed=5, temperature=0.8), expected, rtol=1e-5, atol=1e-6)


def test_going_on_from_a_file_is_as_never_having_stopped(tmp_path):
    posteriors = ring(48)
    whole, begun = (compiled(second_stage(seed=3)) for _ in range(2))
    begun.set_weights(whole.get_weights())
    rows = fit(whole, posteriors, 4, batch_size=16)
    fit(begun, posteriors, 2, batch_size=16)
    begun.save(tmp_path / "begun.keras")
    again = keras.saving.load_model(tmp_path / "begun.keras")
    assert fit(again, posteriors, 4, begin=2, batch_size=16)["loss"] == rows["loss"][2:]
    assert difference(state(again), state(whole)) == 0.0


def test_a_configuration_rebuilds_the_model():
    model = second_stage(seed=7)
    again = round_trip(model)
    again.set_weights(model.get_weights())
    assert (again.seed, again.latent_dim, again.data_dim) == (7, 2, 2)
    u = np.ones((3, 2), "float32")
    np.testing.assert_array_equal(numpy(again.decoder(u)), numpy(model.decoder(u)))


@pytest.mark.parametrize("sizes", [(3, 2), (2, 3)])
def test_parts_that_do_not_fit_are_named(sizes):
    with pytest.raises(ValueError, match="SecondStageVAE: decoder: expected the encoder's"):
        SecondStageVAE(SecondStageEncoder(sizes[0], 4, 1), SecondStageDecoder(sizes[1], 4, 1))


@pytest.mark.backend_free
def test_batches_hold_every_posterior_once_in_an_order_of_the_epoch():
    posteriors = Posteriors(np.arange(10, dtype="float32")[:, None], np.zeros((10, 1), "float32"))
    batches = PosteriorBatches(posteriors, 5, seed=1)
    orders = []
    for _ in range(2):
        orders.append(np.concatenate([batches[i][:, 0] for i in range(len(batches))]))
        batches.on_epoch_end()
    assert [sorted(order) for order in orders] == [list(range(10))] * 2
    assert not np.array_equal(*orders)
    resumed = PosteriorBatches(posteriors, 5, seed=1, epoch=1)
    np.testing.assert_array_equal(resumed[0][:, 0], orders[1][:5])


@pytest.mark.backend_free
@pytest.mark.parametrize(("training", "size", "lengths"), [(True, 4, [4, 4]), (False, 4, [4, 4, 2]), (True, 64, [10])])
def test_a_last_batch_that_is_not_whole(training, size, lengths):
    posteriors = Posteriors(np.zeros((10, 2), "float32"))
    batches = PosteriorBatches(posteriors, size, training=training)
    assert [len(batches[i]) for i in range(len(batches))] == lengths
    assert batches[0].shape[1] == 4
    assert batches[0][:, 2:].max() == -30
    with pytest.raises(ValueError, match="batch_size: expected at least 1, got 0"):
        PosteriorBatches(posteriors, 0)
