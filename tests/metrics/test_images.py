import keras
import numpy as np
import pytest
from harness import rounded_to_tf32
from keras import ops

from gamix_keras.metrics import images as measures
from gamix_keras.metrics import latent


def pair(shape=(3, 32, 32, 3), seed=0):
    """Smooth-ish random images in [-1, 1] and noisy copies of them."""
    rng = np.random.default_rng(seed)
    images = np.cumsum(np.cumsum(rng.normal(size=shape), axis=1), axis=2)
    images = (images / np.abs(images).max()).astype("float32")
    noise = rng.normal(size=shape) * rng.uniform(0.02, 0.2, size=(shape[0], 1, 1, 1))
    return images, np.clip(images + noise, -1, 1).astype("float32")


def test_errors_are_those_of_images_in_zero_one():
    x, y = pair()
    difference = (x.astype("float64") - y) / 2
    absolute = ops.convert_to_numpy(measures.mean_absolute_error(x, y))
    squared = ops.convert_to_numpy(measures.mean_squared_error(x, y))
    np.testing.assert_allclose(absolute, np.abs(difference).mean((1, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(squared, (difference**2).mean((1, 2, 3)), rtol=1e-5)


def test_psnr_equals_scikit_image():
    metrics = pytest.importorskip("skimage.metrics")
    x, y = pair()
    expected = [metrics.peak_signal_noise_ratio(a, b, data_range=2.0) for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(ops.convert_to_numpy(measures.peak_signal_to_noise(x, y)), expected, rtol=1e-5)


def test_equal_images_have_a_finite_psnr():
    x, _ = pair()
    np.testing.assert_allclose(ops.convert_to_numpy(measures.peak_signal_to_noise(x, x)), 100.0, rtol=1e-6)


def test_shapes_are_checked():
    with pytest.raises(ValueError, match=r"^images and reconstruction: expected shape \(B, H, W, C\), got"):
        measures.mean_squared_error(np.zeros((4, 4, 3)), np.zeros((4, 4, 3)))


@pytest.mark.parametrize("shape", [(2, 32, 32, 3), (2, 11, 40, 1), (2, 37, 29, 3)])
def test_ssim_equals_scikit_image(shape):
    metrics = pytest.importorskip("skimage.metrics")
    x, y = pair(shape)
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "channel_axis": -1}
    halves = zip(0.5 + x.astype("float64") / 2, 0.5 + y.astype("float64") / 2, strict=True)
    expected = [metrics.structural_similarity(a, b, data_range=1.0, **settings) for a, b in halves]
    np.testing.assert_allclose(ops.convert_to_numpy(measures.structural_similarity(x, y)), expected, atol=2e-5)


@pytest.mark.parametrize(
    ("side", "scales"), [(11, 1), (21, 1), (22, 2), (32, 2), (64, 3), (128, 4), (176, 5), (512, 5)]
)
def test_scales_keep_the_window_inside_the_image(side, scales):
    assert measures.similarity_scales(side) == scales
    assert side // 2 ** (scales - 1) >= 11


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the outside answer is TensorFlow's")
@pytest.mark.parametrize("side", [32, 64, 176])
def test_multiscale_ssim_equals_tensorflow_image(side):
    import tensorflow as tf

    x, y = pair((2, side, side, 3))
    weights = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333][: measures.similarity_scales(side)])
    expected = tf.image.ssim_multiscale(
        tf.constant(0.5 + x / 2), tf.constant(0.5 + y / 2), 1.0, power_factors=list(weights / weights.sum())
    )
    np.testing.assert_allclose(measures.multiscale_structural_similarity(x, y), expected, atol=5e-5)


def test_similarity_is_one_for_equal_images_and_falls_with_noise():
    x, y = pair((2, 64, 64, 3))
    worse = np.clip(x + 4 * (y - x), -1, 1)
    for measure in (measures.structural_similarity, measures.multiscale_structural_similarity):
        np.testing.assert_allclose(ops.convert_to_numpy(measure(x, x)), 1.0, atol=1e-5)
        near, far = (ops.convert_to_numpy(measure(x, other)) for other in (y, worse))
        assert np.all(far < near) and np.all(near < 1)


def test_inverted_images_are_nowhere_alike():
    x, _ = pair((2, 64, 64, 1))
    assert np.all(ops.convert_to_numpy(measures.multiscale_structural_similarity(x, -x)) < 0.05)


def test_images_smaller_than_the_window_are_refused():
    small = np.zeros((1, 10, 30, 3), "float32")
    with pytest.raises(ValueError, match="at least 11 pixels"):
        measures.structural_similarity(small, small)


def test_reconstruction_scores_name_every_measure_per_image():
    x, y = pair()
    scores = measures.reconstruction_scores(x, y)
    assert list(scores) == ["mae", "mse", "psnr", "ssim", "ms_ssim"]
    assert all(score.shape == (3,) for score in scores.values())
    np.testing.assert_allclose(scores["psnr"], -10 * np.log10(scores["mse"]), rtol=1e-5)


def test_psnr_metric_is_the_mean_over_all_images_of_uneven_batches():
    x, y = pair((5, 8, 8, 1))
    metric = measures.PeakSignalToNoise()
    metric.update_state(x[:2], y[:2])
    metric.update_state(x[2:], y[2:])
    expected = ops.convert_to_numpy(measures.peak_signal_to_noise(x, y)).mean()
    assert float(metric.result()) == pytest.approx(expected, rel=1e-5)


def test_psnr_metric_honours_weights_and_clips_predictions():
    x, y = pair((3, 8, 8, 1))
    metric = measures.PeakSignalToNoise()
    metric.update_state(x, y, sample_weight=np.array([1.0, 0.0, 0.0], "float32"))
    expected = ops.convert_to_numpy(measures.peak_signal_to_noise(x, y))[0]
    assert float(metric.result()) == pytest.approx(expected, rel=1e-5)
    metric.reset_state()
    metric.update_state(np.ones((1, 4, 4, 1)), np.full((1, 4, 4, 1), 7.0))
    assert float(metric.result()) == pytest.approx(100.0)


def test_psnr_metric_serialises_and_runs_in_a_compiled_model():
    metric = keras.metrics.deserialize(keras.metrics.serialize(measures.PeakSignalToNoise(name="quality")))
    assert isinstance(metric, measures.PeakSignalToNoise) and metric.name == "quality"
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Identity()])
    model.compile(loss="mse", metrics=[metric])
    x, y = pair((4, 8, 8, 1))
    logs = model.evaluate(y, x, batch_size=3, verbose=0, return_dict=True)
    expected = ops.convert_to_numpy(measures.peak_signal_to_noise(x, y)).mean()
    assert logs["quality"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("low", "data_range"), [(-1.0, 2.0), (0.0, 1.0), (0.0, 255.0)])
def test_psnr_knows_the_range_it_is_given(low, data_range):
    """10 log10(range^2 / MSE), whatever the range; a reconstruction beyond it is clipped by the metric."""
    rng = np.random.default_rng(0)
    x = low + data_range * rng.uniform(size=(4, 8, 8, 1))
    y = x + 0.05 * data_range * rng.normal(size=x.shape)
    clipped = np.clip(y, low, low + data_range)
    expected = 10 * np.log10(data_range**2 / ((x - clipped) ** 2).mean((1, 2, 3)))
    np.testing.assert_allclose(
        ops.convert_to_numpy(measures.peak_signal_to_noise(x, clipped, data_range)), expected, rtol=1e-4
    )
    metric = measures.PeakSignalToNoise(data_range=data_range)
    metric.update_state(x.astype("float32"), y.astype("float32"))
    assert float(metric.result()) == pytest.approx(expected.mean(), rel=1e-4)
    assert keras.metrics.deserialize(keras.metrics.serialize(metric)).data_range == data_range


def test_ranges_that_are_none_are_refused():
    for call in (measures.PeakSignalToNoise, lambda data_range: measures.peak_signal_to_noise(*pair(), data_range)):
        with pytest.raises(ValueError, match="data_range: expected a number > 0, got 0"):
            call(data_range=0)


def float64_ssim(x, y):
    """The definition in float64, window by window."""
    offsets = np.arange(11) - 5
    row = np.exp(-0.5 * (offsets / 1.5) ** 2)
    window = np.outer(row, row) / row.sum() ** 2
    values = []
    for i in range(x.shape[0] - 10):
        for j in range(x.shape[1] - 10):
            a, b = (v[i : i + 11, j : j + 11].astype("float64") / 2 + 0.5 for v in (x, y))
            mean_a, mean_b = (window * a).sum(), (window * b).sum()
            var_a, var_b = (window * (a - mean_a) ** 2).sum(), (window * (b - mean_b) ** 2).sum()
            covariance = (window * (a - mean_a) * (b - mean_b)).sum()
            luminance = (2 * mean_a * mean_b + 1e-4) / (mean_a**2 + mean_b**2 + 1e-4)
            values.append(luminance * (2 * covariance + 9e-4) / (var_a + var_b + 9e-4))
    return np.mean(values)


def test_ssim_is_right_far_from_grey_and_where_matrix_products_are_rounded(monkeypatch):
    """Bright, nearly flat images: their variances are small differences of large moments."""
    exact = {name: getattr(ops, name) for name in ("einsum", "matmul")}
    monkeypatch.setattr(measures.ops, "einsum", lambda s, *v: exact["einsum"](s, *map(rounded_to_tf32, v)))
    monkeypatch.setattr(measures.ops, "matmul", lambda a, b: exact["matmul"](rounded_to_tf32(a), rounded_to_tf32(b)))
    rng = np.random.default_rng(0)
    x = (0.9 + 0.03 * rng.normal(size=(1, 16, 16, 1))).astype("float32")
    y = (x + 0.03 * rng.normal(size=x.shape)).astype("float32")
    found = ops.convert_to_numpy(measures.structural_similarity(x, y))
    np.testing.assert_allclose(found, [float64_ssim(x[0, ..., 0], y[0, ..., 0])], atol=1e-5)


def test_callbacks_know_which_way_is_up():
    """Keras's mode="auto" for PSNR and active units: without a direction it raises after the first epoch."""
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(1, 1)])
    model.compile(loss="mse", metrics=[measures.PeakSignalToNoise()])
    stop = keras.callbacks.EarlyStopping(monitor="val_psnr", mode="auto", patience=1)
    x, y = pair((4, 8, 8, 1))
    model.fit(y, x, epochs=2, verbose=0, validation_data=(y, x), callbacks=[stop])
    assert stop.monitor_op is not None and bool(stop.monitor_op(2.0, 1.0))
    assert latent.ActiveUnits(2)._direction == "up"
