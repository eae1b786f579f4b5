"""The generic training and test step on TensorFlow."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from gamix_keras.training.guard import Health
from gamix_keras.training.phase import Phase


class TensorFlowSteps:
    """Walks the phases of a `PhasedModel` with a gradient tape."""

    @staticmethod
    def default_jit() -> bool:
        """XLA pays on a GPU; on a CPU it is slower than TensorFlow's own kernels."""
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
        images, carry = self.unpack(data), {}
        health = Health(self.guarding)
        health.look("images", [images])
        before = [tf.identity(variable.value) for variable in self._undone_variables] if self.guarding else []
        for phase in self.phases():
            carry = self._minimise(phase, images, carry, health)
        self.after_step()
        if self.guarding:
            self._undo_unless(self.step_guard.judge(health), before)
        return self.get_metrics_result()

    def test_step(self, data: Any) -> dict[str, Any]:
        """Tracks each phase's terms on a batch without moving anything."""
        images, carry = self.unpack(data), {}
        for phase in self.phases():
            terms, carry = phase.losses(images, False, carry)
            self.track(phase, terms, tf.shape(images)[0])
        return self.get_metrics_result()

    def _undo_unless(self, good: tf.Tensor, before: list[tf.Tensor]) -> None:
        def undo() -> None:
            for variable, value in zip(self._undone_variables, before, strict=True):
                variable.assign(value)

        tf.cond(good, lambda: None, undo)

    def _minimise(self, phase: Phase, images: tf.Tensor, carry: dict[str, Any], health: Health) -> dict[str, Any]:
        values = [variable.value for variable in phase.variables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            terms, carry = phase.losses(images, True, carry)
            scaled = phase.optimizer.scale_loss(terms["loss"])
        gradients = tape.gradient(scaled, values)
        phase.optimizer.apply(gradients, phase.variables)
        health.look_at_terms(phase, terms)
        health.look_at_gradients(phase, gradients)
        health.look(f"{phase.name} weights", phase.variables)
        self.track(phase, terms, tf.shape(images)[0])
        return carry
