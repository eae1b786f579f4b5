"""The weights of a model's terms: settings that callbacks may change while the model trains."""

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from gamix_keras.distributed import devices


def checked_weight(name: str, value: float) -> float:
    """Return the weight of a term.

    Args:
        name: Name of the argument, for the message.
        value: Weight, finite and >= 0.

    Raises:
        ValueError: If it is out of its range.
    """
    if not 0.0 <= value < float("inf"):
        raise ValueError(f"{name}: expected a finite number >= 0, got {value!r}.")
    return value


class TermWeights(keras.layers.Layer):
    """Scalar variables by the name of the term: `model.term_weights["kl"].assign(0.5)`.

    They are variables because a Python number would be frozen into the compiled step, and state of the model because
    JAX would freeze any other variable too. They are no weights: `get_weights`, `save_weights`, `load_weights` and
    `EarlyStopping(restore_best_weights=True)` leave them alone.

    Args:
        values: The weights, see `checked_weight`.
    """

    def __init__(self, values: Mapping[str, float]) -> None:
        super().__init__(name="term_weights", dtype="float32")
        self._given: dict[str, float] = {}
        self._by_name = {}
        self.built = True
        for name, value in values.items():
            self.give(name, value)

    def give(self, name: str, value: float) -> None:
        """Give a term its weight as an argument of the model, anew if the term has one."""
        if name in self:
            self[name].assign(value)
        else:
            initializer = keras.initializers.Constant(value)
            self._by_name[name] = self.add_weight(name=name, shape=(), initializer=initializer, trainable=False)
        self._given[name] = value

    def __getitem__(self, name: str) -> keras.Variable:
        if name not in self._by_name:
            raise KeyError(f"term_weights: expected one of {', '.join(self._by_name)}; got {name!r}")
        return self._by_name[name]

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def keys(self) -> list[str]:
        """Return the names of the terms."""
        return list(self._by_name)

    @property
    def weights(self) -> list[keras.Variable]:
        """None: these are settings. `variables` has them."""
        return []

    def save_own_variables(self, store: Any) -> None:
        """Store nothing: the model's configuration has what differs from its arguments."""

    def load_own_variables(self, store: Any) -> None:
        """Restore nothing."""

    def given(self, name: str) -> float:
        """Return the weight that a term was given as an argument of the model."""
        return self._given[name]

    def changed(self) -> dict[str, float]:
        """Return the weights that differ by now from what the constructor was given."""
        values = {name: float(ops.convert_to_numpy(devices.local_part(v))) for name, v in self._by_name.items()}
        return {name: value for name, value in values.items() if value != float(np.float32(self._given[name]))}

    def assign(self, values: Mapping[str, float]) -> None:
        """Assign weights by name."""
        for name, value in values.items():
            self[name].assign(value)
