"""Several optimizers as one, so that Keras saves, restores and (on JAX) carries the state of all of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("gamix_keras")
class PhaseOptimizer(keras.optimizers.Optimizer):
    """One optimizer per phase, by the phase's name, behind the interface of one Keras optimizer.

    The training step calls the members; this object exists for everything else that looks at `model.optimizer`:
    saving and loading, backup, the JAX trainer's state and learning-rate callbacks. (A second optimizer kept as an
    attribute of the model is silently not trained on JAX and dropped on loading.)

    Args:
        members: phase name to optimizer, in the order of the phases; loss-scale wrappers are allowed.
        name: name of the optimizer.
    """

    def __init__(self, members: Mapping[str, keras.optimizers.Optimizer], name: str = "phases") -> None:
        super().__init__(learning_rate=0.0, name=name)
        self._members = dict(members)

    def __getitem__(self, phase: str) -> keras.optimizers.Optimizer:
        return self._members[phase]

    def __iter__(self) -> Any:
        return iter(self._members)

    @property
    def optimizers(self) -> list[keras.optimizers.Optimizer]:
        """The members in the order of the phases, without their loss-scale wrappers."""
        return [getattr(member, "inner_optimizer", member) for member in self._members.values()]

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
        first, *others = self.optimizers
        if isinstance(value, keras.optimizers.schedules.LearningRateSchedule):
            raise ValueError("learning_rate: expected a number (give each phase's optimizer its schedule instead).")
        previous = float(ops.convert_to_numpy(first.learning_rate))
        for member in others:
            scale = float(ops.convert_to_numpy(member.learning_rate)) / previous if previous else 1.0
            member.learning_rate = float(value) * scale
        first.learning_rate = float(value)

    def build_members(self, variables: Mapping[str, Sequence[keras.Variable]]) -> None:
        """Creates the slots of each member for its phase's variables; does nothing the second time."""
        for phase, member in self._members.items():
            if not member.built:
                member.build(list(variables[phase]))
        if not self.built:
            super().build([])

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Called by Keras on loading; the members were built by `compile`, which knows their variables."""
        if not self.built:
            raise ValueError("PhaseOptimizer: expected build_members(variables by phase) before build().")

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """Not for use: gradients belong to one phase's optimizer.

        Raises:
            TypeError: always.
        """
        raise TypeError("PhaseOptimizer: apply gradients through a member, optimizer[phase].apply(...).")

    def finalize_variable_values(self, var_list: Any) -> None:
        """Lets each member finish its own variables at the end of `fit`."""
        for member in self._members.values():
            member.finalize_variable_values(getattr(member, "inner_optimizer", member)._trainable_variables)

    def get_config(self) -> dict[str, Any]:
        """Phase names are kept in a list: a dict's keys come back sorted from a saved file."""
        members = [[name, keras.saving.serialize_keras_object(m)] for name, m in self._members.items()]
        return {"members": members, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "PhaseOptimizer":
        """Rebuilds the members from their own configurations."""
        restore = keras.saving.deserialize_keras_object
        members = {name: restore(m, custom_objects=custom_objects) for name, m in config["members"]}
        return cls(members, name=config["name"])
