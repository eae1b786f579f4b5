"""The rows name classes and settings that exist, and the settings are all that the classes take."""

import inspect

import pytest

from gamix_keras import losses, models, networks, samplers
from gamix_keras.config import settings
from gamix_keras.config.catalogue import CRITICS, LIKELIHOODS, NETWORKS, OBJECTIVES, SAMPLERS

pytestmark = pytest.mark.backend_free
# Arguments that the assembly gives to every network, or that only Python sets.
COMMON = {"image_shape", "latent_dim", "dtype", "name", "kwargs", "pixel_scale"}
PARTS = {"encoder", "decoder", "likelihood", "critic", "seed", "kwargs"}


def arguments(found):
    return set(inspect.signature(found).parameters)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_has_the_arguments_of_its_row(name):
    row = NETWORKS[name]
    assert all(key in settings() for key in row.reads())
    for path, own in ((row.encoder, row.encoder_settings), (row.decoder, row.decoder_settings)):
        module, _, found = path.partition(".")
        network = getattr(networks, found)
        assert network.__module__ == f"gamix_keras.networks.{module}"
        given = {*row.settings, *own.values(), *row.fixed}
        assert given <= arguments(network)
    assert set(row.critic) <= arguments(networks.PatchGANCritic)


@pytest.mark.parametrize("name", CRITICS)
def test_a_critic_has_the_arguments_of_its_row(name):
    row = CRITICS[name]
    assert all(key in settings() for key in row.reads())
    module, _, found = row.critic.partition(".")
    assert getattr(networks, found).__module__ == f"gamix_keras.networks.{module}"
    assert "critic_width" in row.settings and {*row.settings.values()} - {"width"} <= arguments(
        getattr(networks, found)
    )


@pytest.mark.parametrize("name", OBJECTIVES)
def test_an_objective_has_the_arguments_of_its_row(name):
    row = OBJECTIVES[name]
    own = arguments(getattr(models, row.model)) - PARTS
    same = [other for other in OBJECTIVES.values() if other.model == row.model]
    assert own == {setting for other in same for setting in (*other.settings, *other.critic_settings)}
    assert set(row.warmup) <= set(row.settings)
    assert all(key in settings() for key in row.reads())


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_a_likelihood_takes_the_scales_of_its_row(name):
    row = LIKELIHOODS[name]
    likelihood = getattr(losses, row.loss)
    assert ("scale" in arguments(likelihood)) == (row.scales is not None)
    for scale in row.scales or ():
        likelihood(scale)


def test_the_samplers_are_those_of_the_rows():
    assert list(samplers.SAMPLERS) == list(SAMPLERS)
    for name, row in SAMPLERS.items():
        assert samplers.SAMPLERS[name] is getattr(samplers, row.sampler.partition(".")[2])
        assert set(row.arguments) <= arguments(samplers.SAMPLERS[name])
