"""The generic training and test step on JAX, where every variable's value travels as state."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import keras

from gamix_keras.training.batch import Batch
from gamix_keras.training.guard import Health, Update, total_of
from gamix_keras.training.optimizer import known_variables
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
        """Return True: without jit, every operation of a step is dispatched alone, which takes seconds a step."""
        return True

    @staticmethod
    def input_gradient(function: Callable, inputs: Any, again: bool = False) -> tuple[Any, Any]:
        """Return the gradient of a scalar by the inputs, and whatever came with it; see `PhasedModel`."""
        return jax.grad(function, has_aux=True)(inputs)

    @staticmethod
    def peek(state: Any, batches: Iterator[Any]) -> tuple[Any, tuple]:
        """Return the first batch that a train function is given, and its arguments."""
        first = next(batches)
        here = all(getattr(part, "is_fully_addressable", True) for part in jax.tree.leaves(first))
        return first if here else None, (state, itertools.chain([first], batches))

    def give_back(self, state: State, *_: Any) -> None:
        """Give the variables their values back before a step that is not made: Keras has taken them into the state."""
        for variables, values in zip(self._groups(), state, strict=True):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)

    def _groups(self) -> tuple[list[keras.Variable], ...]:
        """Return the variables in the order of a training state."""
        slots = self.optimizer.variables
        return self.trainable_variables, self.non_trainable_variables, slots, self.metrics_variables

    def train_step(self, state: State, data: Any) -> tuple[dict[str, Any], State]:
        """Minimise each phase once on a batch and return the logs so far in the epoch, and the new state."""
        store = _Store(self._groups(), state)
        batch, before = self.unpack(data), store.of(self._undone_variables)
        updates = self.differentiate(batch, store)
        if self.guarding:
            self._apply_if_finite(updates, batch, store, before)
        else:
            self.apply(updates, batch, store)
        with store.scope():
            logs = self.get_metrics_result()
        return logs, store.state()

    def test_step(self, state: State, data: Any) -> tuple[dict[str, Any], State]:
        """Track each phase's terms on a batch without moving anything but metrics."""
        store = _Store((self.trainable_variables, self.non_trainable_variables, self.metrics_variables), state)
        carry = {}
        with store.scope() as scope:
            batch = self.unpack(data)
            for phase in self.compiled_phases():
                terms, carry = phase.losses(batch, False, carry)
                self.track(phase, terms, batch)
            logs = self.get_metrics_result()
        store.read(scope)
        return logs, store.state()

    def differentiate(self, batch: Batch, store: "_Store") -> list[Update]:
        """Return the terms and gradients of all phases; no weight moves, other states do in the store."""
        updates, carry = [], {}
        for phase in self.compiled_phases():
            update, carry = self._differentiate_phase(phase, batch, carry, store)
            updates.append(update)
        return updates

    @staticmethod
    def _differentiate_phase(
        phase: Phase, batch: Batch, carry: dict[str, Any], store: "_Store"
    ) -> tuple[Update, dict[str, Any]]:
        names: list[str] = []

        def scaled_loss(values: list[Any]) -> tuple[Any, Any]:
            inner = store.replaced(phase.variables, values)
            with inner.scope() as scope:
                terms, after = phase.losses(batch, True, carry)
                loss = phase.optimizer.scale_loss(terms["loss"])
            inner.read(scope)
            names[:] = terms  # JAX sorts what it returns; the guard looks at the terms in their own order
            return loss, (inner.values, after, terms)

        gradients, (store.values, carry, terms) = jax.grad(scaled_loss, has_aux=True)(store.of(phase.variables))
        return Update(phase, {name: terms[name] for name in names}, gradients), carry

    def apply(self, updates: list[Update], batch: Batch, store: "_Store") -> None:
        """Move the weights, and whatever follows them, in the store; see `InPlaceSteps.apply`."""
        for phase, _, gradients in updates:
            slots, known = phase.optimizer.variables, known_variables(phase.optimizer)
            gradients = dict(zip(map(id, phase.variables), gradients, strict=True))
            # Resting variables, which the optimizer must be given too, stay as they are.
            resting = [variable for variable in known if id(variable) not in gradients]
            values = store.of(resting)
            gradients |= {id(v): jax.numpy.zeros_like(value) for v, value in zip(resting, values, strict=True)}
            given = [gradients[id(variable)] for variable in known]
            moved = phase.optimizer.stateless_apply(store.of(slots), given, store.of(known))
            store.write([*known, *slots, *resting], [*moved[0], *moved[1], *values])
        with store.scope() as scope:
            for phase, terms, _ in updates:
                self.track(phase, terms, batch)
            self.after_step()
        store.read(scope)

    def _apply_if_finite(self, updates: list[Update], batch: Batch, store: "_Store", before: list[Any]) -> None:
        with store.scope():
            health = Health.of(batch, updates)

        def apply() -> tuple[list[Any], list[Any]]:
            inner = store.replaced((), ())
            self.apply(updates, batch, inner)
            totals = [total_of(inner.of(update.phase.variables)) for update in updates]
            return inner.of(self._undone_variables), totals

        def restore() -> tuple[list[Any], list[Any]]:
            return before, [jax.numpy.zeros(()) for _ in updates]

        values, totals = jax.lax.cond(health.flags().all(), apply, restore)
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
        values = list(zip(self.variables, self.values, strict=True))
        return keras.StatelessScope(state_mapping=values, collect_losses=True)

    def read(self, scope: keras.StatelessScope) -> None:
        self.values = [scope.get_current_value(variable) for variable in self.variables]

    def state(self) -> State:
        remaining = iter(self.values)
        return tuple([next(remaining) for _ in group] for group in self.groups)


@contextmanager
def hardly_optimised() -> Iterator[None]:
    """Return a context in which XLA compiles quickly rather than well."""
    name = "jax_disable_most_optimizations"
    before = jax.config.read(name)
    jax.config.update(name, True)
    try:
        yield
    finally:
        jax.config.update(name, before)
