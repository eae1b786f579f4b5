import keras
import numpy as np
import pytest
from harness import numpy, round_trip

from gamix_keras.layers.residual import PreActivatedConv, ResidualBlock

X = np.random.default_rng(0).normal(size=(2, 8, 8, 8)).astype("float32")


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("resample", "width", "expected"),
    [("none", 128, 313_216), ("down", 128, 330_240), ("up", 128, 313_216), ("up", 3, 4_966)],
)
def test_published_parameter_counts(resample, width, expected):
    block = ResidualBlock(width, resample, paper=True)
    block.build((None, 8, 8, 128))
    assert block.count_params() == expected


@pytest.mark.parametrize("paper", [False, True])
@pytest.mark.parametrize(("resample", "size"), [("none", 8), ("down", 4), ("up", 16)])
def test_shapes(paper, resample, size):
    block = ResidualBlock(8, resample, paper=paper, groups=2)
    assert block.compute_output_shape((None, 8, 8, 8)) == (None, size, size, 8)
    assert numpy(block(X)).shape == (2, size, size, 8)
    assert round_trip(block).get_config() == block.get_config()


def test_silent_main_path_leaves_the_input():
    block = ResidualBlock(8)
    block.build(X.shape)
    block.main[-1].conv.kernel.assign(np.zeros((1, 1, 8, 8)))
    np.testing.assert_array_equal(numpy(block(X)), X)


@pytest.mark.parametrize(("resample", "scale"), [("down", 0.5), ("up", 2)])
def test_corrected_side_path_is_linear(resample, scale):
    block = ResidualBlock(8, resample)
    block.build(X.shape)
    side = [numpy(_side(block, factor * X)) for factor in (0.0, 1.0, 2.0)]
    np.testing.assert_allclose(side[2] - side[1], side[1] - side[0], rtol=1e-4, atol=1e-5)


def _side(block, x):
    for layer in block.side:
        x = layer(x)
    return x


def test_filter_before_a_1x1_convolution_is_the_filter_after_it():
    step = PreActivatedConv(8, 1, "down", blur=True, norm="none")
    step.build(X.shape)
    late = step.filter(keras.ops.convert_to_tensor(step.conv(keras.ops.relu(X))))
    np.testing.assert_allclose(numpy(step(X)), numpy(late), rtol=1e-4, atol=1e-5)


def test_width_must_match_where_nothing_is_resampled():
    with pytest.raises(ValueError, match="width: expected the input's 8 channels, got 4"):
        ResidualBlock(4)(X)
    with pytest.raises(ValueError, match="resample: expected one of none, down, up, got 'left'"):
        ResidualBlock(8, "left")
