"""Two stages as one model: fitting, sampling, saving."""

import keras
import numpy as np
import pytest
from harness import LATENT, SHAPE, difference, gamix, images, numpy, state, vae

from gamix_keras.losses import GaussianNLL
from gamix_keras.models import SecondStageVAE, TwoStageVAE
from gamix_keras.networks import SecondStageDecoder, SecondStageEncoder
from gamix_keras.samplers import collect_posteriors, fit_sampler

X = images(24)


def second_stage(latent_dim=LATENT) -> SecondStageVAE:
    return SecondStageVAE(SecondStageEncoder(latent_dim, 8, 1), SecondStageDecoder(latent_dim, 8, 1), seed=3)


def two_stage(first=None) -> TwoStageVAE:
    keras.utils.set_random_seed(0)
    model = TwoStageVAE(first or gamix(), second_stage())
    model.compile(keras.optimizers.Adam(1e-3, beta_1=0.5), keras.optimizers.Adam(1e-3))
    return model


def states(model) -> dict:
    return {
        f"{i}{key}": v for i, part in enumerate((model.stage1, model.second_stage)) for key, v in state(part).items()
    }


@pytest.fixture(scope="module")
def fitted():
    model = two_stage()
    histories = model.fit(
        X,
        epochs=2,
        second_stage_epochs=3,
        second_stage_batch_size=8,
        batch_size=8,
        shuffle=False,
        validation_data=X[:8],
        verbose=0,
    )
    return model, histories


def test_one_call_trains_both(fitted):
    _, histories = fitted
    assert len(histories.first.history["critic"]) == 2
    assert len(histories.second.history["elbo"]) == len(histories.second.history["val_elbo"]) == 3


def test_two_calls_are_one_call(fitted):
    model = two_stage()
    model.fit_first(X, epochs=2, batch_size=8, shuffle=False, validation_data=X[:8], verbose=0)
    posteriors = collect_posteriors(model, X)
    model.fit_second(posteriors, epochs=3, batch_size=8, verbose=0)
    assert difference(states(model), states(fitted[0])) == 0.0


def test_the_second_stage_leaves_the_first_alone():
    model = two_stage(vae(GaussianNLL("learned")))
    before = state(model.stage1)
    model.fit_second(X, epochs=1, batch_size=8, verbose=0)
    assert difference(before, state(model.stage1)) == 0.0


def test_sampling_walks_from_u_to_z_to_x(fitted):
    model, _ = fitted
    noise = np.random.default_rng(2).standard_normal((5, 2 * LATENT), dtype="float32")
    scale = np.exp(numpy(model.second_stage.log_scale.log_scale))
    z = numpy(model.second_stage.decoder(noise[:, :LATENT])) + scale * noise[:, LATENT:]
    np.testing.assert_allclose(numpy(model.sample(5, seed=2)), numpy(model.decode(z)), atol=1e-5)
    cold = numpy(model.sample(2, seed=2, temperature=0.0))
    np.testing.assert_array_equal(cold[0], cold[1])
    with pytest.raises(ValueError, match="temperature: expected a number >= 0, got -1"):
        model.sample(1, temperature=-1)


def test_everything_else_is_the_first_stage_s(fitted):
    model, _ = fitted
    assert (model.latent_dim, model.image_shape) == (LATENT, SHAPE)
    for name in ("reconstruct", "predict"):
        arguments = {"verbose": 0} if name == "predict" else {}
        found, expected = (numpy(getattr(part, name)(X, **arguments)) for part in (model, model.stage1))
        np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_array_equal(numpy(model.encode(X)[1]), numpy(model.stage1.encode(X)[1]))
    assert model.evaluate(X, verbose=0, return_dict=True) == model.stage1.evaluate(X, verbose=0, return_dict=True)
    assert fit_sampler("second_stage", model).latent_dim == LATENT


def test_one_file_holds_both_with_their_optimizers(fitted, tmp_path):
    model, _ = fitted
    model.save(tmp_path / "two.keras")
    again = keras.saving.load_model(tmp_path / "two.keras", safe_mode=True)
    assert difference(states(again), states(model)) == 0.0
    for part in (again, model):
        part.fit_first(X, epochs=1, batch_size=8, shuffle=False, verbose=0)
        part.fit_second(X, epochs=4, initial_epoch=3, batch_size=8, verbose=0)
    assert difference(states(again), states(model)) == 0.0


def test_averaged_weights_of_the_first_stage_are_kept(tmp_path):
    model = two_stage(vae(ema_decay=0.5))
    model.fit_first(X, epochs=2, batch_size=8, verbose=0)
    model.save(tmp_path / "two.keras")
    again = keras.saving.load_model(tmp_path / "two.keras")
    plain = numpy(model.reconstruct(X))
    for part in (model, again):
        with part.averaged():
            assert not np.array_equal(numpy(part.reconstruct(X)), plain)
        np.testing.assert_array_equal(numpy(part.reconstruct(X)), plain)
    assert difference(states(again), states(model)) == 0.0


def test_a_file_loads_for_use_only(fitted, tmp_path):
    model, _ = fitted
    model.save(tmp_path / "two.keras")
    again = keras.saving.load_model(tmp_path / "two.keras", compile=False)
    assert not again.stage1.compiled and not again.second_stage.compiled
    np.testing.assert_array_equal(numpy(again.sample(3, seed=1)), numpy(model.sample(3, seed=1)))


def test_stages_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="second_stage: expected one of 4 latents, got 3"):
        TwoStageVAE(vae(), second_stage(3))
