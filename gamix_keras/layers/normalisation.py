"""Normalisation layers by name, and the scale-and-shift that the published GAMIX code computes."""

from typing import Any

import keras
from keras import ops

from gamix_keras.distributed import replicas

NORMALISATIONS = ("group", "batch", "scale_shift", "none")


@keras.saving.register_keras_serializable("gamix_keras")
class ScaleShift(keras.layers.BatchNormalization):
    """Batch normalisation that never looks at a batch: y = gamma (x - m) / sqrt(v + epsilon) + beta.

    The moving mean m = 0 and variance v = 1 keep their initial values, which leaves a learned scale and shift. The
    published GAMIX-VAE (Rivera 2024) never passes `training`, so its batch normalisation computes exactly this; the
    four variables per channel are kept so that parameter counts agree and its weights fit.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Scale and shift any shape with the channels last, the same in training and at inference."""
        gain = self.gamma * ops.rsqrt(self.moving_variance + self.epsilon)
        bias = self.beta - self.moving_mean * gain
        # In float32: the gradients of gain and bias are then summed in float32.
        return ops.cast(ops.cast(inputs, "float32") * gain + bias, self.compute_dtype)


@keras.saving.register_keras_serializable("gamix_keras")
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` of the last axis, centred before it is squared.

    The same arguments, weights, moving statistics and numbers. Keras 3.15 takes mean(x^2) - mean(x)^2 for the variance
    on PyTorch, which is negative in float32 if a mean is large beside its spread, and NaN follows. On several devices
    the statistics are those of the whole batch.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalise any shape with the channels last; mean and variance in float32."""
        x = ops.cast(inputs, "float32")
        if training and self.trainable:
            axes = tuple(range(len(x.shape) - 1))
            mean = replicas.mean(ops.mean(x, axis=axes))
            centred = x - mean
            variance = replicas.mean(ops.mean(ops.square(centred), axis=axes))
            self._move(self.moving_mean, mean)
            self._move(self.moving_variance, variance)
        else:
            variance = ops.convert_to_tensor(self.moving_variance)
            centred = x - ops.convert_to_tensor(self.moving_mean)
        factor = ops.rsqrt(variance + self.epsilon)
        factor = factor * self.gamma if self.scale else factor
        outputs = centred * factor + self.beta if self.center else centred * factor
        return ops.cast(outputs, self.compute_dtype)

    def _move(self, average: keras.Variable, value: Any) -> None:
        average.assign(average * self.momentum + value * (1.0 - self.momentum))


@keras.saving.register_keras_serializable("gamix_keras")
class LayerNormalization(keras.layers.LayerNormalization):
    """`keras.layers.LayerNormalization` of the last axis, centred before it is squared, as `BatchNormalization`."""

    def call(self, inputs: Any) -> Any:
        """Normalise any shape; mean and variance in float32."""
        x = ops.cast(inputs, "float32")
        centred = x - ops.mean(x, axis=-1, keepdims=True)
        outputs = centred * ops.rsqrt(ops.mean(ops.square(centred), axis=-1, keepdims=True) + self.epsilon)
        outputs = outputs * self.gamma if self.scale else outputs
        outputs = outputs + self.beta if self.center else outputs
        return ops.cast(outputs, self.compute_dtype)


@keras.saving.register_keras_serializable("gamix_keras")
class PlaneNormalization(keras.layers.Layer):
    """Each channel of each image normalised over its plane: y = gain (x - mean) / sqrt(variance + epsilon) + bias.

    Gain and bias have one value per pixel, shape (H, W), shared by the channels, and tie the layer to one image size.
    It is `keras.layers.LayerNormalization(axis=(1, 2))`, which fails on torch for these axes.

    Args:
        epsilon: Added to the variance.
    """

    def __init__(self, epsilon: float = 1e-3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def build(self, input_shape: tuple) -> None:
        """Create gain and bias."""
        self.gamma = self.add_weight(name="gamma", shape=input_shape[1:3], initializer="ones")
        self.beta = self.add_weight(name="beta", shape=input_shape[1:3], initializer="zeros")

    def call(self, inputs: Any) -> Any:
        """Normalise (B, H, W, C) to the same shape; mean and variance in float32."""
        x = ops.cast(inputs, "float32")
        centred = x - ops.mean(x, axis=(1, 2), keepdims=True)
        variance = ops.mean(ops.square(centred), axis=(1, 2), keepdims=True)
        gain, bias = (ops.cast(v, "float32")[None, :, :, None] for v in (self.gamma, self.beta))
        return ops.cast(centred * ops.rsqrt(variance + self.epsilon) * gain + bias, self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Return the same shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "epsilon": self.epsilon}


@keras.saving.register_keras_serializable("gamix_keras")
class GroupNormalization(keras.layers.Layer):
    """Groups of channels normalised over each image: y = gain (x - mean) / sqrt(variance + epsilon) + bias.

    Wu & He 2018. Gain and bias have one value per channel. The layer of Keras computes the same, but on TensorFlow its
    variance stops the gradient through the mean: harmless in a first derivative, wrong by a third (measured) in the
    second, which a gradient penalty takes. It is slower, too: here PyTorch uses a kernel of its own, and elsewhere
    mean and gain are multiplied into one factor and one summand per channel: a map is read as rarely as can be.

    Args:
        groups: Number of groups, which must divide the channels.
        epsilon: Added to the variance.

    Raises:
        ValueError: If the groups do not divide the channels.
    """

    def __init__(self, groups: int = 8, epsilon: float = 1e-5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.groups, self.epsilon = groups, epsilon

    def build(self, input_shape: tuple) -> None:
        """Create gain and bias."""
        channels = input_shape[-1]
        if channels % self.groups:
            raise ValueError(f"groups: expected a divisor of the {channels} channels, got {self.groups}.")
        self.gamma = self.add_weight(name="gamma", shape=(channels,), initializer="ones")
        self.beta = self.add_weight(name="beta", shape=(channels,), initializer="zeros")

    def call(self, inputs: Any) -> Any:
        """Normalise (B, H, W, C) to the same shape; mean and variance in float32."""
        gain, bias = (ops.cast(v, "float32") for v in (self.gamma, self.beta))
        normalised = self._by_torch if keras.config.backend() == "torch" else self._by_ops
        return ops.cast(normalised(inputs, gain, bias), self.compute_dtype)

    def _by_torch(self, x: Any, gain: Any, bias: Any) -> Any:
        from gamix_keras.layers.torch_kernels import group_normalised

        return group_normalised(x, self.groups, gain, bias, self.epsilon)

    def _by_ops(self, x: Any, gain: Any, bias: Any) -> Any:
        x = ops.cast(x, "float32")
        mean = self._group_means(x)
        factor = gain * ops.rsqrt(self._group_means(ops.square(x - mean)) + self.epsilon)
        return x * factor + (bias - mean * factor)

    def _group_means(self, x: Any) -> Any:
        """(B, H, W, C) to (B, 1, 1, C), one value for the channels of a group."""
        channels = x.shape[-1]
        width = channels // self.groups
        means = ops.mean(ops.reshape(ops.mean(x, axis=(1, 2)), (-1, self.groups, width)), axis=-1, keepdims=True)
        # Not `repeat`: TensorFlow computes its shapes, and oneDNN then complains of their type.
        return ops.reshape(means * ops.ones((width,), means.dtype), (-1, 1, 1, channels))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Return the same shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "groups": self.groups, "epsilon": self.epsilon}


def group_count(channels: int, groups: int) -> int:
    """Return the largest number of groups that divides `channels`, is at most `groups`, and leaves no channel alone.

    A group of one channel would erase that channel's mean, and with it the brightness that the decoder must restore.
    """
    most = min(groups, max(1, channels // 2))
    return next(count for count in range(most, 0, -1) if channels % count == 0)


def make_normalisation(kind: str, channels: int, groups: int = 8, **kwargs: Any) -> keras.layers.Layer:
    """Return the normalisation layer of that name for feature maps (B, H, W, channels).

    Args:
        kind: "group" (Wu & He 2018, the same whatever the batch or the number of replicas), "batch" (statistics of
            the batch in training), "scale_shift" (`ScaleShift`) or "none".
        channels: Number of channels, which the groups must divide.
        groups: The most groups wanted; the number is lowered if it does not fit.
        **kwargs: `name` and `dtype` of the layer.

    Raises:
        ValueError: For another `kind`.
    """
    if kind == "group":
        return GroupNormalization(group_count(channels, groups), **kwargs)
    if kind == "batch":
        return BatchNormalization(momentum=0.99, epsilon=1e-5, **kwargs)
    if kind == "scale_shift":
        return ScaleShift(**kwargs)
    if kind == "none":
        return keras.layers.Activation("linear", **kwargs)
    raise ValueError(f"norm: expected one of {', '.join(NORMALISATIONS)}, got {kind!r}.")
