"""What evaluation asks of a model: closed forms, planted faults, names."""

import keras
import numpy as np
import pytest
from harness import decoder, encoder, numpy

from gamix_keras import data
from gamix_keras.config import UserError
from gamix_keras.evaluation import measures
from gamix_keras.losses import GaussianNLL, LaplaceNLL
from gamix_keras.metrics import FeatureExtractor, extract_statistics
from gamix_keras.metrics.images import mean_absolute_error
from gamix_keras.metrics.latent_statistics import LatentStatistics
from gamix_keras.models import VAE
from gamix_keras.models.compiled import CompiledVAE
from gamix_keras.samplers import PriorSampler

SHAPE, LATENT = (16, 16, 3), 8


def vae(likelihood=None):
    return VAE(encoder(SHAPE, LATENT), decoder(SHAPE, LATENT), likelihood or LaplaceNLL(0.5))


def silence(network, names):
    """Makes the output of some layers their bias, 0."""
    for name in names:
        layer = network.get_layer(name) if isinstance(name, str) else network.layers[name]
        layer.set_weights([np.zeros_like(w) for w in layer.get_weights()])


def faces(count=40):
    return data.open_source("faces", image_size=16, count=count)


def extractor(name="pixels"):
    def network(pixels):
        return pixels.reshape(len(pixels), 2, 8, 2, 8, 3).mean(axis=(2, 4)).reshape(len(pixels), -1) / 255.0

    return FeatureExtractor(name, name, network, dim=12, resize="none", weights="none")


def test_reading_gives_every_image_once_and_in_order():
    source = faces(100)
    parts = list(measures.read(source))
    assert [len(part) for part in parts] == [64, 36]
    np.testing.assert_array_equal(np.concatenate(parts), data.to_unit_range(source.load(np.arange(100))))


def test_the_pass_scores_reconstructions_from_the_mean():
    model, source = vae(), faces()
    one_pass = measures.OnePass(CompiledVAE(model), source)
    decoded = np.concatenate(list(one_pass))
    statistics, scores = one_pass.statistics, one_pass.scores()
    images = next(measures.read(source))
    expected = numpy(mean_absolute_error(images, model.reconstruct(images)))
    np.testing.assert_allclose(scores["mae"], expected, rtol=1e-5)
    np.testing.assert_allclose(decoded, numpy(model.reconstruct(images)), atol=1e-5)
    assert statistics.count == 40
    summary = measures.reconstruction(scores)
    assert summary["mae"] == pytest.approx(expected.mean(), rel=1e-5)
    assert summary["quantiles"]["mae"]["median"] == pytest.approx(np.median(expected), rel=1e-5)


def test_a_model_of_nan_is_refused_in_one_line():
    model = vae()
    model.encoder.get_layer("log_var").bias.assign(np.full(LATENT, np.nan, "float32"))
    with pytest.raises(UserError, match="not a finite number: posterior log-variance; lower the learning rate"):
        list(measures.OnePass(CompiledVAE(model), faces()))


@pytest.mark.parametrize("likelihood", [LaplaceNLL(0.3), GaussianNLL("learned")], ids=["fixed", "learned"])
def test_the_bound_is_exact_where_z_says_nothing(likelihood):
    """Posterior = prior and a decoder that ignores z: every draw has the weight p(x)."""
    model = vae(likelihood)
    silence(model.encoder, ("mean", "log_var"))
    silence(model.decoder, (-1,))
    images = next(measures.read(faces()))
    found = measures.log_likelihood(CompiledVAE(model), images, draws=3, seed=0)
    blank = keras.ops.zeros(images.shape)
    assert found["value"] == pytest.approx(-float(numpy(model.negative_log_likelihood(images, blank))), rel=1e-5)
    assert found["effective_draws"] == pytest.approx(3.0, rel=1e-3)


def test_no_bound_for_a_scale_that_is_fitted_to_the_images():
    assert (
        measures.log_likelihood(CompiledVAE(vae(LaplaceNLL("optimal"))), np.zeros((2, *SHAPE), "float32"), 2, 0) is None
    )


def test_more_new_images_begin_with_fewer():
    networks, sampler = CompiledVAE(vae()), PriorSampler(LATENT)
    few, many = (np.concatenate(list(measures.generated(networks, sampler, n, seed=1))) for n in (5, 70))
    assert many.shape == (70, *SHAPE)
    np.testing.assert_array_equal(few, many[:5])
    assert not np.array_equal(many[:6], many[64:])
    other = next(measures.generated(networks, sampler, 5, seed=2))
    assert not np.array_equal(few, other)


def test_walks_of_a_model_that_ignores_z_have_no_ratio():
    model = vae()
    silence(model.decoder, (-1,))
    images = next(measures.read(faces(8)))
    assert measures.smoothness(CompiledVAE(model), images, 4, extractor())["ratio"] is None
    found = measures.smoothness(CompiledVAE(vae()), images, 4, extractor())
    assert (found["paths"], found["steps"]) == (4, 4)


def test_only_inception_may_be_called_fid():
    for name, expected in (("pixels", ("FD-pixels", "KD-pixels")), ("inception", ("FID", "KID"))):
        tool = extractor(name)
        real, made = (extract_statistics(tool, measures.read(faces(count))) for count in (40, 50))
        found = measures.generation(tool, real, made, seed=0)
        assert (found["frechet"]["name"], found["kid"]["name"]) == expected
        low, high = found["kid"]["interval"]
        assert low < found["kid"]["value"] < high
        assert {"precision", "recall", "density", "coverage"} < set(found)


def planted(mean_scale, variance):
    """Statistics of 200 posteriors whose dimensions have these spreads."""
    mean = np.random.default_rng(0).normal(size=(200, LATENT)) * mean_scale
    log_var = np.broadcast_to(np.log(variance), mean.shape)
    return LatentStatistics(LATENT).update(mean.astype("float32"), log_var.astype("float32"))


HALF = np.arange(LATENT) < LATENT // 2


@pytest.mark.parametrize(
    ("mean_scale", "variance", "expected"),
    [
        (0.01, 1.0, ["collapsed"]),
        (np.where(HALF, 1.0, 0.02), np.where(HALF, 0.05, 0.98), ["half-dead"]),
        (1.0, 0.05, []),
        (1.0, 1e-5, ["sigma-collapsed"]),
    ],
    ids=["collapsed", "half-dead", "healthy", "sigma"],
)
def test_planted_cases_are_told_apart(mean_scale, variance, expected):
    assert [f.kind for f in measures.findings(planted(mean_scale, variance), {})] == expected


def test_the_critic_is_judged_by_held_out_images_first():
    row = {"critic_real": 0.5, "critic_fake": 0.5, "val_critic_real": 0.01, "val_critic_fake": 0.01}
    assert [f.kind for f in measures.findings(planted(1.0, 0.05), row)] == ["critic-overpowering"]


def test_elbo_surgery():
    """All posteriors alike: nothing is known of the image, and the mean KL is that of q(z)."""
    latents = measures.latents(planted(0.0, 0.5))
    assert latents["mutual_information"]["value"] == pytest.approx(0.0, abs=1e-9)
    assert latents["aggregate_kl"]["mixture"] == pytest.approx(latents["aggregate_kl"]["total"], rel=1e-4)


def entry(value):
    return {"frechet": {"name": "FD-x", "value": value}}


def test_a_prior_that_samples_worse_than_the_mixture_is_told():
    (found,) = measures.prior_mismatch({"prior": entry(554.0), "gaussian": entry(354.0), "mixture": entry(341.0)}, 12.0)
    assert found.kind == "prior-mismatch"
    assert "FD-x 554, the sampler mixture 341" in found.message and "sampler mixture" in found.advice
    assert measures.prior_mismatch({"prior": entry(350.0), "mixture": entry(341.0)}, 12.0) == []
    assert measures.prior_mismatch({"mixture": entry(341.0)}, 12.0) == []


def test_rows_of_the_table():
    scores = {"kid": {"name": "KD-x", "value": 0.0123, "interval": [0.01, 0.015]}, **entry(7.0)}
    scores |= {"precision": 0.5, "recall": 0.25, "density": 1.0, "coverage": 0.125}
    result = {"reconstruction": scores, "samplers": {"prior": scores}}
    (rows,) = measures.score_tables(result)
    assert rows[0] == ["", "FD-x", "KD-x x 1000", "95 %", "precision", "recall", "density", "coverage"]
    assert rows[2] == ["prior", "7.00", "12.3", "10.0 to 15.0", "0.500", "0.250", "1.000", "0.125"]
    faces = {**scores, "face_share": 0.75}
    other = {"reconstruction": faces, "samplers": {"prior": faces}, "real": faces, "protocol": {"trained_on": True}}
    _, rows = measures.score_tables({**result, "further_extractors": {"other": other}})
    assert (rows[0][0], rows[0][-1]) == ("trained on these features", "face share")
    assert [row[0] for row in rows[1:]] == ["real images", "reconstruction", "prior"] and rows[3][-1] == "0.750"
