"""The generic training and test step on JAX, where every variable's value travels as state."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import keras

from gamix_keras.training.guard import Health, Update, total_of
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
        images, carry, updates = self.unpack(data), {}, []
        health = Health(self.guarding)
        health.look("images", [images])
        before = store.of(self._undone_variables)
        for phase in self.phases():
            update, carry = self._differentiated(phase, images, carry, store)
            with store.scope():
                health.look_at(update)
            updates.append(update)
        if self.guarding:
            self._make_if_good(health, updates, images.shape[0], store, before)
        else:
            self._make(updates, images.shape[0], store)
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

    def _differentiated(
        self, phase: Phase, images: Any, carry: dict[str, Any], store: "_Store"
    ) -> tuple[Update, dict[str, Any]]:
        names: list[str] = []

        def scaled_loss(values: list[Any]) -> tuple[Any, Any]:
            inner = store.replaced(phase.variables, values)
            with inner.scope() as scope:
                terms, after = phase.losses(images, True, carry)
                loss = phase.optimizer.scale_loss(terms["loss"])
            inner.read(scope)
            names[:] = terms  # JAX sorts what it returns, and what broke first is told in the order of the terms
            return loss, (inner.values, after, terms)

        gradients, (store.values, carry, terms) = jax.grad(scaled_loss, has_aux=True)(store.of(phase.variables))
        return Update(phase, {name: terms[name] for name in names}, gradients), carry

    def _make(self, updates: list[Update], size: int, store: "_Store") -> None:
        """As `PhasedModel.make`, in the store."""
        for phase, _, gradients in updates:
            slots = phase.optimizer.variables
            moved = phase.optimizer.stateless_apply(store.of(slots), gradients, store.of(phase.variables))
            store.write([*phase.variables, *slots], [*moved[0], *moved[1]])
        with store.scope() as scope:
            for phase, terms, _ in updates:
                self.track(phase, terms, size)
            self.after_step()
        store.read(scope)

    def _make_if_good(
        self, health: Health, updates: list[Update], size: int, store: "_Store", before: list[Any]
    ) -> None:
        def make() -> tuple[list[Any], list[Any]]:
            inner = store.replaced((), ())
            self._make(updates, size, inner)
            totals = [total_of(inner.of(update.phase.variables)) for update in updates]
            return inner.of(self._undone_variables), totals

        def leave() -> tuple[list[Any], list[Any]]:
            return before, [jax.numpy.zeros(()) for _ in updates]

        values, totals = jax.lax.cond(health.flags().all(), make, leave)
        store.write(self._undone_variables, values)
        health.look_at_weights(updates, totals)
        with store.scope() as scope:
            self.step_guard.take(health)
        store.read(scope)


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


@contextmanager
def hardly_optimised() -> Iterator[None]:
    """A context in which XLA compiles quickly rather than well."""
    name = "jax_disable_most_optimizations"
    before = jax.config.read(name)
    jax.config.update(name, True)
    try:
        yield
    finally:
        jax.config.update(name, before)
