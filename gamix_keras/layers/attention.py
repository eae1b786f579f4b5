"""Parts of a transformer on image patches: positions, a learned token, and the pre-normalised block."""

from typing import Any

import keras
import numpy as np
from keras import ops

from gamix_keras.layers.dense import Dense, EinsumDense
from gamix_keras.layers.normalisation import LayerNormalization

Tensor = Any
LONGEST_PERIOD = 10_000.0


def sincos_positions(rows: int, columns: int, dim: int) -> np.ndarray:
    """Return fixed positions on a grid (Vaswani et al. 2017, in two dimensions).

    A quarter of the features is sin(row w_k), a quarter cos(row w_k), and so for the column, with dim / 4 frequencies
    w_k = 10000^(-4 k / dim) radians per patch.

    Returns:
        Shape (rows * columns, dim), float32, in [-1, 1], row by row.

    Raises:
        ValueError: If `dim` is not divisible by 4.
    """
    if dim % 4:
        raise ValueError(f"dim: expected a number divisible by 4, got {dim}.")
    frequencies = LONGEST_PERIOD ** (-np.arange(dim // 4) / (dim // 4))
    row, column = np.divmod(np.arange(rows * columns)[:, None], columns)
    waves = [f(place * frequencies) for place in (row, column) for f in (np.sin, np.cos)]
    return np.concatenate(waves, axis=1).astype("float32")


@keras.saving.register_keras_serializable("gamix_keras")
class AddPositions(keras.layers.Layer):
    """Fixed positions added to the tokens of a grid, (B, rows * columns, dim) in and out; no weights.

    Args:
        rows: Height of the grid.
        columns: Width of the grid.
    """

    def __init__(self, rows: int, columns: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rows, self.columns = rows, columns

    def build(self, input_shape: tuple) -> None:
        """Compute the positions."""
        self._positions = sincos_positions(self.rows, self.columns, input_shape[-1])

    def call(self, inputs: Tensor) -> Tensor:
        """Add the positions to the tokens."""
        return inputs + ops.cast(self._positions, inputs.dtype)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Return the same shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the grid."""
        return {**super().get_config(), "rows": self.rows, "columns": self.columns}


@keras.saving.register_keras_serializable("gamix_keras")
class PrependToken(keras.layers.Layer):
    """A learned token before the others: (B, N, dim) to (B, N + 1, dim)."""

    def build(self, input_shape: tuple) -> None:
        """Create the token."""
        start = keras.initializers.RandomNormal(stddev=0.02)
        self.token = self.add_weight(name="token", shape=(1, 1, input_shape[-1]), initializer=start)

    def call(self, inputs: Tensor) -> Tensor:
        """Put the token, the same for each image, before the others."""
        # Copied in float32: the gradients of the copies are then added up in float32.
        token = ops.broadcast_to(ops.cast(self.token, "float32"), (ops.shape(inputs)[0], 1, inputs.shape[-1]))
        return ops.concatenate([ops.cast(token, inputs.dtype), inputs], axis=1)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Return the shape with one token more."""
        batch, count, dim = input_shape
        return batch, count + 1, dim

    def get_config(self) -> dict[str, Any]:
        """Return Keras's own arguments; without this method Keras refuses a dtype policy as argument."""
        return super().get_config()


def gelu(x: Tensor) -> Tensor:
    """Return x Phi(x) = 0.5 x (1 + erf(x / sqrt 2)) (Hendrycks & Gimpel 2016), which every exporter knows."""
    return 0.5 * x * (1.0 + ops.erf(x * 0.5**0.5))


@keras.saving.register_keras_serializable("gamix_keras")
class SelfAttention(keras.layers.Layer):
    """Scaled dot-product attention of tokens among themselves (Vaswani et al. 2017): (B, N, dim) in and out.

    The same weights and numbers as `keras.layers.MultiHeadAttention(heads, dim // heads)` called as `layer(x, x)`.

    Args:
        heads: Attention heads, which must divide dim.

    Raises:
        ValueError: If the heads do not divide the width of the input.
    """

    def __init__(self, heads: int = 4, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.heads = heads

    def build(self, input_shape: tuple) -> None:
        """Create and build the four projections."""
        dim, policy = input_shape[-1], self.dtype_policy
        if dim % self.heads:
            raise ValueError(f"heads: expected a divisor of the width {dim}, got {self.heads}.")
        split = {"output_shape": (None, self.heads, dim // self.heads), "bias_axes": "hd", "dtype": policy}
        self.query_dense = EinsumDense("bnc,chd->bnhd", name="query", **split)
        self.key_dense = EinsumDense("bnc,chd->bnhd", name="key", **split)
        self.value_dense = EinsumDense("bnc,chd->bnhd", name="value", **split)
        self.output_dense = EinsumDense("bnhd,hdc->bnc", (None, dim), bias_axes="c", dtype=policy, name="output")
        for layer in (self.query_dense, self.key_dense, self.value_dense):
            layer.build(input_shape)
        self.output_dense.build((*input_shape[:-1], self.heads, dim // self.heads))

    def call(self, inputs: Tensor) -> Tensor:
        """Let each token attend to all."""
        query, key, value = (layer(inputs) for layer in (self.query_dense, self.key_dense, self.value_dense))
        scale = query.shape[-1] ** -0.5
        attended = ops.dot_product_attention(query, key, value, scale=scale, flash_attention=False)
        return self.output_dense(attended)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Return the same shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "heads": self.heads}


@keras.saving.register_keras_serializable("gamix_keras")
class TransformerBlock(keras.layers.Layer):
    """A pre-normalised block, x + attention(norm(x)), then x + mlp(norm(x)): (B, N, dim) in and out.

    Attention and MLP have biases, the two layer normalisations a gain but no bias.

    Args:
        heads: Attention heads, which must divide dim.
        mlp_ratio: Width of the MLP's hidden layer as a multiple of dim; its activation is GELU.

    Raises:
        ValueError: If the heads do not divide the width of the input.
    """

    def __init__(self, heads: int = 4, mlp_ratio: int = 4, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.heads, self.mlp_ratio = heads, mlp_ratio

    def build(self, input_shape: tuple) -> None:
        """Create and build the parts, whose widths depend on the input."""
        dim, policy = input_shape[-1], self.dtype_policy
        norm = {"epsilon": 1e-6, "center": False, "dtype": policy}
        self.first_norm = LayerNormalization(**norm)
        self.attention = SelfAttention(self.heads, dtype=policy)
        self.second_norm = LayerNormalization(**norm)
        self.hidden = Dense(self.mlp_ratio * dim, activation=gelu, dtype=policy)
        self.out = Dense(dim, dtype=policy)
        for layer in (self.first_norm, self.attention, self.second_norm, self.hidden):
            layer.build(input_shape)
        self.out.build((*input_shape[:-1], self.mlp_ratio * dim))

    def call(self, inputs: Tensor) -> Tensor:
        """Apply attention, then the MLP."""
        x = inputs + self.attention(self.first_norm(inputs))
        return x + self.out(self.hidden(self.second_norm(x)))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Return the same shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "heads": self.heads, "mlp_ratio": self.mlp_ratio}
