"""What only TensorFlow's own operations can tell; imported on TensorFlow only."""

import functools

import tensorflow as tf

_SIDE, _COUNT = 64, 4


@functools.cache
def kernel_gradient_stalls(dtype: str) -> bool:
    """Return whether 16,384 ones do not come to 16,384 in the gradient of a convolution's kernel."""
    with tf.init_scope():  # outside any graph that is being traced
        ones = tf.ones((_COUNT, _SIDE, _SIDE, 1), dtype)
        sizes, strides = [1, 1, 1, 1], [1, 1, 1, 1]
        total = tf.raw_ops.Conv2DBackpropFilter(
            input=ones, filter_sizes=sizes, out_backprop=ones, strides=strides, padding="VALID"
        )
        return float(tf.reshape(tf.cast(total, tf.float32), ())) != _COUNT * _SIDE**2
