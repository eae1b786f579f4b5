"""Several optimizers as one, so that Keras saves, restores and (on JAX) carries the state of all of them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
from keras import ops


def known_variables(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """Return the variables that an optimizer, in a loss-scale wrapper or not, was built for."""
    return getattr(optimizer, "inner_optimizer", optimizer)._trainable_variables


@keras.saving.register_keras_serializable("gamix_keras")
class PhaseOptimizer(keras.optimizers.Optimizer):
    """One optimizer per phase, by the phase's name, behind the interface of one Keras optimizer.

    The training step calls the members; this object exists for everything else that looks at `model.optimizer`:
    saving and loading, backup, the JAX trainer's state and learning-rate callbacks. (A second optimizer kept as an
    attribute of the model is silently not trained on JAX and dropped on loading.)

    Its learning rate is that of the first member; assigning it, as `ReduceLROnPlateau` does, scales those of the others
    by the same factor. A rate of 0, and back, loses nothing. Keras's `LearningRateScheduler` looks for `optimizers` and
    calls its schedule once for each of them, with that one's rate.

    A member takes the name of its phase: Keras's callbacks log `learning_rate_critic`, whatever was built before.

    Args:
        members: Optimizers by the name of their phase, in the order of the phases; loss-scale wrappers are allowed.
        name: Name of the optimizer.
    """

    def __init__(self, members: Mapping[str, keras.optimizers.Optimizer], name: str = "phases") -> None:
        super().__init__(learning_rate=0.0, name=name)
        self._members = dict(members)
        for name, member in self._inner().items():
            member.name = name
        self._ratios: dict[str, float] = {}
        self._remember_ratios()

    def __getitem__(self, phase: str) -> keras.optimizers.Optimizer:
        return self._members[phase]

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    @property
    def optimizers(self) -> list[keras.optimizers.Optimizer]:
        """The members in the order of the phases, without their loss-scale wrappers."""
        return list(self._inner().values())

    def _inner(self) -> dict[str, keras.optimizers.Optimizer]:
        return {name: getattr(member, "inner_optimizer", member) for name, member in self._members.items()}

    @property
    def variables(self) -> list[keras.Variable]:
        """Every state variable: this object's own, then each member's."""
        return [*super().variables, *(v for member in self._members.values() for v in member.variables)]

    @property
    def learning_rate(self) -> Any:
        """The first member's learning rate. Assigning scales the other members' rates by the same factor."""
        return self.optimizers[0].learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        if isinstance(value, keras.optimizers.schedules.LearningRateSchedule):
            raise ValueError("learning_rate: expected a number, got a schedule; give one to each phase's optimizer.")
        self._remember_ratios()
        for name, member in self._inner().items():
            member.learning_rate = float(value) * self._ratios.get(name, 1.0)

    def _remember_ratios(self) -> None:
        """Note how the rates stand to each other, unless the first is 0, which tells nothing."""
        rates = {name: float(ops.convert_to_numpy(member.learning_rate)) for name, member in self._inner().items()}
        first = next(iter(rates.values()))
        if first:
            self._ratios = {name: rate / first for name, rate in rates.items()}

    def build_members(self, variables: Mapping[str, Sequence[keras.Variable]]) -> None:
        """Create the slots of each member for its phase's variables; does nothing the second time."""
        for phase, member in self._members.items():
            if not member.built:
                member.build(list(variables[phase]))
        if not self.built:
            super().build([])

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Do nothing: Keras calls this on loading, and `compile`, which knows the variables, has built the members."""
        if not self.built:
            raise ValueError("PhaseOptimizer: expected build_members(variables by phase) before build().")

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """Refuse: gradients belong to one phase's optimizer.

        Raises:
            TypeError: Always.
        """
        raise TypeError("PhaseOptimizer: apply gradients through a member, optimizer[phase].apply(...).")

    def finalize_variable_values(self, var_list: Any) -> None:
        """Let each member finish its own variables at the end of `fit`."""
        for member in self._members.values():
            member.finalize_variable_values(known_variables(member))

    def get_config(self) -> dict[str, Any]:
        """Return the members in a list: a dict's keys come back sorted from a saved file."""
        members = [[name, keras.saving.serialize_keras_object(m)] for name, m in self._members.items()]
        return {"members": members, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "PhaseOptimizer":
        """Rebuild the members from their own configurations."""
        restore = keras.saving.deserialize_keras_object
        members = {name: restore(m, custom_objects=custom_objects) for name, m in config["members"]}
        return cls(members, name=config["name"])
