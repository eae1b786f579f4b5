"""Divergences, the variance term and the adversarial losses against outside answers."""

import keras
import numpy as np
import pytest
from harness import numpy, round_trip
from scipy import stats

from gamix_keras import gaussian
from gamix_keras.losses import (
    AdversarialLoss,
    BernoulliNLL,
    DiscretisedLogisticNLL,
    GaussianNLL,
    LaplaceNLL,
    MixtureKL,
    MomentKL,
    PosteriorVariance,
    StandardKL,
)

RNG = np.random.default_rng(7)
MEAN = RNG.normal(size=(8, 6)).astype("float32")
LOG_VAR = RNG.normal(size=(8, 6)).astype("float32")


def _per_dimension():
    return 0.5 * (MEAN**2 + np.exp(LOG_VAR) - 1 - LOG_VAR)


def test_standard_kl_in_nats_per_image():
    assert float(StandardKL()(MEAN, LOG_VAR)) == pytest.approx(_per_dimension().sum(-1).mean(), rel=1e-5)


@pytest.mark.parametrize("group", [1, 2, 6])
def test_free_bits_floor_each_group(group):
    means = _per_dimension().mean(0).reshape(-1, group).sum(-1)
    floor = float(np.median(means)) + 1e-3
    expected = np.maximum(means, floor).sum()
    assert float(StandardKL(floor, group)(MEAN, LOG_VAR)) == pytest.approx(expected, rel=1e-5)


def test_group_size_must_divide():
    with pytest.raises(ValueError, match="group_size: expected a divisor of 6"):
        StandardKL(0.1, 4)(MEAN, LOG_VAR)


def test_moment_kl_takes_variance_or_covariance():
    m, v = MEAN.mean(0), MEAN.var(0)
    assert float(MomentKL()(m, v)) == pytest.approx(float(gaussian.moments_kl(m, v)), rel=1e-6)
    assert float(MomentKL()(m, np.diag(v))) == pytest.approx(float(gaussian.moments_kl(m, v)), rel=1e-4)


def test_mixture_kl_is_an_average_of_log_ratios():
    z = RNG.normal(size=(8, 6)).astype("float32")
    density = stats.norm(MEAN[None], np.exp(0.5 * LOG_VAR)[None]).pdf(z[:, None]).prod(-1).mean(1)
    expected = (np.log(density) - stats.norm.logpdf(z).sum(-1)).mean()
    assert float(MixtureKL()(z, (MEAN, LOG_VAR))) == pytest.approx(expected, rel=1e-4)


def test_mixture_kl_lies_within_log_b_of_the_mean_kl():
    """ELBO surgery on a batch: KL_i = KL(q(z) || p) + I, and 0 <= I <= log B."""
    count = 4000
    mean, log_var = MEAN[:, None], LOG_VAR[:, None]
    z = (mean + np.exp(0.5 * log_var) * RNG.normal(size=(8, count, 6))).astype("float32").reshape(-1, 6)
    ratio = gaussian.mixture_log_density(z, MEAN, LOG_VAR) - gaussian.standard_log_density(z)
    mixture = float(numpy(ratio).mean())
    information = _per_dimension().sum(-1).mean() - mixture
    assert 0 < information < np.log(8) + 0.05


def test_posterior_variance_is_zero_at_unit_variance():
    assert float(PosteriorVariance()(MEAN, np.zeros_like(MEAN))) == 0.0
    expected = (np.exp(LOG_VAR) - 1 - LOG_VAR).sum(-1).mean()
    assert float(PosteriorVariance()(MEAN, LOG_VAR)) == pytest.approx(expected, rel=1e-5)


LOGITS = RNG.normal(size=(3, 2, 2, 1)).astype("float32")


@pytest.mark.parametrize("target", [0.0, 1.0])
def test_adversarial_losses_are_their_formulas(target):
    targets, sign = np.full_like(LOGITS, target), 2 * target - 1
    probability = 1 / (1 + np.exp(-LOGITS))
    bce = -np.log(probability if target else 1 - probability).mean()
    hinge = np.maximum(0, 1 - sign * LOGITS).mean()
    assert float(AdversarialLoss("bce")(targets, LOGITS)) == pytest.approx(bce, rel=1e-5)
    assert float(AdversarialLoss("hinge")(targets, LOGITS)) == pytest.approx(hinge, rel=1e-5)
    squares = float(AdversarialLoss("least_squares")(targets, LOGITS))
    assert squares == pytest.approx(((LOGITS - target) ** 2).mean(), rel=1e-5)
    generator = float(AdversarialLoss("hinge", "generator")(targets, LOGITS))
    assert generator == pytest.approx((-sign * LOGITS).mean(), rel=1e-5)


def test_undecided_critic_loses_log_two():
    zeros = np.zeros((2, 3, 3, 1), "float32")
    assert float(AdversarialLoss()(np.ones_like(zeros), zeros)) == pytest.approx(np.log(2))


@pytest.mark.parametrize(
    "loss",
    [StandardKL(0.2, 3), MomentKL(), MixtureKL(), PosteriorVariance(), AdversarialLoss("hinge", "generator")],
)
def test_config_round_trip(loss):
    assert round_trip(loss).get_config() == loss.get_config()


@pytest.mark.parametrize("arguments", [{"kind": "wasserstein"}, {"role": "judge"}])
def test_unknown_adversarial_loss_is_named(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        AdversarialLoss(**arguments)


@pytest.mark.parametrize("arguments", [{"free_bits": -1}, {"free_bits": float("nan")}, {"group_size": 0}])
def test_wrong_free_bits_are_named(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        StandardKL(**arguments)


@keras.saving.register_keras_serializable("tests")
class _Plain(keras.losses.Loss):
    """Keras's own reduction of given losses of images."""

    def call(self, y_true, y_pred):
        return y_pred


WEIGHED = {
    "kl": (StandardKL, (MEAN, LOG_VAR)),
    "mixture": (MixtureKL, (MEAN, (MEAN, LOG_VAR))),
    "variance": (PosteriorVariance, (MEAN, LOG_VAR)),
    "adversarial": (AdversarialLoss, (np.ones((8, 2, 2, 1), "float32"), RNG.normal(size=(8, 2, 2, 1)))),
    "gaussian": (GaussianNLL, tuple(RNG.uniform(-1, 1, (2, 8, 4, 4, 1)).astype("float32"))),
    "laplace": (LaplaceNLL, tuple(RNG.uniform(-1, 1, (2, 8, 4, 4, 1)).astype("float32"))),
    "optimal": (lambda **kw: LaplaceNLL("optimal", **kw), tuple(RNG.uniform(-1, 1, (2, 8, 4, 4, 1)).astype("float32"))),
    "bernoulli": (BernoulliNLL, tuple(RNG.uniform(-1, 1, (2, 8, 4, 4, 1)).astype("float32"))),
    "logistic": (lambda **kw: DiscretisedLogisticNLL(0.3, **kw), tuple(RNG.uniform(-1, 1, (2, 8, 4, 4, 1)))),
}


@pytest.mark.parametrize(("make", "inputs"), WEIGHED.values(), ids=WEIGHED)
@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "mean_with_sample_weight"])
def test_sample_weights_reduce_as_in_keras(make, inputs, reduction):
    inputs = keras.tree.map_structure(lambda x: np.asarray(x, "float32"), inputs)
    weights = np.array([0, 1, 2, 0.5, 3, 1, 0, 4], "float32")
    each = numpy(make(reduction="none")(*inputs))
    assert each.shape == (8,)
    found = float(make(reduction=reduction)(*inputs, sample_weight=weights))
    assert found == pytest.approx(float(_Plain(reduction=reduction)(each, each, sample_weight=weights)), rel=1e-5)
    if reduction == "sum_over_batch_size":
        assert found == pytest.approx((weights * each).sum() / 8, rel=1e-5)


def test_free_bits_weigh_each_image_before_the_mean():
    weights = np.array([0, 1, 2, 0.5, 3, 1, 0, 4], "float32")
    groups = (weights[:, None] * _per_dimension()).mean(0).reshape(-1, 2).sum(-1)
    floor = float(np.median(groups)) + 1e-3
    expected = np.maximum(groups, floor).sum()
    assert float(StandardKL(floor, 2)(MEAN, LOG_VAR, sample_weight=weights)) == pytest.approx(expected, rel=1e-5)


def test_moments_of_a_batch_do_not_weigh():
    m, v = MEAN.mean(0), MEAN.var(0)
    assert float(MomentKL()(m, v, sample_weight=np.zeros(8, "float32"))) == float(MomentKL()(m, v)) > 0
