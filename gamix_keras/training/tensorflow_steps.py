"""The generic training and test step on TensorFlow."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from gamix_keras.distributed import replicas, tensorflow_devices
from gamix_keras.training.guard import Health, Update, total_of
from gamix_keras.training.phase import Phase


class TensorFlowSteps:
    """Walks the phases of a `PhasedModel` with a gradient tape."""

    @staticmethod
    def default_jit() -> bool:
        """XLA pays on a GPU; on a CPU it helps one model and not another, and delays every first step."""
        return bool(tf.config.list_physical_devices("GPU"))

    @staticmethod
    def input_gradient(function: Callable, inputs: tf.Tensor, again: bool = False) -> tuple[tf.Tensor, Any]:
        """The gradient of a scalar by the inputs, and whatever came with it; see `PhasedModel`."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(inputs)
            value, other = function(inputs)
        return tape.gradient(value, inputs), other

    def train_step(self, data: Any) -> dict[str, Any]:
        """Minimises each phase once on a batch and returns the logs so far in the epoch."""
        images, carry, updates = self.unpack(data), {}, []
        health = Health(self.guarding)
        health.look("images", [images])
        before = [tf.identity(variable.value) for variable in self._states_to_keep()] if self.guarding else []
        for phase in self.phases():
            update, carry = self._differentiated(phase, images, carry)
            health.look_at(update)
            updates.append(update)
        if self.guarding:
            self._make_if_good(health, updates, tf.shape(images)[0], before)
        else:
            self.make(updates, tf.shape(images)[0])
        return tensorflow_devices.logged(self.get_metrics_result())

    def test_step(self, data: Any) -> dict[str, Any]:
        """Tracks each phase's terms on a batch without moving anything."""
        images, carry = self.unpack(data), {}
        for phase in self.phases():
            terms, carry = phase.losses(images, False, carry)
            self.track(phase, terms, tf.shape(images)[0])
        return tensorflow_devices.logged(self.get_metrics_result())

    def _make_if_good(self, health: Health, updates: list[Update], size: tf.Tensor, before: list[tf.Tensor]) -> None:
        def make() -> list[tf.Tensor]:
            self.make(updates, size)
            return [total_of(update.phase.variables) for update in updates]

        def leave() -> list[tf.Tensor]:
            for variable, value in zip(self._states_to_keep(), before, strict=True):
                variable.assign(value)
            return [tf.constant(0.0) for _ in updates]

        health.look_at_weights(updates, tf.nest.flatten(tf.cond(tf.reduce_all(health.flags()), make, leave)))
        self.step_guard.take(health)

    @staticmethod
    def _differentiated(phase: Phase, images: tf.Tensor, carry: dict[str, Any]) -> tuple[Update, dict[str, Any]]:
        values = [variable.value for variable in phase.variables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            terms, carry = phase.losses(images, True, carry)
            # The optimizer adds up the replicas' gradients.
            scaled = phase.optimizer.scale_loss(terms["loss"] / replicas.count())
        return Update(phase, terms, tape.gradient(scaled, values)), carry
