import numpy as np
import pytest
from harness import numpy, round_trip

from gamix_keras.layers.subpixel import DepthToSpace


@pytest.mark.parametrize("block", [2, 3])
def test_channels_become_the_pixels_of_a_block(block):
    x = np.random.default_rng(0).normal(size=(2, 3, 4, block * block * 5)).astype("float32")
    layer = DepthToSpace(block)
    y = numpy(layer(x))
    assert y.shape == layer.compute_output_shape(x.shape) == (2, 3 * block, 4 * block, 5)
    for i in range(block):
        for j in range(block):
            first = (block * i + j) * 5
            np.testing.assert_array_equal(y[:, i::block, j::block], x[..., first : first + 5])
    assert round_trip(layer).block == block


def test_channels_must_fit():
    with pytest.raises(ValueError, match="expected channels divisible by 4, got 6"):
        DepthToSpace()(np.zeros((1, 2, 2, 6), "float32"))
