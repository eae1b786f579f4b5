"""The generic training and test step on PyTorch."""

from collections.abc import Callable, Iterable
from typing import Any

import keras
import torch

from gamix_keras.distributed import torch_devices
from gamix_keras.training.guard import Health, Update
from gamix_keras.training.phase import Phase


class TorchSteps:
    """Walks the phases of a `PhasedModel` with autograd."""

    @staticmethod
    def default_jit() -> bool:
        """`torch.compile` fails on the critic after minutes, and networks alone gain nothing by it on a CPU."""
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
        images, carry, updates = self.unpack(data), {}, []
        health = Health(self.guarding, _total)
        with torch.no_grad():
            health.look("images", [images])
            before = [variable.value.clone() for variable in self._states_to_keep()] if self.guarding else []
        for phase in self.phases():
            update, carry = self._differentiated(phase, images, carry)
            with torch.no_grad():
                health.look_at(update)
            updates.append(update)
        with torch.no_grad():
            if self.guarding:
                self._make_if_good(health, updates, images.shape[0], before)
            else:
                self.make(updates, images.shape[0])
        return self.get_metrics_result()

    def get_metrics_result(self) -> dict[str, Any]:
        """The metrics over all devices."""
        with torch.no_grad(), torch_devices.summed(self.tracker_variables):
            return super().get_metrics_result()

    def test_step(self, data: Any) -> dict[str, Any]:
        """Tracks each phase's terms on a batch without moving anything."""
        images, carry = self.unpack(data), {}
        for phase in self.phases():
            terms, carry = phase.losses(images, False, carry)
            self.track(phase, terms, images.shape[0])
        return self.get_metrics_result()

    def _make_if_good(self, health: Health, updates: list[Update], size: int, before: list[torch.Tensor]) -> None:
        if is_good := bool(health.flags().all()):
            self.make(updates, size)
        else:
            for variable, value in zip(self._states_to_keep(), before, strict=True):
                variable.assign(value)
        totals = [_total(update.phase.variables) for update in updates]
        if is_good and torch.stack(totals).isfinite().all():
            self.step_guard.take_good()
        else:
            health.look_at_weights(updates, totals)
            self.step_guard.take(health)

    def _differentiated(
        self, phase: Phase, images: torch.Tensor, carry: dict[str, Any]
    ) -> tuple[Update, dict[str, Any]]:
        terms, carry = phase.losses(images, True, carry)
        scaled = phase.optimizer.scale_loss(terms["loss"])
        return Update(phase, terms, self._gradients(scaled, [variable.value for variable in phase.variables])), carry

    @staticmethod
    def _gradients(loss: torch.Tensor, values: list[torch.Tensor]) -> list[torch.Tensor | None]:
        # `backward` rather than `autograd.grad`: the gradients get the layout of the parameters, so that sums over
        # them round as in Keras's own trainer, and hooks of distributed training see them.
        for value in values:
            value.grad = None
        loss.backward(inputs=values)
        return torch_devices.averaged([value.grad for value in values])


def _total(values: Iterable[Any]) -> torch.Tensor:
    """As `total_of`, by all norms in one call; they overflow where an entry is beyond 1e19."""
    tensors = [value.value if isinstance(value, keras.Variable) else torch.as_tensor(value) for value in values]
    if len(tensors) == 1 and not tensors[0].ndim:
        return tensors[0].float()
    return torch.stack(torch._foreach_norm(tensors)).sum()
