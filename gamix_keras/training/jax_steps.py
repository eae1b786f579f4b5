"""The generic training and test step on JAX, where every variable's value travels as state."""

from collections.abc import Callable
from typing import Any

import jax
import keras

from gamix_keras.training.guard import Health
from gamix_keras.training.phase import Phase

State = tuple[list[Any], ...]


class JaxSteps:
    """Walks the phases of a `PhasedModel` as a pure function of the trainer's state.

    A store keeps the current value of every variable by identity. A phase's losses run inside a `StatelessScope`
    that reads from the store; what they assigned (seeds, moments, metrics) and what the optimizer returned is
    written back to it.
    """

    @staticmethod
    def default_jit() -> bool:
        """Without jit, every operation of a step is dispatched alone: seconds a step."""
        return True

    @staticmethod
    def input_gradient(function: Callable, inputs: Any, again: bool = False) -> tuple[Any, Any]:
        """The gradient of a scalar by the inputs, and whatever came with it; see `PhasedModel`."""
        return jax.grad(function, has_aux=True)(inputs)

    def train_step(self, state: State, data: Any) -> tuple[dict[str, Any], State]:
        """Minimises each phase once on a batch and returns the logs so far in the epoch, and the new state."""
        groups = (
            self.trainable_variables,
            self.non_trainable_variables,
            self.optimizer.variables,
            self.metrics_variables,
        )
        store = _Store(groups, state)
        images, carry = self.unpack(data), {}
        health = Health(self.guarding)
        health.look("images", [images])
        before = store.of(self._undone_variables) if self.guarding else []
        for phase in self.phases():
            carry = self._minimise(phase, images, carry, store, health)
        with store.scope() as scope:
            self.after_step()
            good = self.step_guard.judge(health) if self.guarding else True
        store.read(scope)
        if self.guarding:
            after = store.of(self._undone_variables)
            store.write(
                self._undone_variables, [jax.numpy.where(good, *pair) for pair in zip(after, before, strict=True)]
            )
        with store.scope():
            logs = self.get_metrics_result()
        return logs, store.state()

    def test_step(self, state: State, data: Any) -> tuple[dict[str, Any], State]:
        """Tracks each phase's terms on a batch without moving anything but metrics."""
        store = _Store((self.trainable_variables, self.non_trainable_variables, self.metrics_variables), state)
        images, carry = self.unpack(data), {}
        with store.scope() as scope:
            for phase in self.phases():
                terms, carry = phase.losses(images, False, carry)
                self.track(phase, terms, images.shape[0])
            logs = self.get_metrics_result()
        store.read(scope)
        return logs, store.state()

    def _minimise(
        self, phase: Phase, images: Any, carry: dict[str, Any], store: "_Store", health: Health
    ) -> dict[str, Any]:
        names: list[str] = []

        def scaled_loss(values: list[Any]) -> tuple[Any, Any]:
            inner = store.replaced(phase.variables, values)
            with inner.scope() as scope:
                terms, after = phase.losses(images, True, carry)
                self.track(phase, terms, images.shape[0])
                loss = phase.optimizer.scale_loss(terms["loss"])
                names[:], flags = health.of_terms(phase, terms)
            inner.read(scope)
            return loss, (inner.values, after, flags)

        values = store.of(phase.variables)
        gradients, (moved, carry, flags) = jax.grad(scaled_loss, has_aux=True)(values)
        store.values = moved
        slots = phase.optimizer.variables
        values, slot_values = phase.optimizer.stateless_apply(store.of(slots), gradients, values)
        store.write(phase.variables, values)
        store.write(slots, slot_values)
        health.note(names, flags)
        health.look_at_gradients(phase, gradients)
        health.look(f"{phase.name} weights", values)
        return carry


class _Store:
    """Current values of the model's variables, addressed by variable."""

    def __init__(self, groups: tuple[list[keras.Variable], ...], state: State) -> None:
        self.groups = groups
        self.variables = [variable for group in groups for variable in group]
        self.index = {id(variable): i for i, variable in enumerate(self.variables)}
        self.values = [value for values in state for value in values]

    def of(self, variables: Any) -> list[Any]:
        return [self.values[self.index[id(variable)]] for variable in variables]

    def write(self, variables: Any, values: Any) -> None:
        for variable, value in zip(variables, values, strict=True):
            self.values[self.index[id(variable)]] = value

    def replaced(self, variables: Any, values: Any) -> "_Store":
        copy = _Store(self.groups, (list(self.values),))
        copy.write(variables, values)
        return copy

    def scope(self) -> keras.StatelessScope:
        return keras.StatelessScope(state_mapping=list(zip(self.variables, self.values, strict=True)))

    def read(self, scope: keras.StatelessScope) -> None:
        self.values = [scope.get_current_value(variable) for variable in self.variables]

    def state(self) -> State:
        remaining = iter(self.values)
        return tuple([next(remaining) for _ in group] for group in self.groups)
