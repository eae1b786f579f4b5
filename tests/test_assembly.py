"""From names to objects."""

import keras
import numpy as np
import pytest
from tiny import TINY

from gamix_keras import assembly, plots
from gamix_keras.config import Config, UserError, settings
from gamix_keras.losses import GaussianNLL, LaplaceNLL
from gamix_keras.models import GAMIXVAE, VAE
from gamix_keras.presets import load_preset, preset_names


def tiny(**values):
    """A configuration of 40 drawn faces and three epochs, with changes."""
    longer = {**TINY, "data.count": 40, "training.epochs": 3}
    return Config().updated({**longer, **{key.replace("__", "."): value for key, value in values.items()}})


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def test_every_choice_of_a_name_has_its_class():
    choices = {key: entry.metadata["choices"] for key, entry in settings().items()}
    assert set(choices["model.network"]) == set(assembly.NETWORKS)
    assert set(choices["model.name"]) == set(assembly.MODELS)
    assert set(choices["loss.likelihood"]) == set(assembly.LIKELIHOODS)
    assert set(choices["training.jit"]) == set(assembly.JIT)


@pytest.mark.parametrize(
    ("values", "model", "likelihood"),
    [
        ({}, GAMIXVAE, LaplaceNLL),
        ({"model__network": "resnet", "loss__likelihood": "gaussian"}, GAMIXVAE, GaussianNLL),
        ({"model__name": "vae", "model__network": "resnet-paper"}, VAE, LaplaceNLL),
        ({"model__name": "vae", "loss__scale": "per_pixel"}, VAE, LaplaceNLL),
        ({"loss__scale": "learned", "loss__moments": "full", "loss__momentum": 0.9}, GAMIXVAE, LaplaceNLL),
    ],
)
def test_a_configuration_becomes_a_model(values, model, likelihood):
    built = assembly.build_model(tiny(**values))
    assert (type(built), type(built.likelihood)) == (model, likelihood)
    assert (built.latent_dim, built.image_shape) == (3, (16, 16, 3))
    assert numpy(built.reconstruct(np.zeros((2, 16, 16, 3)))).shape == (2, 16, 16, 3)


def test_settings_reach_their_objects():
    values = {"loss__mae_weight": 384.0, "loss__momentum": 0.9, "loss__variance_weight": 0.3}
    values |= {"training__learning_rate": 0.5, "training__critic_learning_rate": 0.25, "training__clip_norm": 2.0}
    model = assembly.build_model(tiny(**values, loss__adversarial="hinge", seed=7))
    first, second = model.phase_optimizer("autoencoder"), model.phase_optimizer("critic")
    assert (float(first.learning_rate), float(second.learning_rate)) == (0.5, 0.25)
    assert (first.global_clipnorm, second.beta_1) == (2.0, 0.5)
    assert (model.likelihood.scale, model.momentum, model.adversarial, model.seed) == (2.0, 0.9, "hinge", 7)
    assert float(numpy(model.variance_weight_variable)) == pytest.approx(0.3)


def test_precision_is_that_of_the_networks():
    model = assembly.build_model(tiny(training__precision="mixed_bfloat16"))
    policies = {network.dtype_policy.name for network in (model.encoder, model.decoder, model.critic)}
    assert policies == {"mixed_bfloat16"}


def test_the_seed_fixes_the_weights():
    models = [assembly.build_model(tiny(seed=seed)) for seed in (1, 1, 2)]
    one, same, other = (numpy(model.encoder.trainable_variables[0]) for model in models)
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_the_critic_can_be_left_out():
    assert assembly.build_critic(tiny(model__critic=False)) is None
    assert assembly.build_critic(tiny(model__name="vae")) is None
    assert set(assembly.parameter_counts(tiny())) == {"encoder", "decoder", "critic"}


@pytest.mark.backend_free
def test_the_paper_has_the_published_number_of_parameters():
    counts = assembly.parameter_counts(load_preset("paper-256").config)
    assert counts == {"encoder": 5_882_944 + 1_049_600, "decoder": 4_049_522, "critic": 412_101}


@pytest.mark.backend_free
@pytest.mark.parametrize("name", [name for name in preset_names() if name != "paper-256"])
def test_the_networks_of_every_preset_can_be_built(name):
    assert min(assembly.parameter_counts(load_preset(name).config).values()) > 0


def test_data_of_a_resumed_run_is_the_rest_of_the_whole():
    whole, rest = (assembly.build_data(tiny(), start_epoch=epoch) for epoch in (0, 2))
    assert whole.steps == 5
    batches = [batch.numpy() for batch in whole.training]
    assert len(batches) == 3 * 5
    np.testing.assert_array_equal(batches[10:], [batch.numpy() for batch in rest.training])


def test_held_out_images_are_not_trained_on():
    data = assembly.build_data(tiny())
    seen, held_out = (np.concatenate([batch.numpy() for batch in part]) for part in (data.training, data.validation))
    assert len(held_out) == len(data.sources[1]) == 4
    distance = np.abs(seen[:, None] - held_out[None]).mean(axis=(2, 3, 4))
    assert distance.min() > 0.01
    np.testing.assert_array_equal(data.shown, held_out)


def test_an_image_is_a_file_or_a_held_out_one(tmp_path):
    image = assembly.open_image(tiny(), "held-out:1")
    assert (image.shape, image.dtype) == ((16, 16, 3), np.float32)
    plots.save_image(image, tmp_path / "a.png")
    np.testing.assert_array_equal(assembly.open_image(tiny(), str(tmp_path / "a.png")), image)


@pytest.mark.parametrize("name", ["held-out:4", "held-out:", "held-out:-1", "nothing.png"])
def test_no_such_image_is_told(name):
    with pytest.raises(UserError, match=name):
        assembly.open_image(tiny(), name)
