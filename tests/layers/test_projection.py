"""The fixed random projection against a 1x1 convolution."""

import keras
import numpy as np
from harness import numpy, round_trip

from gamix_keras.layers import RandomProjection

MAPS = np.random.default_rng(0).normal(size=(2, 4, 3, 50)).astype("float32")


def test_it_is_a_1x1_convolution_with_a_matrix_of_its_seed():
    layer, again, other = RandomProjection(400, 5), RandomProjection(400, 5), RandomProjection(400, 6)
    projected = [numpy(each(MAPS)) for each in (layer, again, other)]
    conv = keras.layers.Conv2D(400, 1, use_bias=False)
    conv.build(MAPS.shape)
    conv.kernel.assign(layer.matrix[None, None])
    np.testing.assert_allclose(projected[0], numpy(conv(MAPS)), atol=1e-4)
    np.testing.assert_array_equal(projected[0], projected[1])
    assert np.abs(projected[0] - projected[2]).mean() > 0.1


def test_the_matrix_is_he_normal_and_never_trainable():
    layer = RandomProjection(400)
    layer.build(MAPS.shape)
    assert abs(numpy(layer.matrix).std() / np.sqrt(2 / 50) - 1) < 0.02
    layer.trainable = False
    layer.trainable = True
    assert layer.trainable_variables == [] and len(layer.weights) == 1


def test_it_keeps_its_settings():
    layer = round_trip(RandomProjection(7, 3))
    assert (layer.channels, layer.seed) == (7, 3)
    assert layer.compute_output_shape((None, 4, 3, 50)) == (None, 4, 3, 7)
