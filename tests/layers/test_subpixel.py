import numpy as np
import pytest
from harness import numpy, round_trip
from keras import ops

from gamix_keras.layers.subpixel import DepthToSpace, EqualPhases, NoAlternation, NonAlternating, PhaseAligned


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


def test_aligned_phases_start_as_nearest_neighbour():
    kernel = numpy(PhaseAligned(2, seed=0)((3, 3, 5, 8)))
    x = np.random.default_rng(0).normal(size=(1, 4, 4, 5)).astype("float32")
    y = numpy(DepthToSpace(2)(ops.conv(x, kernel, padding="same")))
    np.testing.assert_allclose(y, np.repeat(np.repeat(y[:, ::2, ::2], 2, 1), 2, 2), atol=1e-6)
    assert kernel.std() == pytest.approx((2 / (9 * (5 + 2))) ** 0.5, rel=0.1)
    assert PhaseAligned(**PhaseAligned(3, seed=7).get_config()).get_config() == {"block": 3, "seed": 7}


def test_aligned_phases_want_divisible_channels():
    with pytest.raises(ValueError, match="expected channels divisible by 4, got 6"):
        PhaseAligned()((3, 3, 2, 6))


def test_equal_phases_answer_a_flat_map_alike_and_keep_the_rest():
    kernel = np.random.default_rng(0).normal(size=(3, 3, 5, 8)).astype("float32")
    equal = numpy(EqualPhases()(ops.convert_to_tensor(kernel)))
    sums = equal.sum((0, 1)).reshape(5, 4, 2)
    assert np.allclose(sums, kernel.sum((0, 1)).reshape(5, 4, 2).mean(1, keepdims=True), atol=1e-5)
    assert np.allclose(equal - equal.mean((0, 1)), kernel - kernel.mean((0, 1)), atol=1e-6)
    again = EqualPhases()(ops.convert_to_tensor(equal))
    assert np.allclose(numpy(again), equal, atol=1e-6)


def test_equal_phases_share_their_biases():
    bias = np.array([0, 1, 2, 3, 4, 5, 6, 7], "float32")
    assert numpy(EqualPhases()(ops.convert_to_tensor(bias))).tolist() == [3, 4] * 4


@pytest.mark.parametrize("size", [(3, 3), (4, 2), (5, 3)])
def test_no_alternation_removes_the_response_to_stripes_and_keeps_the_rest(size):
    """The kernels that have none are those of a mean over 2 x 2 pixels: a subspace, onto which it projects."""
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(*size, 4, 2)).astype("float32")
    free = numpy(NoAlternation()(ops.convert_to_tensor(kernel)))
    for axis in (0, 1):
        signs = (-1.0) ** np.arange(size[axis])
        assert np.abs(np.tensordot(signs, free, (0, axis))).max() < 1e-6
    inner = rng.normal(size=(size[0] - 1, size[1] - 1, 4, 2)).astype("float32")
    held = sum(np.pad(inner, ((i, 1 - i), (j, 1 - j), (0, 0), (0, 0))) for i in (0, 1) for j in (0, 1))
    np.testing.assert_allclose(numpy(NoAlternation()(ops.convert_to_tensor(held))), held, atol=1e-6)
    assert abs(np.sum((kernel - free) * held)) < 1e-4 * np.abs(held).sum()


def test_non_alternating_kernels_keep_the_variance_of_glorot():
    kernel = numpy(NonAlternating(seed=0)((3, 3, 64, 64)))
    np.testing.assert_allclose(numpy(NoAlternation()(ops.convert_to_tensor(kernel))), kernel, atol=1e-6)
    assert kernel.std() == pytest.approx((2 / (9 * (64 + 64))) ** 0.5, rel=0.03)
    assert NonAlternating(**NonAlternating(seed=7).get_config()).get_config() == {"seed": 7}
