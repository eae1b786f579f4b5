"""Mixed precision: float32 where it matters, and a loss scale for each optimizer."""

import keras
import numpy as np
import pytest
from harness import compiled, difference, gamix, images, numpy, state

from gamix_keras.training import Batch


def _bfloat16_runs():
    model = compiled(gamix(dtype="mixed_bfloat16"))
    return model, model.fit(images(32), batch_size=8, epochs=2, verbose=0).history


def test_bfloat16_keeps_variables_and_terms_in_float32():
    model, history = _bfloat16_runs()
    assert {v.dtype for v in model.trainable_variables} == {"float32"}
    assert any(layer.compute_dtype == "bfloat16" for layer in model._flatten_layers())
    assert all(np.all(np.isfinite(values)) for values in history.values())
    x = images(8)
    terms, carry = model.autoencoder_losses(Batch.of(x), False, {})
    assert {keras.backend.standardize_dtype(terms[name].dtype) for name in ("global", "reconstruction")} == {"float32"}
    assert not isinstance(model.optimizer["critic"], keras.optimizers.LossScaleOptimizer)


def test_bfloat16_terms_are_near_those_of_float32():
    x = Batch.of(images(16))
    plain, mixed = gamix(), gamix(dtype="mixed_bfloat16")
    mixed.set_weights(plain.get_weights())
    left, right = (m.autoencoder_losses(x, False, {})[0] for m in (plain, mixed))
    for name in ("reconstruction", "global", "variance"):
        assert float(numpy(right[name])) == pytest.approx(float(numpy(left[name])), rel=0.03), name


@pytest.fixture
def half():
    model = compiled(gamix(dtype="mixed_float16"))
    model.train_on_batch(images(8))
    return model


def test_float16_scales_both_losses_and_trains(half, tmp_path):
    for name in ("autoencoder", "critic"):
        assert isinstance(half.optimizer[name], keras.optimizers.LossScaleOptimizer)
    before = state(half)
    half.fit(images(16), batch_size=8, verbose=0)
    assert difference(before, state(half)) > 0
    half.save(tmp_path / "half.keras")
    loaded = keras.saving.load_model(tmp_path / "half.keras")
    assert difference(state(half), state(loaded)) == 0.0


def test_overflow_in_the_critic_skips_only_the_critic(half):
    half.optimizer["autoencoder"].dynamic_scale.assign(1.0)
    half.optimizer["critic"].dynamic_scale.assign(3e38)
    generator = [numpy(v).copy() for v in half.autoencoder_variables]
    judge = [numpy(v).copy() for v in half.critic.trainable_variables]
    half.fit(images(8), batch_size=8, verbose=0)
    assert all(np.array_equal(a, numpy(v)) for a, v in zip(judge, half.critic.trainable_variables, strict=True))
    assert any(not np.array_equal(a, numpy(v)) for a, v in zip(generator, half.autoencoder_variables, strict=True))
    assert float(numpy(half.optimizer["critic"].dynamic_scale)) < 3e38
