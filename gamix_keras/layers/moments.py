"""Moments of the aggregate posterior, from a batch or running over batches.

q(z) = (1/N) sum_i N(mean_i, diag exp(log_var_i)) has mean m = E[mean] and covariance
S = Cov(mean) + diag E[exp(log_var)].
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from gamix_keras import gaussian
from gamix_keras.distributed import replicas

Tensor = Any
KINDS = ("means", "total", "full")
AVERAGES = ("first", "second", "within", "weight")


@keras.saving.register_keras_serializable("gamix_keras")
class AggregateMoments(keras.layers.Layer):
    """The first two moments of q(z), differentiable through the batch.

    | `kind` | second moment | what it is |
    | --- | --- | --- |
    | `means` | Var(mean), shape (D,) | of the *means*, as the paper's code has it: q(z) can reach variance 2 |
    | `total` | Var(mean) + E[exp(log_var)], shape (D,) | the variance of the mixture |
    | `full` | Cov(mean) + diag E[exp(log_var)], shape (D, D) | its covariance; needs B > D or running moments |

    Population variance (divided by B) throughout: the sample variance would move the optimum. A batch estimate is
    noisy, and the KL of noisy moments is biased upwards (it is convex in them): with unit variances the `means` KL of
    B points in D dimensions has the irreducible floor 0.5 D (-log(2 / B) - digamma((B - 1) / 2)) nats, 56.5 at B = 10
    and D = 512, and small batches pull the posteriors to what the noise costs least. `total` has less of it, since
    E[exp(log_var)] hardly varies; `full` has more, by up to D terms for each of the others. Costs: O(B D) time for the
    first two, O(B D^2) and one Cholesky factor, O(D^3), for `full`.

    **Running moments** (`momentum` given) remove the floor. A bias-corrected exponential average over batches
    supplies the *value* at which the divergence and its derivative are taken, while the gradient flows through the
    batch's moments: value = average + batch - stop_gradient(batch). That gradient is the batch's own in full, not times
    its share 1 - momentum of the average: a batch's gradient is an unbiased estimate of that of all images, and scaled
    it would weigh the divergence by a hundredth. It costs three vectors of state (with `full` one
    of them is a matrix). Its bias is a lag of about 1 / (1 - momentum) batches behind the encoder, and the floor of
    about B (1 + momentum) / (1 - momentum) images instead of B. On 1,024 free posteriors of 8 dimensions, `total`,
    the true loss ended 0.0016 nats above its optimum with momentum 0.99 at B = 8, 0.085 with the moments of batches
    of 8, 0.0014 with those of 256.

    Args:
        kind: `means`, `total` or `full`.
        momentum: None for batch moments, else in (0, 1): 0.99 averages over about 100 batches.

    Raises:
        ValueError: If `kind` or `momentum` is another.

    Source: Rivera 2024 (`means`); running form: ours, after the moving statistics of batch normalisation.
    """

    def __init__(self, kind: str = "means", momentum: float | None = None, **kwargs: Any) -> None:
        super().__init__(dtype=kwargs.pop("dtype", "float32"), **kwargs)
        if kind not in KINDS:
            raise ValueError(f"AggregateMoments: kind: expected one of {', '.join(KINDS)}, got {kind!r}.")
        if momentum is not None and not 0.0 < momentum < 1.0:
            raise ValueError(f"AggregateMoments: momentum: expected None or a number in (0, 1), got {momentum!r}.")
        self.kind = kind
        self.momentum = momentum

    def build(self, mean_shape: tuple, log_var_shape: tuple | None = None) -> None:
        """Create the running E[mean], Cov(mean) (or its diagonal), E[variance], and the weight of what is in them."""
        if self.momentum is None:
            return
        size = mean_shape[-1]
        second = (size, size) if self.kind == "full" else (size,)
        shapes = dict(zip(AVERAGES, ((size,), second, (size,), ()), strict=True))
        self.averages = {
            name: self.add_weight(name=name, shape=shape, initializer="zeros", trainable=False)
            for name, shape in shapes.items()
        }

    def call(self, mean: Tensor, log_var: Tensor, training: bool = False) -> tuple[Tensor, Tensor]:
        """Return the moments of a batch of posteriors.

        Args:
            mean: Shape (B, D).
            log_var: Shape (B, D).
            training: Whether running averages move. At inference they are not used: the batch's own are returned.

        Returns:
            m of shape (D,) and the second moment of the chosen kind, float32.
        """
        mean = ops.cast(mean, "float32")
        within = ops.exp(gaussian.clip_log_var(log_var))
        if self.momentum is None or not training:
            return self._batch_moments(mean, within)
        return self._running_moments(mean, within)

    def current(self) -> tuple[Tensor, Tensor]:
        """Return the running moments as they are: m, (D,), and the second moment of the chosen kind, float32.

        Raises:
            ValueError: If there are none, without `momentum`.
        """
        if self.momentum is None:
            raise ValueError("AggregateMoments: momentum: expected a number for running moments, got None.")
        first, spread, within, _ = (ops.convert_to_tensor(self.averages[name]) for name in AVERAGES)
        return first, self._second_moment(spread, within)

    def batch_mean(self, values: Tensor) -> Tensor:
        """Return the mean over the global batch, on whatever replicas its rows are."""
        return replicas.mean(ops.mean(values, axis=0))

    def _batch_moments(self, mean: Tensor, within: Tensor) -> tuple[Tensor, Tensor]:
        first = self.batch_mean(mean)
        spread = self.batch_mean(self._products(mean - first))
        return first, self._second_moment(spread, self.batch_mean(within))

    def _running_moments(self, mean: Tensor, within: Tensor) -> tuple[Tensor, Tensor]:
        """Merge the batch's moments into the averages (Chan et al. 1983): sums of squares, which stay >= 0.

        With a the batch's share: m' = m + a (b - m), S' = (1 - a) S + a S_b + a (1 - a) (b - m)(b - m)'.
        """
        first, spread, spread_within, weight = (ops.convert_to_tensor(self.averages[name]) for name in AVERAGES)
        new_weight = self.momentum * weight + (1.0 - self.momentum)
        share = (1.0 - self.momentum) / new_weight
        batch, fixed = self.batch_mean(mean), ops.stop_gradient(mean)
        step = self.batch_mean(fixed) - first
        batch_spread = self.batch_mean(self._products(fixed - self.batch_mean(fixed)))
        averages = {
            "first": first + share * step,
            "second": (1.0 - share) * spread + share * batch_spread + share * (1.0 - share) * self._outer(step),
            "within": spread_within + share * (self.batch_mean(ops.stop_gradient(within)) - spread_within),
            "weight": new_weight,
        }
        for name, value in averages.items():
            self.averages[name].assign(value)
        # Squares about the average: what the average of squares less the squared average has for a gradient.
        squares = self.batch_mean(self._products(mean - averages["first"]))
        spread = averages["second"] + _gradient_of(squares)
        within = averages["within"] + _gradient_of(self.batch_mean(within))
        return averages["first"] + _gradient_of(batch), self._second_moment(spread, within)

    def save_own_variables(self, store: Any) -> None:
        """Save the averages by name. Older files hold sums neither centred nor bias-corrected, by number."""
        for name, variable in self._state().items():
            store[name] = ops.convert_to_numpy(variable)

    def load_own_variables(self, store: Any) -> None:
        """Restore what `save_own_variables` stored, or what an older file holds."""
        values = {name: np.asarray(store[name]) for name in store.keys()}
        if "0" in values:
            values = self._from_raw_sums([values[str(i)] for i in range(len(AVERAGES))])
        for name, variable in self._state().items():
            variable.assign(values[name])

    def _state(self) -> dict[str, keras.Variable]:
        return {} if self.momentum is None else self.averages

    def _from_raw_sums(self, sums: list[np.ndarray]) -> dict[str, np.ndarray]:
        *sums, weight = (value.astype("float64") for value in sums)
        first, second, within = (value / max(weight, 1e-30) for value in sums)
        outer = np.outer(first, first) if self.kind == "full" else first**2
        centred = second - outer
        # What float32 lost of the difference may be negative.
        diagonal = np.diag_indices(len(first)) if self.kind == "full" else slice(None)
        centred[diagonal] = np.maximum(centred[diagonal], 0.0)
        return {"first": first, "second": centred, "within": within, "weight": weight}

    def _products(self, points: Tensor) -> Tensor:
        if self.kind == "full":
            return points[:, :, None] * points[:, None, :]
        return ops.square(points)

    def _outer(self, vector: Tensor) -> Tensor:
        return ops.outer(vector, vector) if self.kind == "full" else ops.square(vector)

    def _second_moment(self, spread: Tensor, within: Tensor) -> Tensor:
        if self.kind == "means":
            return spread
        return spread + (ops.diag(within) if self.kind == "full" else within)

    def get_config(self) -> dict[str, Any]:
        """Return kind and momentum."""
        return {**super().get_config(), "kind": self.kind, "momentum": self.momentum}


def _gradient_of(value: Tensor) -> Tensor:
    """Return zero, with the gradient of a value."""
    return value - ops.stop_gradient(value)
