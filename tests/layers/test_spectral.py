import keras
import numpy as np
import pytest
from harness import numpy, round_trip, rounded_to_tf32

from gamix_keras.layers.spectral import SpectralNorm, spectral_norm


def _largest(kernel):
    return np.linalg.svd(np.asarray(kernel).reshape(-1, kernel.shape[-1]), compute_uv=False)[0]


@pytest.mark.parametrize(
    ("shape", "tolerance"),
    [
        ((3, 3, 16, 32), 1e-3),
        ((64, 8), 1e-3),
        ((8, 64), 1e-3),
        ((4, 4, 3, 1), 1e-5),
        ((1, 1), 1e-5),
        ((300, 260), 0.05),
    ],
)
def test_agrees_with_the_singular_value_decomposition(shape, tolerance):
    kernel = np.random.default_rng(0).normal(size=shape).astype("float32")
    found = float(spectral_norm(keras.ops.convert_to_tensor(kernel)))
    assert found == pytest.approx(_largest(kernel), rel=tolerance)
    assert found <= _largest(kernel) * (1 + 1e-5)


def test_known_singular_values():
    q = np.linalg.qr(np.random.default_rng(0).normal(size=(20, 20)))[0]
    kernel = (q[:, :6] * [5.0, 3.0, 1.0, 0.5, 0.2, 0.1]) @ np.linalg.qr(q[:6, :6])[0]
    assert float(spectral_norm(kernel.astype("float32"))) == pytest.approx(5.0, rel=1e-5)
    normed = numpy(SpectralNorm()(keras.ops.convert_to_tensor(kernel.astype("float32"))))
    np.testing.assert_allclose(normed, kernel / 5.0, rtol=1e-4, atol=1e-6)


def test_rounded_matrix_products_cost_nothing(monkeypatch):
    """As NVIDIA's matrix units round to TF32; the direction of a kernel of rank 1 is known exactly, or nearly so."""
    rng = np.random.default_rng(3)
    kernel = (rng.normal(size=(50, 1)) @ rng.normal(size=(1, 30))).astype("float32")
    exact = keras.ops.matmul
    monkeypatch.setattr(keras.ops, "matmul", lambda a, b: exact(rounded_to_tf32(a), rounded_to_tf32(b)))
    assert float(spectral_norm(keras.ops.convert_to_tensor(kernel))) == pytest.approx(_largest(kernel), rel=2e-6)


def test_same_answer_every_time_and_zero_is_finite():
    kernel = keras.ops.convert_to_tensor(np.random.default_rng(0).normal(size=(9, 9)).astype("float32"))
    np.testing.assert_array_equal(numpy(SpectralNorm()(kernel)), numpy(SpectralNorm()(kernel)))
    assert np.all(np.isfinite(numpy(SpectralNorm()(0 * kernel))))


def test_works_inside_a_jitted_fit():
    layer = keras.layers.Dense(4, kernel_constraint=SpectralNorm())
    model = keras.Sequential([keras.Input((6,)), layer])
    model.compile(keras.optimizers.SGD(0.5), loss="mse", jit_compile="auto")
    rng = np.random.default_rng(0)
    model.fit(rng.normal(size=(16, 6)), rng.normal(size=(16, 4)), epochs=5, verbose=0)
    assert _largest(numpy(layer.kernel)) == pytest.approx(1.0, rel=0.01)


def test_saving_and_errors():
    assert round_trip(SpectralNorm(7)).iterations == 7
    with pytest.raises(ValueError, match="iterations: expected a positive integer, got 0"):
        SpectralNorm(0)
