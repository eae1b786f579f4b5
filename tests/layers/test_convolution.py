import keras
import numpy as np
import pytest
from harness import numpy, round_trip
from keras import ops

from gamix_keras.layers import convolution
from gamix_keras.layers.convolution import Conv2D

X = np.random.default_rng(0).normal(size=(2, 9, 12, 3)).astype("float32")
# Strides whose padding is lopsided, none, dilation, the form of the critics, patches.
KINDS = [
    {"kernel_size": 3, "strides": 2, "padding": "same"},
    {"kernel_size": 4, "strides": 2, "padding": "same", "activation": "relu"},
    {"kernel_size": 3, "padding": "same", "use_bias": False},
    {"kernel_size": (2, 3), "dilation_rate": 2},
    {"kernel_size": 3, "strides": 3},
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_numbers_are_those_of_keras(kind, dtype):
    ours, theirs = (layer(5, dtype=dtype, **kind) for layer in (Conv2D, keras.layers.Conv2D))
    ours.build(X.shape)
    theirs.build(X.shape)
    theirs.set_weights(ours.get_weights())
    expected = numpy(ops.cast(theirs(X), "float32"))
    rounding = 1e-5 if dtype == "float32" else 1e-2  # processors sum bfloat16's products in orders of their own
    np.testing.assert_allclose(numpy(ops.cast(ours(X), "float32")), expected, rtol=rounding, atol=rounding)
    assert ours.compute_output_shape(X.shape) == expected.shape
    assert ours(keras.Input(X.shape[1:])).shape == (None, *expected.shape[1:])
    assert round_trip(ours).get_config() == ours.get_config()


def test_pytorch_convolves_the_map_itself_and_not_a_copy(monkeypatch):
    if keras.config.backend() != "torch":
        pytest.skip("other backends keep channels last")
    seen, convolve = [], ops.conv
    monkeypatch.setattr(convolution.ops, "conv", lambda x, *a, **k: (seen.append(x), convolve(x, *a, **k))[1])
    x = ops.convert_to_tensor(X)
    y = Conv2D(5, 3, padding="same")(x)
    assert seen[0].data_ptr() == x.data_ptr()
    assert seen[0].shape == (2, 3, 9, 12)
    assert y.is_contiguous()
