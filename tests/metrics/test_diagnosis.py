"""The diagnosis: planted cases told apart from numbers alone."""

import math
import re

import numpy as np
import pytest

from gamix_keras.config import Config, check_read
from gamix_keras.config.catalogue import OBJECTIVES
from gamix_keras.metrics.diagnosis import Thresholds, collapsed_dimensions, diagnose

pytestmark = pytest.mark.backend_free

D = 32
HEALTHY = {"latent_dim": D, "kl": 60.0, "active_units": 32.0, "critic_real": 0.6, "critic_fake": 0.6, "variance": 150.0}


def kinds(**changes):
    return [finding.kind for finding in diagnose({**HEALTHY, **changes})]


def test_healthy_models_and_missing_numbers_give_no_finding():
    assert diagnose(HEALTHY) == diagnose({}) == diagnose({"loss": 3.0}) == []
    assert kinds(posterior_variance=np.full(D, 0.02), kl_per_dimension=np.full(D, 2.0)) == []


def test_latents_fully_and_half_dead():
    assert kinds(kl=0.01 * D - 0.001) == ["collapsed"]
    assert kinds(active_units=0.0) == ["collapsed"]
    assert kinds(active_units=16.0) == ["half-dead"]
    assert kinds(active_units=17.0) == []


def test_dimensions_outweigh_the_logs():
    """The encoder's noise makes a dead dimension active by the variance of its mean; its sigma does not lie."""
    half = np.where(np.arange(D) < 16, 0.02, 0.95)
    (finding,) = diagnose({**HEALTHY, "posterior_variance": half, "kl_per_dimension": np.full(D, 0.5)})
    assert finding.kind == "half-dead"
    assert "16 of 32 latents are unused (posterior variance above 0.9)" in finding.message
    assert "KL 16 nats per image = 0.5 per latent" in finding.message
    assert kinds(posterior_variance=np.full(D, 0.99), kl_per_dimension=np.full(D, 0.0001)) == ["collapsed"]


def test_free_bits_do_not_hide_a_collapse():
    """They put a floor under the logged KL but not under the ELBO's."""
    assert kinds(kl=0.5 * D, elbo=-1000.1, reconstruction=1000.0) == ["collapsed"]


def test_sigma_from_the_variance_term_and_from_dimensions():
    for sigma, expected in ((2e-4, []), (0.9e-4, ["sigma-collapsed"])):
        assert kinds(variance=D * (sigma - 1.0 - math.log(sigma))) == expected
        assert [finding.kind for finding in diagnose({"posterior_variance": np.full(D, sigma)})] == expected
    (finding,) = diagnose({**HEALTHY, "variance": 400.0})
    assert "variance term 400 nats per image" in finding.message and "variance_weight" in finding.advice


@pytest.mark.parametrize("objective", list(OBJECTIVES))
@pytest.mark.parametrize("ill", [{"kl": 0.0}, {"active_units": 10.0}, {"variance": 400.0}], ids=str)
def test_advice_names_only_settings_that_the_objective_reads(objective, ill):
    """As `--set` judges it, which refuses a setting that does nothing."""
    (finding,) = diagnose({**HEALTHY, **ill}, objective=objective)
    config = Config().updated({"model.name": objective})
    named = set(re.findall(r"loss\.\w+", finding.advice))
    for key in named:
        check_read(config, {key: config.get(key)})
    assert named or finding.kind == "half-dead"
    assert "loss.beta" in diagnose({**HEALTHY, "kl": 0.0})[0].advice


def test_critic_that_always_wins():
    assert kinds(critic_real=0.04, critic_fake=0.01) == ["critic-overpowering"]
    assert kinds(critic_real=0.04, critic_fake=0.4) == []


def test_several_findings_at_once_and_thresholds_of_the_user():
    assert kinds(active_units=3.0, critic_real=0.0, critic_fake=0.0) == ["half-dead", "critic-overpowering"]
    assert [f.kind for f in diagnose(HEALTHY, Thresholds(critic=0.65))] == ["critic-overpowering"]


def test_what_is_not_finite_is_named_and_hides_the_rest():
    (finding,) = diagnose({**HEALTHY, "kl": math.nan, "active_units": 0.0, "loss": -math.inf})
    assert finding.kind == "non-finite" and finding.message == "not a finite number: kl, loss"


def test_collapse_in_the_sense_of_lucas():
    """Dimension 0 is the prior for all images, 1 for 98 of 100, 2 carries information."""
    mean = np.zeros((100, 3))
    mean[:2, 1], mean[:, 2] = 1.0, np.linspace(-2, 2, 100)
    assert collapsed_dimensions(mean, np.zeros_like(mean)) == 1
    assert collapsed_dimensions(mean, np.zeros_like(mean), Thresholds(delta=0.05)) == 2
