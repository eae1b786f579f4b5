"""Gradients in bfloat16 and float16 against those in float32, of every layer with weights that the networks use."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from harness import backend, numpy
from keras import ops

from gamix_keras.layers import (
    BatchNormalization,
    BlurResample2D,
    Conv2D,
    Conv2DTranspose,
    Dense,
    DepthToSpace,
    GroupNormalization,
    LayerNormalization,
    PlaneNormalization,
    PrependToken,
    ScaleShift,
    SelfAttention,
)
from gamix_keras.layers.attention import gelu

MAP, TOKENS = (16, 16, 16, 8), (16, 64, 8)
LAYERS = {
    "dense": (lambda d: [Dense(8, dtype=d)], TOKENS),
    "dense gelu": (lambda d: [Dense(8, activation=gelu, dtype=d)], TOKENS),
    "repeated": (lambda d: [Dense(8, dtype=d), keras.layers.RepeatVector(512, dtype=d)], (4, 8)),
    "conv": (lambda d: [Conv2D(8, 3, padding="same", dtype=d)], MAP),
    "conv 1x1": (lambda d: [Conv2D(8, 1, dtype=d)], MAP),
    "conv strided": (lambda d: [Conv2D(8, 4, 2, "same", dtype=d)], MAP),
    "conv blur": (lambda d: [Conv2D(8, 1, dtype=d), BlurResample2D(0.5, dtype=d)], MAP),
    "conv pixels": (lambda d: [Conv2D(8, 1, dtype=d), DepthToSpace(dtype=d)], MAP),
    "transposed": (lambda d: [Conv2DTranspose(8, 4, 2, "same", dtype=d)], MAP),
    "transposed 5x5": (lambda d: [Conv2DTranspose(4, 5, 1, "same", dtype=d)], MAP),
    "group": (lambda d: [GroupNormalization(2, dtype=d)], MAP),
    "batch": (lambda d: [BatchNormalization(dtype=d)], MAP),
    "scale and shift": (lambda d: [ScaleShift(dtype=d)], MAP),
    "plane": (lambda d: [PlaneNormalization(dtype=d)], MAP),
    "layer": (lambda d: [LayerNormalization(dtype=d)], TOKENS),
    "token": (lambda d: [PrependToken(dtype=d)], (512, 4, 8)),
    "attention": (lambda d: [SelfAttention(2, dtype=d)], TOKENS),
}


def _short(values):
    """Numbers that either type holds exactly, so that only what the layer does is rounded."""
    return numpy(ops.cast(ops.cast(values, "bfloat16"), "float32"))


def _gradients(model, x, cotangent):
    variables = model.trainable_variables
    if backend() == "jax":
        import jax

        fixed = [v.value for v in model.non_trainable_variables]

        def loss(values):
            return ops.sum(ops.cast(model.stateless_call(values, fixed, x)[0], "float32") * cotangent)

        return jax.grad(loss)([v.value for v in variables])
    if backend() == "torch":
        (ops.cast(model(x), "float32") * ops.convert_to_tensor(cotangent)).sum().backward()
        return [v.value.grad for v in variables]
    import tensorflow as tf

    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.cast(model(x), "float32") * cotangent)
    return tape.gradient(loss, [v.value for v in variables])


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize(("make", "shape"), LAYERS.values(), ids=LAYERS)
def test_gradients_in_short_types_are_those_of_float32(make, shape, policy):
    """Every sum is rounded once, at its end; a bias summed in bfloat16 would stop at 256 ones."""
    rng = np.random.default_rng(0)
    models = [keras.Sequential([keras.Input(shape[1:]), *make(d)]) for d in ("float32", policy)]
    for variables in zip(*(model.trainable_variables for model in models), strict=True):
        value = _short(0.3 * rng.normal(size=variables[0].shape) + (variables[0].name == "gamma"))
        for variable in variables:
            variable.assign(value)
    x = _short(rng.uniform(0, 1, shape))
    cotangent = _short(rng.uniform(0.5, 1.5, (shape[0], *models[0].output_shape[1:])))
    exact, found = (_gradients(model, ops.convert_to_tensor(x), cotangent) for model in models)
    for variable, one, two in zip(models[0].trainable_variables, exact, found, strict=True):
        one, two = numpy(one), numpy(two)
        if "key/bias" not in variable.path:  # it shifts all scores of a query alike: its gradient is 0
            assert np.linalg.norm(two - one) < 0.02 * np.linalg.norm(one), variable.path


_ONES = """
import tensorflow as tf
from gamix_keras.layers import Conv2D, Conv2DTranspose
for kind in (Conv2D, Conv2DTranspose):
    layer, ones = kind(1, 1, dtype="mixed_bfloat16"), tf.ones((4, 64, 64, 1), "bfloat16")
    layer.build(ones.shape)
    with tf.GradientTape() as tape:
        outputs = layer(ones)
        loss = tf.reduce_sum(tf.cast(outputs, "float32"))
    print(outputs.dtype.name, *(float(tf.reduce_sum(g)) for g in tape.gradient(loss, [v.value for v in layer.weights])))
"""


@pytest.mark.backend_free  # it runs TensorFlow in a process of its own; oneDNN is no choice elsewhere
@pytest.mark.parametrize("onednn", ["0", "1"])
def test_a_sum_of_ones_is_their_number_with_and_without_onednn(onednn):
    environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": onednn, "KERAS_BACKEND": "tensorflow"}
    ran = subprocess.run([sys.executable, "-c", _ONES], env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines() == ["bfloat16 16384.0 16384.0"] * 2
