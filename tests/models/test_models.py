"""What the models compute: terms, encode, decode, sample, saving."""

import keras
import numpy as np
import pytest
from harness import LATENT, SHAPE, compiled, decoder, encoder, gamix, images, numpy, round_trip, vae

from gamix_keras.losses import BernoulliNLL, DiscretisedLogisticNLL, GaussianNLL, LaplaceNLL
from gamix_keras.losses.likelihoods import soft_floor
from gamix_keras.models import GAMIXVAE, VAE
from gamix_keras.training import Batch

X = images(16)


def _terms(model, training=False):
    terms, _ = model.autoencoder_losses(Batch.of(X), training, {})
    return {name: float(numpy(value)) for name, value in terms.items() if not isinstance(value, tuple)}


def test_vae_loss_is_the_negative_elbo():
    terms = _terms(vae())
    assert terms["loss"] == pytest.approx(terms["reconstruction"] + terms["kl"], rel=1e-5)
    assert terms["elbo"] == pytest.approx(-terms["loss"], rel=1e-5)
    assert _terms(vae(beta=4.0))["loss"] == pytest.approx(terms["reconstruction"] + 4 * terms["kl"], rel=1e-5)


def test_reconstruction_is_recomputed_by_hand():
    model = vae(LaplaceNLL(0.5))
    mean, log_var, z = (numpy(t) for t in model.posterior(Batch.of(X), False))
    y = numpy(model.decoder(z))
    expected = (np.abs(X - y) / 0.5 + np.log(2 * 0.5)).sum((1, 2, 3)).mean()
    assert _terms(model)["reconstruction"] == pytest.approx(expected, rel=1e-4)


def test_gamix_loss_is_the_weighted_sum():
    model = gamix(global_weight=2.0, variance_weight=0.3, adversarial_weight=5.0)
    terms = _terms(model)
    expected = terms["reconstruction"] + 2 * terms["global"] + 0.3 * terms["variance"] + 5 * terms["adversarial"]
    assert terms["loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("moments", ["means", "total", "full", "mixture"])
def test_global_term_recomputed_by_hand(moments):
    model = gamix(moments=moments, with_critic=False)
    mean, log_var, z = (numpy(t).astype("float64") for t in model.posterior(Batch.of(X), False))
    within = np.exp(log_var).mean(0)
    cov = np.cov(mean.T, bias=True)
    if moments == "mixture":
        ratio = -0.5 * ((z[:, None] - mean) ** 2 / np.exp(log_var) + log_var).sum(-1)
        expected = (np.log(np.exp(ratio).mean(1)) + 0.5 * (z**2).sum(-1)).mean()
    else:
        s = {
            "means": np.diag(np.diag(cov)),
            "total": np.diag(np.diag(cov) + within),
            "full": cov + np.diag(within),
        }
        m, s = mean.mean(0), s[moments]
        expected = 0.5 * (np.trace(s) + m @ m - LATENT - np.linalg.slogdet(s)[1])
    assert _terms(model)["global"] == pytest.approx(expected, rel=1e-3)


def test_critic_sees_the_generator_s_own_reconstruction():
    model = gamix()
    x = Batch.of(X)
    _, carry = model.autoencoder_losses(x, True, {})
    fake = numpy(carry["fake"][0])
    terms, _ = model.critic_losses(x, True, carry)
    logits = numpy(model.critic(np.concatenate([X, fake])))
    real, made = logits[:16], logits[16:]
    assert float(numpy(terms["critic_real"])) == pytest.approx(np.log1p(np.exp(-real)).mean(), rel=1e-4)
    assert float(numpy(terms["critic_fake"])) == pytest.approx(np.log1p(np.exp(made)).mean(), rel=1e-4)


def test_encode_decode_reconstruct_sample():
    model = vae()
    mean, log_var = model.encode(X)
    assert mean.shape == log_var.shape == (16, LATENT)
    np.testing.assert_allclose(numpy(model.reconstruct(X)), numpy(model.decode(mean)), atol=1e-5)
    np.testing.assert_allclose(model.predict(X, verbose=0), numpy(model.reconstruct(X)), atol=1e-5)
    samples = [numpy(model.sample(5, seed=s)) for s in (1, 1, 2)]
    assert samples[0].shape == (5, *SHAPE)
    np.testing.assert_array_equal(samples[0], samples[1])
    assert not np.allclose(samples[0], samples[2])
    cold = numpy(model.sample(2, seed=1, temperature=0.0))
    np.testing.assert_allclose(cold[0], cold[1], atol=1e-5)
    assert np.abs(cold).max() <= 1.0
    with pytest.raises(ValueError, match="count >= 1"):
        model.sample(0)


LIKELIHOODS = [LaplaceNLL("learned"), GaussianNLL("optimal"), GaussianNLL("learned"), BernoulliNLL()]


@pytest.mark.parametrize("likelihood", [*LIKELIHOODS, DiscretisedLogisticNLL()])
def test_every_likelihood_trains_and_saves(likelihood, tmp_path):
    model = compiled(vae(likelihood), rate=1e-2)
    history = model.fit(X, batch_size=8, epochs=6, verbose=0).history["loss"]
    assert history[-1] < history[0]
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(numpy(loaded.reconstruct(X)), numpy(model.reconstruct(X)))


def test_scale_per_pixel_comes_from_the_decoder():
    model = compiled(VAE(encoder(), decoder(channels=6), GaussianNLL("per_pixel")), rate=1e-2)
    history = model.fit(X, batch_size=8, epochs=6, verbose=0).history["loss"]
    assert history[-1] < history[0]
    assert numpy(model.reconstruct(X)).shape == X.shape


def test_gamix_with_a_scale_per_pixel_shows_the_critic_the_image_only():
    from harness import critic

    model = compiled(GAMIXVAE(encoder(), decoder(channels=6), LaplaceNLL("per_pixel"), critic()))
    assert np.isfinite(model.train_on_batch(X, return_dict=True)["critic"])


def test_model_config_round_trip():
    model = gamix(moments="full", momentum=0.9, adversarial="hinge", variance_weight=0.2, seed=3)
    again = round_trip(model)
    for name in ("moments", "momentum", "adversarial", "seed"):
        assert getattr(again, name) == getattr(model, name)
    assert float(numpy(again.term_weights["variance"])) == pytest.approx(0.2)
    assert again.get_config().keys() == model.get_config().keys()


def test_mixture_estimate_has_no_running_moments():
    with pytest.raises(ValueError, match="momentum"):
        gamix(moments="mixture", momentum=0.9)


def test_active_units_count_the_means_that_move():
    model = compiled(vae())
    for weight in model.encoder.get_layer("mean").trainable_variables:
        value = numpy(weight).copy()
        value[..., 1:] = 0
        weight.assign(value)
    assert model.evaluate(X, verbose=0, return_dict=True)["active_units"] == 1


def test_standard_vae_with_a_huge_beta_collapses_and_gamix_does_not():
    x = images(64)
    options = {"batch_size": 32, "epochs": 150, "verbose": 0}
    collapsed, alive = (
        compiled(vae(beta=300.0), 1e-2),
        compiled(gamix(with_critic=False, global_weight=300.0), 1e-2),
    )
    for model in (collapsed, alive):
        model.fit(x, **options)
    units = [m.evaluate(x, verbose=0, return_dict=True)["active_units"] for m in (collapsed, alive)]
    assert units == [0, LATENT]


def test_capacity_pulls_the_kl_to_its_target_from_both_sides():
    kl = _terms(vae())["kl"]
    for capacity in (0.0, kl + 3.0):
        model = vae(beta=10.0, capacity=capacity)
        terms = _terms(model)
        assert terms["kl"] == pytest.approx(kl, rel=1e-5)
        assert terms["loss"] == pytest.approx(terms["reconstruction"] + 10.0 * abs(kl - capacity), rel=1e-5)
    assert round_trip(model).capacity == capacity and "capacity" not in vae().term_weights
    model.term_weights["capacity"].assign(kl)
    assert _terms(model)["loss"] == pytest.approx(terms["reconstruction"], rel=1e-5)
    with pytest.raises(ValueError, match="capacity: expected a finite number >= 0, got -1"):
        vae(capacity=-1.0)


@pytest.mark.parametrize("likelihood", [LaplaceNLL, GaussianNLL])
def test_validation_with_an_optimal_scale_is_a_bound_whatever_the_batches(likelihood):
    model = compiled(vae(likelihood("optimal")))
    model.fit(X, batch_size=8, epochs=2, verbose=0)
    average = model.average_distance(keras.ops.zeros(()))
    scale = float(np.exp(numpy(soft_floor(model.likelihood.optimal_log_scale(average)))))
    output = np.repeat(X[:1], 16, 0)
    expected = float(likelihood(scale)(X, output))
    one_by_one = [float(model.negative_log_likelihood(X[i : i + 1], output[:1], training=False)) for i in range(16)]
    assert float(model.negative_log_likelihood(X, output, training=False)) == pytest.approx(expected, rel=1e-4)
    assert np.mean(one_by_one) == pytest.approx(expected, rel=1e-4)
    best = float(likelihood("optimal")(X, output))
    assert float(model.negative_log_likelihood(X, output)) == pytest.approx(best, rel=1e-5)
    whole, single = (model.evaluate(X, batch_size=size, verbose=0, return_dict=True) for size in (16, 1))
    assert single["reconstruction"] == pytest.approx(whole["reconstruction"], rel=1e-3)
