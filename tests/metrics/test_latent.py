import keras
import numpy as np
import pytest
from keras import ops

from gamix_keras.metrics import latent


def test_active_units_counts_the_dimensions_that_move():
    rng = np.random.default_rng(0)
    scales = np.array([1.0, 0.5, 0.2, 0.05, 0.0])  # variances 1, 0.25, 0.04, 0.0025, 0
    mean = (rng.normal(size=(500, 5)) * scales + [0, 3, -100, 5, 1]).astype("float32")
    metric = latent.ActiveUnits(5)
    for batch in np.split(mean, [7, 8, 200]):
        metric.update_state(batch)
    np.testing.assert_allclose(ops.convert_to_numpy(metric.variance()), mean.var(0), rtol=1e-3, atol=1e-7)
    assert float(metric.result()) == 3
    metric.reset_state()
    assert float(metric.result()) == 0


def test_active_units_ignores_images_of_weight_zero():
    mean = np.array([[0.0], [0.0], [50.0]], "float32")
    metric = latent.ActiveUnits(1)
    metric.update_state(mean, sample_weight=np.zeros(3, "float32"))
    assert float(metric.result()) == 0
    metric.update_state(mean, sample_weight=np.array([1, 1, 0], "float32"))
    assert float(metric.result()) == 0
    metric.update_state(mean, sample_weight=1.0)
    assert float(metric.result()) == 1


def test_active_units_serialises_and_checks_its_arguments():
    config = keras.metrics.serialize(latent.ActiveUnits(4, threshold=0.5, name="active"))
    metric = keras.metrics.deserialize(config)
    assert (metric.latent_dim, metric.threshold, metric.name) == (4, 0.5, "active")
    with pytest.raises(ValueError, match="latent_dim"):
        latent.ActiveUnits(0)
    with pytest.raises(ValueError, match="threshold"):
        latent.ActiveUnits(2, threshold=-1)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="stateless tracing is JAX's own")
def test_active_units_is_pure_under_jit():
    import jax

    metric = latent.ActiveUnits(2)
    state = [v.value for v in metric.variables]
    update = jax.jit(metric.stateless_update_state)
    for step in range(3):
        state = update(state, np.array([[step, 0.0], [step + 1, 0.0]], "float32"))
    assert float(jax.jit(metric.stateless_result)(state)) == 1


def test_active_units_count_the_same_far_from_the_origin():
    rng = np.random.default_rng(0)
    mean = (1e3 + rng.normal(size=(4000, 3)) * [1.0, 0.2, 0.02]).astype("float32")
    metric = latent.ActiveUnits(3)
    for batch in np.split(mean, 40):
        metric.update_state(batch)
    np.testing.assert_allclose(ops.convert_to_numpy(metric.variance()), mean.astype("float64").var(0), rtol=1e-2)
    assert float(metric.result()) == 2
