import keras
import numpy as np
import pytest
from harness import numpy, round_trip
from scipy import stats

from gamix_keras.layers.attention import (
    AddPositions,
    PrependToken,
    SelfAttention,
    TransformerBlock,
    gelu,
    sincos_positions,
)

X = np.random.default_rng(0).normal(size=(2, 6, 8)).astype("float32")


@pytest.mark.backend_free
def test_positions_are_sines_and_cosines_of_row_and_column():
    positions = sincos_positions(3, 5, 16).reshape(3, 5, 16)
    row, column, frequencies = 2, 4, 10_000.0 ** (-np.arange(4) / 4)
    expected = [f(place * frequencies) for place in (row, column) for f in (np.sin, np.cos)]
    np.testing.assert_allclose(positions[row, column], np.concatenate(expected), rtol=1e-6)
    assert len(np.unique(positions.reshape(15, 16).round(4), axis=0)) == 15
    with pytest.raises(ValueError, match="divisible by 4, got 6"):
        sincos_positions(2, 2, 6)


def test_positions_are_added():
    layer = AddPositions(2, 3)
    np.testing.assert_allclose(numpy(layer(X)) - X, np.stack([sincos_positions(2, 3, 8)] * 2), atol=1e-6)
    assert round_trip(layer).get_config() == layer.get_config()


def test_token_comes_first_and_is_learned():
    layer = PrependToken()
    out = numpy(layer(X))
    assert out.shape == layer.compute_output_shape(X.shape) == (2, 7, 8)
    np.testing.assert_array_equal(out[:, 1:], X)
    np.testing.assert_array_equal(out[0, 0], out[1, 0])
    assert layer.trainable_variables[0].shape == (1, 1, 8)


def _softmax(x):
    return np.exp(x - x.max(-1, keepdims=True)) / np.exp(x - x.max(-1, keepdims=True)).sum(-1, keepdims=True)


def _norm(x, gain):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6) * gain


def test_block_against_plain_numpy():
    block = TransformerBlock(heads=2, mlp_ratio=3)
    block.build(X.shape)
    rng = np.random.default_rng(1)
    weights = {v.path.split("/", 1)[-1]: rng.normal(size=v.shape).astype("float32") / 3 for v in block.variables}
    for variable in block.variables:
        variable.assign(weights[variable.path.split("/", 1)[-1]])
    parts = {"q": block.attention.query_dense, "k": block.attention.key_dense, "v": block.attention.value_dense}
    x = _norm(X, numpy(block.first_norm.gamma))
    q, k, v = (np.einsum("btd,dhe->bhte", x, numpy(p.kernel)) + numpy(p.bias)[:, None] for p in parts.values())
    attended = _softmax(q @ k.swapaxes(-1, -2) / 2.0) @ v
    out = block.attention.output_dense
    x = X + np.einsum("bhte,hed->btd", attended, numpy(out.kernel)) + numpy(out.bias)
    hidden = _norm(x, numpy(block.second_norm.gamma)) @ numpy(block.hidden.kernel) + numpy(block.hidden.bias)
    gelu = 0.5 * hidden * (1 + np.tanh(np.sqrt(2 / np.pi) * (hidden + 0.044715 * hidden**3)))
    expected = x + gelu @ numpy(block.out.kernel) + numpy(block.out.bias)
    np.testing.assert_allclose(numpy(block(X)), expected, rtol=1e-3, atol=3e-3)


def test_attention_is_that_of_keras_with_the_same_weights():
    ours, theirs = SelfAttention(2), keras.layers.MultiHeadAttention(2, 4)
    ours.build(X.shape), theirs.build(X.shape, X.shape)
    assert [v.shape for v in ours.weights] == [v.shape for v in theirs.weights]
    weights = [np.random.default_rng(i).normal(size=v.shape) / 2 for i, v in enumerate(ours.weights)]
    ours.set_weights(weights), theirs.set_weights(weights)
    np.testing.assert_allclose(numpy(ours(X)), numpy(theirs(X, X)), rtol=1e-4, atol=1e-5)
    assert round_trip(ours).get_config() == ours.get_config()


def test_gelu_is_x_times_the_normal_distribution():
    x = np.linspace(-6, 6, 25, dtype="float32")
    np.testing.assert_allclose(numpy(gelu(keras.ops.convert_to_tensor(x))), x * stats.norm.cdf(x), rtol=1e-5, atol=1e-6)


@pytest.mark.backend_free
def test_block_parameters_and_saving():
    block = TransformerBlock(heads=4)
    block.build((None, 65, 256))
    assert block.count_params() == 4 * 257 * 256 + 257 * 1024 + 1025 * 256 + 2 * 256
    assert round_trip(block).get_config() == block.get_config()
    assert isinstance(block.first_norm, keras.layers.LayerNormalization) and block.first_norm.beta is None


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="heads: expected a divisor of the width 8, got 3"):
        TransformerBlock(heads=3)(X)
