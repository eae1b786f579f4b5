"""Configurations: round trips, overrides, and the line that each mistake is told in."""

import json

import pytest

from gamix_keras.config import Config, UserError, flatten, known_key, parse_assignments, settings

pytestmark = pytest.mark.backend_free


def changed(*assignments):
    return Config().updated(parse_assignments(assignments))


def test_json_round_trip():
    config = changed("model.latent_dim=32", "loss.scale=learned", "loss.momentum=0.9", "data.flip=false")
    assert Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_missing_keys_keep_their_defaults():
    assert Config.from_dict({"model": {"width": 8}}) == changed("model.width=8")


def test_the_last_assignment_of_a_key_wins():
    assert changed("model.width=8", "model.width=16").model.width == 16


def test_values_have_the_declared_types():
    config = changed("loss.beta=4", "training.clip_norm=none", "model.critic=no", "data.count=10")
    found = (config.loss.beta, config.training.clip_norm, config.model.critic, config.data.count)
    assert found == (4.0, None, False, 10)
    assert isinstance(config.loss.beta, float)


def test_images_need_not_be_square():
    config = changed("data.image_size=64x48", "loss.mae_weight=100")
    assert (config.data.image_size, config.data.image_shape) == ("64x48", (64, 48, 3))
    assert (config.pixels, config.likelihood_scale) == (64 * 48 * 3, 64 * 48 * 3 / 100)
    assert Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert changed("data.image_size=32x32").data.image_size == 32
    assert Config().data.image_shape == (64, 64, 3)


def test_whole_json_numbers_are_accepted_for_floats():
    assert isinstance(Config.from_dict({"loss": {"scale": 2}}).loss.scale, float)


def test_several_keys_change_at_once():
    """Each alone would be refused: 48 is no multiple of 2^5, and 5 stages do not fit 48."""
    assert changed("data.image_size=96", "model.stages=5").data.image_size == 96


def test_mae_weight_is_the_scale_in_other_words():
    """w mean|x - y| = sum|x - y| / b with b = P / w (2.4576 for the paper's 5000 at 64x64x3)."""
    assert changed("loss.mae_weight=5000").likelihood_scale == pytest.approx(64 * 64 * 3 / 5000)
    assert changed("loss.scale=0.5").likelihood_scale == 0.5


def test_every_setting_is_documented():
    assert all(entry.metadata["help"] for entry in settings().values())


MISTAKES = {
    "model.latent_dim=abc": "model.latent_dim: expected a whole number from 1 to 65536, got 'abc'",
    "model.latent_dim=1.5": "model.latent_dim: expected a whole number from 1 to 65536, got '1.5'",
    "model.latent_dim=0": "model.latent_dim: expected a whole number from 1 to 65536, got 0",
    "model.latent=3": "unknown key 'model.latent': did you mean 'model.latent_dim'?",
    "latent_dim=3": "unknown key 'latent_dim': did you mean 'model.latent_dim'?",
    "modle.width=3": "unknown key 'modle.width': did you mean 'model.width'?",
    "model.network=resnt": "(did you mean 'resnet'?)",
    "model.critic=maybe": "model.critic: expected true or false, got 'maybe'",
    "loss.global_weight=nan": "loss.global_weight: expected a number of at least 0, got nan",
    "loss.variance_weight=-1": "loss.variance_weight: expected a number of at least 0, got -1.0",
    "loss.beta=inf": "loss.beta: expected a number of at least 0, got inf",
    "loss.scale=0": "loss.scale: expected a number above 0 or one of learned, optimal, per_pixel, got 0.0",
    "loss.scale=learnt": "(did you mean 'learned'?)",
    "loss.momentum=1": "loss.momentum: expected a number of at least 0 and below 1 or none, got 1.0",
    "data.image_size=50": "data.image_size: expected a multiple of 2^model.stages = 16 for",
    "data.image_size=64x": "data.image_size: expected a whole number from 4 to 4096 or HEIGHTxWIDTH, got '64x'",
    "data.image_size=64x2": "data.image_size: expected a whole number from 4 to 4096 or HEIGHTxWIDTH, got '64x2'",
    "data.image_size=64x50": "data.image_size: expected a multiple of 2^model.stages = 16 for",
    "data.image_size=50x64": "data.image_size: expected a multiple of 2^model.stages = 16 for",
    "training.batch_size=1": "training.batch_size: expected at least 2",
    "model.width": "--set expects KEY=VALUE, got 'model.width'",
    "seed=-1": "seed: expected a whole number from 0 to",
    "model.width=30": "model.width: expected a multiple of 4 for model.network=convnet, got 30",
    "training.collapse_monitor=maybe": "training.collapse_monitor: expected true or false or one of stop, got 'maybe'",
}
TOGETHER = {
    "model.network=infogan data.image_size=30": "data.image_size: expected a multiple of 4 for model.network=infogan",
    "model.network=wae data.image_size=28": "data.image_size: expected a multiple of 8 for model.network=wae, got 28",
    "model.network=transformer data.image_size=28": "data.image_size: expected a multiple of model.patch = 8 for",
    "model.network=transformer model.width=36 model.heads=8": "model.width: expected a multiple of model.heads = 8 for",
    "model.network=wae loss.scale=per_pixel": "loss.scale: expected no scale per pixel with model.network=wae",
    "model.network=infogan loss.likelihood=bernoulli": "loss.likelihood: expected a density with model.network=infogan",
    "loss.mae_weight=5000 loss.scale=learned": "loss.mae_weight: expected none with loss.scale=learned",
    "loss.likelihood=bernoulli loss.scale=learned": "loss.scale: expected 1.0, for it sets a scale, which loss.lik",
    "loss.likelihood=bernoulli loss.mae_weight=9": "loss.mae_weight: expected none, for it sets a scale",
    "loss.likelihood=discretised_logistic loss.scale=optimal": "loss.scale: expected a number, learned or per_pixel",
    "model.name=vae loss.group_size=5": "loss.group_size: expected a divisor of model.latent_dim = 128, got 5",
    "training.schedule=cosine training.halve_every=3": "training.halve_every: expected 0 with training.schedule=cosine",
    "backend=torch training.jit=true": "training.jit: expected auto or false on torch",
    "model.critic_spectral_norm=true": "model.critic_norm: expected none with model.critic_spectral_norm",
}


@pytest.mark.parametrize("assignment", MISTAKES)
def test_a_mistake_is_told_in_one_line(assignment):
    with pytest.raises(UserError) as caught:
        changed(assignment)
    assert MISTAKES[assignment] in str(caught.value)
    assert "\n" not in str(caught.value)


BEST = "training.keep_best: expected val_elbo, val_psnr or val_reconstruction with "
MOVING = {
    "training.keep_best=val_loss": f"{BEST}a critic, whose term is part of val_loss, got val_loss",
    "training.keep_best=val_loss loss.adversarial_start=0.5": f"{BEST}a critic",
    "training.keep_best=val_loss model.name=vae loss.warmup=2": f"{BEST}loss.warmup, whose weight is part of val_loss",
    "training.keep_best=val_loss model.critic=false loss.warmup=2 loss.warmup_shape=cyclical": f"{BEST}loss.warmup",
    "training.keep_best=val_loss model.name=vae loss.perceptual_weight=9": f"{BEST}loss.perceptual_weight, which sets",
}


@pytest.mark.parametrize("assignments", MOVING)
def test_val_loss_does_not_choose_the_best_epoch_while_its_weights_move(assignments):
    with pytest.raises(UserError) as caught:
        changed(*assignments.split())
    assert str(caught.value).startswith(MOVING[assignments])


def test_val_loss_may_choose_if_it_means_the_same_in_every_epoch():
    config = changed("training.keep_best=val_loss", "model.name=vae")
    with pytest.raises(UserError, match="training.keep_best: expected val_elbo"):
        config.updated({"loss.warmup": 2.0})
    for name in ("val_elbo", "val_psnr", "val_reconstruction"):
        changed(f"training.keep_best={name}", "loss.warmup=2")


def test_an_older_run_that_kept_the_best_val_loss_can_be_opened_and_extended():
    written = {"training": {"keep_best": "val_loss"}, "loss": {"warmup": 2.0}}
    assert Config.from_dict(written).updated({"training.epochs": 20}).training.keep_best == "val_loss"


@pytest.mark.parametrize("layers", ["stem,stem", "stage8", "", "stem, stage2"])
def test_perceptual_layers_are_different_stages(layers):
    assert changed("loss.perceptual_layers=stage5,stem").loss.perceptual_layers == "stage5,stem"
    with pytest.raises(UserError, match="loss.perceptual_layers: expected different ones of stem, .* with commas"):
        Config().updated({"loss.perceptual_layers": layers})


@pytest.mark.parametrize("assignments", TOGETHER)
def test_a_contradiction_is_told_in_one_line(assignments):
    with pytest.raises(UserError) as caught:
        changed(*assignments.split())
    assert str(caught.value).startswith(TOGETHER[assignments])
    assert "\n" not in str(caught.value)


def test_sizes_that_only_some_networks_take():
    changed("model.network=infogan", "data.image_size=28")
    changed("model.network=mlp", "data.image_size=31", "data.channels=1")
    changed("model.network=transformer", "data.image_size=28", "model.patch=7")


def test_batch_moments_need_a_batch():
    changed("training.batch_size=1", "loss.momentum=0.99")
    changed("training.batch_size=1", "model.name=vae")
    with pytest.raises(UserError, match="more than model.latent_dim = 128"):
        changed("loss.moments=full", "training.batch_size=64")


def test_mixture_keeps_no_moments():
    with pytest.raises(UserError, match="loss.momentum: expected none"):
        changed("loss.moments=mixture", "loss.momentum=0.9")


BAD_JSON = [
    [],
    {"model": 3},
    {"model": {"width": "8"}},
    {"model": {"width": True}},
    {"model": {"width": 10**400}},
]
BAD_JSON += [
    {"loss": {"beta": 10**400}},
    {"data": {"source": None}},
    {"nothing": 1},
    {"model": {"model": {}}},
]
BAD_JSON += [{"model": {"network": ["resnet"]}}, {"loss": {"beta": float("nan")}}, {"data": {"count": {}}}]


@pytest.mark.parametrize("values", BAD_JSON, ids=lambda values: str(values)[:40])
def test_bad_json_is_refused(values):
    """No bad file ends in anything but a `UserError`."""
    with pytest.raises(UserError):
        Config.from_dict(values)


def test_dotted_keys():
    assert flatten({"seed": 1, "model": {"width": 8}}) == {"seed": 1, "model.width": 8}
    assert known_key("training.epochs") == "training.epochs"
    assert Config().get("training.epochs") == Config().training.epochs
