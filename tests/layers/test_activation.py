"""The slope of the activations at exactly 0, which backends disagree about."""

import keras
import numpy as np
from harness import gradient, numpy, round_trip

from gamix_keras.layers import LeakyReLU

X = np.array([-2.0, -1e-30, 0.0, 1e-30, 3.0], "float32")


def test_leaky_relu_has_its_negative_slope_at_zero_on_every_backend():
    layer = LeakyReLU(0.2)
    np.testing.assert_allclose(numpy(layer(X)), np.where(X > 0, X, 0.2 * X))
    found = gradient(lambda x: keras.ops.sum(layer(x)), X)
    np.testing.assert_allclose(found, np.where(X > 0, 1.0, 0.2), rtol=1e-6)
    assert round_trip(layer).get_config() == layer.get_config()


def test_relu_has_slope_zero_at_zero_on_every_backend():
    found = gradient(lambda x: keras.ops.sum(keras.layers.ReLU()(x)), X)
    np.testing.assert_array_equal(found, X > 0)
