"""The recipes that come with the package."""

import json
from importlib import resources

import pytest

from gamix_keras.config import Config, UserError, flatten
from gamix_keras.config.presets import ABOUT_KEYS, DEFAULT_PRESET, load_preset, preset_names

pytestmark = pytest.mark.backend_free


def test_the_promised_recipes_exist():
    assert {"faces-quick", "celeba64", "celeba64-light", "paper-256", "vae-64"} <= set(preset_names())
    assert DEFAULT_PRESET in preset_names()


@pytest.mark.parametrize("name", preset_names())
def test_a_recipe_is_valid_and_says_what_to_expect(name):
    preset = load_preset(name)
    assert tuple(preset.about) == ABOUT_KEYS
    assert all(preset.about.values())
    assert preset.about["command"].startswith("gamix-keras train")
    assert name == DEFAULT_PRESET or f"--preset {name}" in preset.about["command"]


@pytest.mark.parametrize("name", preset_names())
def test_a_recipe_names_known_keys_only(name):
    text = resources.files("gamix_keras.config.presets").joinpath(f"{name}.json").read_text()
    assert set(flatten(json.loads(text)["config"])) <= set(Config().flat())


def test_vae_64_has_the_networks_of_celeba64():
    vae, gamix = load_preset("vae-64").config, load_preset("celeba64").config
    names = ("network", "latent_dim", "width", "stages", "encoder_blocks", "decoder_blocks")
    assert all(getattr(vae.model, name) == getattr(gamix.model, name) for name in names)
    assert (vae.model.name, vae.loss.beta) == ("vae", 1.0)


def test_the_paper_states_its_weights():
    loss = load_preset("paper-256").config.loss
    assert (loss.mae_weight, loss.global_weight, loss.variance_weight, loss.adversarial_weight) == (
        5000,
        1,
        0.1,
        100,
    )


def test_an_unknown_recipe_is_named_with_the_nearest():
    with pytest.raises(UserError, match="got 'celeba-64' .did you mean 'celeba64'"):
        load_preset("celeba-64")
