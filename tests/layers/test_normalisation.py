import keras
import numpy as np
import pytest
from harness import numpy, round_trip

from gamix_keras.layers.normalisation import (
    BatchNormalization,
    GroupNormalization,
    LayerNormalization,
    PlaneNormalization,
    ScaleShift,
    group_count,
    make_normalisation,
)

X = np.random.default_rng(0).normal(1.0, 3.0, (4, 5, 6, 8)).astype("float32")


@pytest.mark.parametrize("training", [False, True])
def test_scale_shift_formula(training):
    layer = ScaleShift()
    layer.build(X.shape)
    layer.gamma.assign(np.arange(8.0))
    layer.beta.assign(np.ones(8))
    expected = X / np.sqrt(1 + layer.epsilon) * np.arange(8) + 1
    np.testing.assert_allclose(numpy(layer(X, training=training)), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(numpy(layer.moving_mean), 0)


def test_scale_shift_counts_as_batch_normalisation_does():
    ours, keras_own = ScaleShift(), keras.layers.BatchNormalization()
    ours.build(X.shape), keras_own.build(X.shape)
    assert ours.count_params() == keras_own.count_params() == 32
    assert [v.shape for v in ours.variables] == [v.shape for v in keras_own.variables]
    assert round_trip(ours).get_config() == ours.get_config()


def test_plane_normalisation_formula():
    layer = PlaneNormalization()
    layer.build(X.shape)
    gain, bias = np.random.default_rng(1).normal(size=(2, 5, 6)).astype("float32")
    layer.gamma.assign(gain)
    layer.beta.assign(bias)
    centred = (X - X.mean((1, 2), keepdims=True)) / np.sqrt(X.var((1, 2), keepdims=True) + 1e-3)
    expected = centred * gain[:, :, None] + bias[:, :, None]
    np.testing.assert_allclose(numpy(layer(X)), expected, rtol=1e-4, atol=1e-5)
    if keras.config.backend() != "torch":
        theirs = keras.layers.LayerNormalization(axis=(1, 2))
        theirs.build(X.shape)
        theirs.set_weights([gain, bias])
        np.testing.assert_allclose(numpy(theirs(X)), expected, rtol=1e-4, atol=1e-5)
    assert round_trip(layer).get_config() == layer.get_config()


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("channels", "groups", "expected"),
    [(128, 8, 8), (12, 8, 6), (3, 8, 1), (1, 8, 1), (7, 8, 1), (8, 32, 4), (20, 8, 5)],
)
def test_groups_adapt_to_the_width(channels, groups, expected):
    assert group_count(channels, groups) == expected


def test_group_normalisation_is_that_of_each_image_and_group():
    layer, theirs = GroupNormalization(4), keras.layers.GroupNormalization(4, epsilon=1e-5)
    layer.build(X.shape), theirs.build(X.shape)
    gain, bias = np.random.default_rng(1).normal(size=(2, 8)).astype("float32")
    layer.set_weights([gain, bias]), theirs.set_weights([gain, bias])
    grouped = X.reshape(4, 30, 4, 2)
    centred = grouped - grouped.mean((1, 3), keepdims=True)
    expected = (centred / np.sqrt(grouped.var((1, 3), keepdims=True) + 1e-5)).reshape(X.shape) * gain + bias
    np.testing.assert_allclose(numpy(layer(X, training=True)), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(numpy(theirs(X)), expected, rtol=1e-4, atol=1e-4)
    assert round_trip(layer).get_config() == layer.get_config()
    with pytest.raises(ValueError, match="groups: expected a divisor of the 8 channels, got 3"):
        GroupNormalization(3)(X)


def test_every_name_and_a_wrong_one():
    for kind in ("group", "batch", "scale_shift", "none"):
        assert numpy(make_normalisation(kind, 8)(X)).shape == X.shape
    np.testing.assert_array_equal(numpy(make_normalisation("none", 8)(X)), X)
    with pytest.raises(ValueError, match="norm: expected one of group, batch, scale_shift, none, got 'layer'"):
        make_normalisation("layer", 8)


def test_group_normalisation_of_a_map_far_from_zero():
    layer, far = GroupNormalization(4), X + np.float32(50.0)
    layer.build(far.shape)
    np.testing.assert_allclose(numpy(layer(far)), numpy(layer(X)), atol=1e-3)


@pytest.mark.parametrize("channels", [8, 64])  # groups of 2, and of 16, which PyTorch takes as they are
def test_group_normalisation_reduces_in_float32(channels):
    x = np.random.default_rng(2).normal(3.0, 1.0, (2, 5, 6, channels)).astype("float32")
    layer, exact = GroupNormalization(4, dtype="mixed_bfloat16"), GroupNormalization(4)
    layer.build(x.shape), exact.build(x.shape)
    found = layer(x)
    assert keras.backend.standardize_dtype(found.dtype) == "bfloat16"
    rounded = keras.ops.cast(keras.ops.cast(x, "bfloat16"), "float32")
    np.testing.assert_allclose(numpy(keras.ops.cast(found, "float32")), numpy(exact(rounded)), rtol=2**-8, atol=1e-3)


@pytest.mark.parametrize("shape", [(32, 3, 4, 6), (64, 6)])
def test_batch_normalisation_is_that_of_keras(shape):
    x = np.random.default_rng(2).normal(1.0, 2.0, shape).astype("float32")
    ours, theirs = (kind(momentum=0.9) for kind in (BatchNormalization, keras.layers.BatchNormalization))
    ours.build(x.shape), theirs.build(x.shape)
    weights = [np.random.default_rng(i).uniform(0.5, 2, v.shape) for i, v in enumerate(ours.weights)]
    ours.set_weights(weights), theirs.set_weights(weights)
    for training in (True, False):
        expected = numpy(theirs(x, training=training))
        np.testing.assert_allclose(numpy(ours(x, training=training)), expected, rtol=1e-4, atol=1e-4)
    for one, two in zip(ours.weights, theirs.weights, strict=True):
        assert one.name == two.name
        np.testing.assert_allclose(numpy(one), numpy(two), rtol=1e-4)
    assert round_trip(ours).get_config() == ours.get_config()
    ours.trainable = theirs.trainable = False  # then the moving statistics serve, as in Keras
    np.testing.assert_allclose(numpy(ours(x, training=True)), numpy(theirs(x, training=True)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("layer", [BatchNormalization(epsilon=1e-5), LayerNormalization(epsilon=1e-5)])
def test_a_mean_far_from_zero_costs_no_digits(layer):
    axis = -1 if isinstance(layer, LayerNormalization) else 0
    x = (20.0 + 1e-3 * np.random.default_rng(0).normal(size=(256, 64))).astype("float32")
    exact = x.astype("float64")
    expected = (exact - exact.mean(axis, keepdims=True)) / np.sqrt(exact.var(axis, keepdims=True) + 1e-5)
    layer.build(x.shape)
    np.testing.assert_allclose(numpy(layer(x, training=True) if axis == 0 else layer(x)), expected, atol=2e-3)


@pytest.mark.parametrize(("mean", "spread"), [(20.0, 1e-2), (-5.0, 1e-2), (300.0, 1.0)])
def test_a_group_far_from_zero_costs_no_digits(mean, spread):
    x = (mean + spread * np.random.default_rng(0).normal(size=(2, 8, 8, 8))).astype("float32")
    grouped = x.astype("float64").reshape(2, 64, 2, 4)
    centred = grouped - grouped.mean((1, 3), keepdims=True)
    expected = (centred / np.sqrt(grouped.var((1, 3), keepdims=True) + 1e-5)).reshape(x.shape)
    found = numpy(GroupNormalization(2)(x))
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_layer_normalisation_is_that_of_keras():
    x = np.random.default_rng(2).normal(1.0, 2.0, (3, 5, 8)).astype("float32")
    for center in (True, False):
        ours, theirs = (kind(center=center) for kind in (LayerNormalization, keras.layers.LayerNormalization))
        ours.build(x.shape), theirs.build(x.shape)
        weights = [np.random.default_rng(i).normal(size=v.shape) for i, v in enumerate(ours.weights)]
        ours.set_weights(weights), theirs.set_weights(weights)
        np.testing.assert_allclose(numpy(ours(x)), numpy(theirs(x)), rtol=1e-4, atol=1e-4)


def test_gradient_of_group_normalisation_alone():
    """PyTorch 2.13 crashed here, on an input whose own gradient nobody asks for."""
    model = keras.Sequential([keras.Input(X.shape[1:]), GroupNormalization(4), keras.layers.GlobalAveragePooling2D()])
    model.compile(keras.optimizers.SGD(1.0), loss="mse", jit_compile=False)
    model.train_on_batch(X, np.ones((4, 8), "float32"))
    assert np.all(numpy(model.trainable_variables[1]) > 0)
