"""Settings that do nothing are refused if they were named, and read if what they need is there."""

import json
from importlib import resources

import pytest

from gamix_keras.config import Config, UserError, check_read, flatten, help_of, parse_assignments, settings
from gamix_keras.config.catalogue import CRITICS, LIKELIHOODS, NETWORKS, OBJECTIVES
from gamix_keras.config.presets import preset_names
from gamix_keras.config.reading import conditions, is_read

pytestmark = pytest.mark.backend_free
TABLES = {"model.network": NETWORKS, "model.name": OBJECTIVES, "loss.likelihood": LIKELIHOODS}
TABLES["model.critic_network"] = CRITICS
# What makes each condition without values hold.
ON = {
    "model.critic": True,
    "loss.adaptive_weight": True,
    "loss.free_bits": 0.5,
    "loss.warmup": 2.0,
    "training.ema_decay": 0.9,
    "loss.perceptual_weight": 50.0,
    "second_stage.epochs": 3,
}
OFF = {"training.numeric_guard": "off", "model.critic": False}
# A value of each kind that is not the default and contradicts nothing.
OTHER = {
    "model.stages": 2,
    "model.norm": "group",
    "loss.scale": 2.0,
    "loss.moments": "total",
    "loss.adversarial": "hinge",
}
OTHER |= {"loss.warmup_shape": "cosine", "loss.group_size": 2, "model.critic_norm": "none", "loss.momentum": 0.9}
OTHER |= {
    "model.patch": 16,
    "model.heads": 2,
    "model.critic_network": "projected",
    "model.critic_spectral_norm": True,
    "training.critic_beta_1": 0.0,
    "training.critic_beta_2": 0.99,
    "loss.augment": "colour",
    "loss.capacity": 1.0,
    "loss.mae_weight": 100.0,
    "loss.perceptual_layers": "stage5",
}


def holding(key):
    """Settings with which `key` is read."""
    values = {"model.critic_norm": "none"} if key == "model.critic_spectral_norm" else {}
    for condition in conditions(Config)[key]:
        values |= holding(condition.key)
        values[condition.key] = condition.values[0] if condition.values else ON[condition.key]
    return values


def failing(key):
    """Settings with which `key` is not read, one for each of its conditions, all else being as it needs."""
    for condition in conditions(Config)[key]:
        others = TABLES.get(condition.key, ())
        off = [name for name in others if name not in condition.values][:1] or [OFF.get(condition.key)]
        value = settings()[condition.key].default if off == [None] else off[0]
        yield {**holding(key), condition.key: value}


def other(key):
    if key in OTHER:
        return OTHER[key]
    default = settings()[key].default
    return not default if isinstance(default, bool) else (default or 0) + 1


CONDITIONAL = [key for key in settings() if conditions(Config)[key]]


@pytest.mark.parametrize("key", CONDITIONAL)
def test_a_setting_is_refused_without_what_it_needs(key):
    named = {key: other(key)}
    check_read(Config().updated({**holding(key), **named}), named)
    for values in failing(key):
        config = Config().updated({**values, **(named if key not in ("loss.scale", "loss.mae_weight") else {})})
        assert not is_read(config, key)
        if other(key) is False:
            check_read(config, named)  # which is the case
            continue
        with pytest.raises(UserError) as caught:
            check_read(config, named)
        assert str(caught.value).startswith(f"{key}: expected ")
        assert "without which it does nothing, got " in str(caught.value)
        assert "\n" not in str(caught.value)


def test_what_needs_something_is_known():
    """The list by hand, so that a condition cannot get lost with the row that implies it."""
    always = {"seed", "backend", "model.name", "model.network", "model.latent_dim", "model.width"}
    always |= {"loss.likelihood", "loss.warmup", "loss.perceptual_weight", "second_stage.epochs"}
    of_training = {"critic_learning_rate", "critic_beta_1", "critic_beta_2", "ema_start", "guard_events"}
    for key in settings():
        section, _, name = key.rpartition(".")
        free = section == "data" or (section == "training" and name not in of_training) or key in always
        assert (key not in CONDITIONAL) == free, key


SAID = {
    "loss.beta=4": "loss.beta: expected model.name=vae or vae-gan, without which it does nothing, got model.name=gamix",
    "model.patch=16": "model.patch: expected model.network=transformer, without which it does nothing, got "
    "model.network=convnet",
    "model.network=mlp model.stages=3": "model.stages: expected model.network=convnet, resnet or resnet-paper, without "
    "which it does nothing, got model.network=mlp",
    "model.name=vae loss.r1_weight=3": "loss.r1_weight: expected model.name=gamix or vae-gan, without which it "
    "does nothing, got model.name=vae",
    "model.critic=false loss.r1_weight=3": "loss.r1_weight: expected model.critic, without which it does nothing, got "
    "model.critic=false",
    "training.ema_start=3": "training.ema_start: expected training.ema_decay, without which it does nothing, got "
    "training.ema_decay=none",
}


@pytest.mark.parametrize("assignments", SAID)
def test_one_line_says_what_it_needs(assignments):
    named = parse_assignments(assignments.split())
    with pytest.raises(UserError) as caught:
        check_read(Config().updated(named), named)
    assert str(caught.value) == SAID[assignments]


def test_what_a_recipe_set_can_be_taken_back():
    recipe = Config().updated({"loss.mae_weight": 5000.0})
    named = {"loss.likelihood": "bernoulli", "loss.mae_weight": None}
    check_read(recipe.updated(named), named)
    check_read(Config().updated({"model.name": "vae", "model.critic": False}), {"model.critic": False})


def test_files_of_runs_name_every_setting_and_load():
    config = Config().updated({"loss.beta": 4.0, "model.patch": 16})
    assert Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize("name", preset_names())
def test_a_recipe_sets_only_what_it_reads(name):
    recipe = json.loads(resources.files("gamix_keras.config.presets").joinpath(f"{name}.json").read_text())
    check_read(Config.from_dict(recipe["config"]), flatten(recipe["config"]))


def test_the_help_says_what_a_setting_needs():
    assert help_of("loss.beta") == "weight of the standard KL (only with model.name=vae or vae-gan)"
    assert help_of("loss.r1_weight").endswith("(only with model.critic)")
    assert help_of("loss.group_size").endswith("(only with loss.free_bits)")
    assert help_of("training.epochs") == "passes over the data"
