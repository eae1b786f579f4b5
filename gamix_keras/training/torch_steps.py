"""The generic training and test step on PyTorch."""

from collections.abc import Callable
from typing import Any

import torch

from gamix_keras.training.guard import Health
from gamix_keras.training.phase import Phase


class TorchSteps:
    """Walks the phases of a `PhasedModel` with autograd."""

    @staticmethod
    def default_jit() -> bool:
        """`torch.compile` costs minutes here and gains nothing."""
        return False

    @staticmethod
    def input_gradient(function: Callable, inputs: torch.Tensor, again: bool = False) -> tuple[torch.Tensor, Any]:
        """The gradient of a scalar by the inputs, and whatever came with it; see `PhasedModel`."""
        # Keras evaluates without gradients, and this term needs one even there.
        with torch.enable_grad():
            leaf = inputs.detach().requires_grad_()
            value, other = function(leaf)
            (gradient,) = torch.autograd.grad(value, leaf, create_graph=again)
        return gradient, other

    def train_step(self, data: Any) -> dict[str, Any]:
        """Minimises each phase once on a batch and returns the logs so far in the epoch."""
        images, carry = self.unpack(data), {}
        health = Health(self.guarding)
        with torch.no_grad():
            health.look("images", [images])
            before = [variable.value.clone() for variable in self._undone_variables] if self.guarding else []
        for phase in self.phases():
            carry = self._minimise(phase, images, carry, health)
        with torch.no_grad():
            self.after_step()
            if self.guarding and not self.step_guard.judge(health):
                for variable, value in zip(self._undone_variables, before, strict=True):
                    variable.assign(value)
        return self.get_metrics_result()

    def test_step(self, data: Any) -> dict[str, Any]:
        """Tracks each phase's terms on a batch without moving anything."""
        images, carry = self.unpack(data), {}
        for phase in self.phases():
            terms, carry = phase.losses(images, False, carry)
            self.track(phase, terms, images.shape[0])
        return self.get_metrics_result()

    def _minimise(self, phase: Phase, images: torch.Tensor, carry: dict[str, Any], health: Health) -> dict[str, Any]:
        terms, carry = phase.losses(images, True, carry)
        scaled = phase.optimizer.scale_loss(terms["loss"])
        gradients = self._gradients(scaled, [variable.value for variable in phase.variables])
        with torch.no_grad():
            phase.optimizer.apply(gradients, phase.variables)
            health.look_at_terms(phase, terms)
            health.look_at_gradients(phase, gradients)
            health.look(f"{phase.name} weights", phase.variables)
            self.track(phase, terms, images.shape[0])
        return carry

    @staticmethod
    def _gradients(loss: torch.Tensor, values: list[torch.Tensor]) -> list[torch.Tensor | None]:
        # `backward` rather than `autograd.grad`: the gradients get the layout of the parameters, so that sums over
        # them round as in Keras's own trainer, and hooks of distributed training see them.
        for value in values:
            value.grad = None
        loss.backward(inputs=values)
        return [value.grad for value in values]
