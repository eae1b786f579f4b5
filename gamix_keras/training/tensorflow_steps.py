"""The generic training and test step on TensorFlow."""

import itertools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from gamix_keras.distributed import replicas, tensorflow_devices
from gamix_keras.training.batch import Batch
from gamix_keras.training.guard import Health, Update, total_of
from gamix_keras.training.steps import InPlaceSteps


class TensorFlowSteps(InPlaceSteps):
    """Walks the phases of a `PhasedModel` with a gradient tape."""

    @staticmethod
    def default_jit() -> bool:
        """Return whether to use XLA: it pays on a GPU; on a CPU it helps one model, not another, and starts slowly."""
        return bool(tf.config.list_physical_devices("GPU"))

    @staticmethod
    def input_gradient(function: Callable, inputs: tf.Tensor, again: bool = False) -> tuple[tf.Tensor, Any]:
        """Return the gradient of a scalar by the inputs, and whatever came with it; see `PhasedModel`."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(inputs)
            value, other = function(inputs)
        return tape.gradient(value, inputs), other

    def peek(self, batches: Any) -> tuple[Any, tuple]:
        """Return the first batch that a train function is given, and its arguments; None on several devices."""
        if not isinstance(batches, tf.data.Iterator):
            return None, (batches,)
        first = next(batches)
        rest = itertools.islice(batches, self.steps_per_execution - 1)
        # Of the same type as the iterator itself, so that nothing is traced anew.
        again = tf.data.Dataset.from_generator(
            lambda: itertools.chain([first], rest), output_signature=batches.element_spec
        )
        return first, (iter(again),)

    def train_step(self, data: Any) -> dict[str, Any]:
        """Minimise each phase once on a batch and return the logs so far in the epoch."""
        batch, before = self.unpack(data), self._states_before()
        updates = self.differentiate(batch)
        if self.guarding:
            self._apply_if_finite(updates, batch, before)
        else:
            self.apply(updates, batch)
        return tensorflow_devices.logged(self.get_metrics_result())

    def test_step(self, data: Any) -> dict[str, Any]:
        """Track each phase's terms on a batch without moving anything."""
        batch, carry = self.unpack(data), {}
        for phase in self.compiled_phases():
            terms, carry = phase.losses(batch, False, carry)
            self.track(phase, terms, batch)
        return tensorflow_devices.logged(self.get_metrics_result())

    def differentiate(self, batch: Batch) -> list[Update]:
        """Return the terms and gradients of all phases; no weight moves."""
        updates, carry = [], {}
        for phase in self.compiled_phases():
            values = [variable.value for variable in phase.variables]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(values)
                terms, carry = phase.losses(batch, True, carry)
                # The optimizer adds up the replicas' gradients.
                scaled = phase.optimizer.scale_loss(terms["loss"] / replicas.count())
            updates.append(Update(phase, terms, tape.gradient(scaled, values)))
        return updates

    def _states_before(self) -> list[tf.Tensor]:
        return [tf.identity(variable.value) for variable in self._states_to_keep()] if self.guarding else []

    def _apply_if_finite(self, updates: list[Update], batch: Batch, before: list[tf.Tensor]) -> None:
        health = Health.of(batch, updates)

        def apply() -> list[tf.Tensor]:
            self.apply(updates, batch)
            return [total_of(update.phase.variables) for update in updates]

        def restore() -> list[tf.Tensor]:
            for variable, value in zip(self._states_to_keep(), before, strict=True):
                variable.assign(value)
            return [tf.constant(0.0) for _ in updates]

        health.look_at_weights(updates, tf.nest.flatten(tf.cond(tf.reduce_all(health.flags()), apply, restore)))
        self.step_guard.take(health)
