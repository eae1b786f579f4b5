"""Differentiable augmentation: bounds, means, a closed form for each number, and gradients."""

import numpy as np
import pytest
from harness import gradient, images, numpy, round_trip
from keras import ops

from gamix_keras.layers import DifferentiableAugmentation

X = images(4, (16, 8, 3))
# The number that leaves an image as it is: brightness, saturation, contrast, two shifts.
STILL = np.full((4, 5), 0.5, "float32")


def changed(kinds="colour,translation", **numbers):
    """The images, changed by these numbers alone."""
    drawn = STILL.copy()
    for name, value in numbers.items():
        drawn[:, ("brightness", "saturation", "contrast", "down", "right").index(name)] = value
    return numpy(DifferentiableAugmentation(kinds)(X, drawn))


def test_half_of_everything_changes_nothing():
    np.testing.assert_allclose(changed(), X, atol=1e-6)


def test_each_colour_in_closed_form():
    np.testing.assert_allclose(changed(brightness=0.9), X + 0.4, atol=1e-6)
    grey = X.mean(-1, keepdims=True)
    np.testing.assert_allclose(changed(saturation=0.0), np.broadcast_to(grey, X.shape), atol=1e-6)
    np.testing.assert_allclose(changed(saturation=0.75), grey + 1.5 * (X - grey), atol=1e-6)
    mean = X.mean((1, 2, 3), keepdims=True)
    np.testing.assert_allclose(changed(contrast=1.0), mean + 1.5 * (X - mean), atol=1e-6)


def test_shifts_are_whole_pixels_up_to_an_eighth_and_bring_in_zeros():
    down = changed(down=0.999)  # two of 16 rows
    np.testing.assert_allclose(down[:, 2:], X[:, :-2], atol=1e-6)
    assert (down[:, :2] == 0).all()
    left = changed(right=0.0)  # one of 8 columns, the other way
    np.testing.assert_allclose(left[:, :, :-1], X[:, :, 1:], atol=1e-6)
    assert (left[:, :, -1] == 0).all()


def test_each_kind_leaves_the_other_alone():
    np.testing.assert_allclose(changed("translation", brightness=0.9), X, atol=1e-6)
    np.testing.assert_allclose(changed("colour", down=0.9), X, atol=1e-6)


def test_colours_are_the_image_in_the_mean_and_each_draw_is_another():
    layer = DifferentiableAugmentation("colour", seed=1)
    many = np.broadcast_to(X[:1], (20_000, *X.shape[1:]))
    drawn = layer.draw(len(many))
    assert np.ptp(numpy(drawn), axis=0).min() > 0.99
    np.testing.assert_allclose(numpy(layer(many, drawn)).mean(0), X[0], atol=0.02)
    assert not np.array_equal(numpy(layer.draw(4)), numpy(layer.draw(4)))
    again = DifferentiableAugmentation("colour", seed=1)
    np.testing.assert_array_equal(numpy(again.draw(20_000)), numpy(drawn))


def test_the_gradient_is_that_of_a_linear_map():
    """Every change is affine in the image: the gradient of a weighted sum is the transposed map of the weights."""
    layer = DifferentiableAugmentation(seed=2)
    drawn = layer.draw(4)
    weights = np.random.default_rng(0).normal(size=X.shape).astype("float32")
    slope = gradient(lambda x: ops.sum(layer(x, drawn) * ops.convert_to_tensor(weights)), X)
    direction = np.random.default_rng(1).normal(size=X.shape).astype("float32")
    change = numpy(layer(X + direction, drawn)) - numpy(layer(X, drawn))
    assert (slope * direction).sum() == pytest.approx((change * weights).sum(), rel=1e-3)
    assert np.abs(slope).max() > 0.1


def test_its_settings():
    layer = round_trip(DifferentiableAugmentation("colour", seed=3))
    assert (layer.kinds, layer.seed) == ("colour", 3)
    for kinds in ("none", "cutout"):
        with pytest.raises(ValueError, match="kinds: expected one of colour; translation; colour,translation, got"):
            DifferentiableAugmentation(kinds)
