"""The generic training and test step on PyTorch."""

from collections.abc import Callable, Iterable
from typing import Any

import keras
import torch

from gamix_keras.distributed import torch_devices
from gamix_keras.training.batch import Batch
from gamix_keras.training.guard import Health, Update
from gamix_keras.training.steps import InPlaceSteps


class TorchSteps(InPlaceSteps):
    """Walks the phases of a `PhasedModel` with autograd."""

    @staticmethod
    def default_jit() -> bool:
        """Return False: `torch.compile` fails on the critic after minutes, and gains nothing on a CPU."""
        return False

    @staticmethod
    def input_gradient(function: Callable, inputs: torch.Tensor, again: bool = False) -> tuple[torch.Tensor, Any]:
        """Return the gradient of a scalar by the inputs, and whatever came with it; see `PhasedModel`."""
        # Keras evaluates without gradients, and this term needs one even there.
        with torch.enable_grad():
            leaf = inputs.detach().requires_grad_()
            value, other = function(leaf)
            (gradient,) = torch.autograd.grad(value, leaf, create_graph=again)
        return gradient, other

    @staticmethod
    def peek(data: list[Any]) -> tuple[Any, tuple]:
        """Return the batch that a train function is given, and its arguments."""
        return data[0], (data,)

    def train_step(self, data: Any) -> dict[str, Any]:
        """Minimise each phase once on a batch and return the logs so far in the epoch."""
        batch, before = self.unpack(data), self._states_before()
        updates = self.differentiate(batch)
        with torch.no_grad():
            if self.guarding:
                self._apply_if_finite(updates, batch, before)
            else:
                self.apply(updates, batch)
        return self.get_metrics_result()

    def get_metrics_result(self) -> dict[str, Any]:
        """Return the metrics over all devices."""
        with torch.no_grad(), torch_devices.summed(self.tracker_variables):
            return super().get_metrics_result()

    def test_step(self, data: Any) -> dict[str, Any]:
        """Track each phase's terms on a batch without moving anything."""
        batch, carry = self.unpack(data), {}
        for phase in self.compiled_phases():
            terms, carry = phase.losses(batch, False, carry)
            self.track(phase, terms, batch)
        return self.get_metrics_result()

    def differentiate(self, batch: Batch) -> list[Update]:
        """Return the terms and gradients of all phases; no weight moves."""
        updates, carry = [], {}
        for phase in self.compiled_phases():
            values = [variable.value for variable in phase.variables]
            for value in values:  # a layer frozen since `compile` has given up its gradients
                value.requires_grad_()
            terms, carry = phase.losses(batch, True, carry)
            scaled = phase.optimizer.scale_loss(terms["loss"])
            updates.append(Update(phase, terms, _gradients(scaled, values)))
        return updates

    def _states_before(self) -> list[torch.Tensor]:
        with torch.no_grad():
            return [variable.value.clone() for variable in self._states_to_keep()] if self.guarding else []

    def _apply_if_finite(self, updates: list[Update], batch: Batch, before: list[torch.Tensor]) -> None:
        health = Health.of(batch, updates, _total)
        if is_good := bool(health.flags().all()):
            self.apply(updates, batch)
        else:
            for variable, value in zip(self._states_to_keep(), before, strict=True):
                variable.assign(value)
        totals = [_total(update.phase.variables) for update in updates]
        if is_good and torch.stack(totals).isfinite().all():
            self.step_guard.take_good()
        else:
            health.look_at_weights(updates, totals)
            self.step_guard.take(health)


def _gradients(loss: torch.Tensor, values: list[torch.Tensor]) -> list[torch.Tensor | None]:
    # `backward` rather than `autograd.grad`: the gradients get the layout of the parameters, so that sums over them
    # round as in Keras's own trainer, and hooks of distributed training see them.
    for value in values:
        value.grad = None
    loss.backward(inputs=values)
    return torch_devices.averaged([value.grad for value in values])


def _total(values: Iterable[Any]) -> torch.Tensor:
    """Return the same as `total_of` by all norms in one call; they overflow if an entry is beyond 1e19."""
    tensors = [value.value if isinstance(value, keras.Variable) else torch.as_tensor(value) for value in values]
    if len(tensors) == 1 and not tensors[0].ndim:
        return tensors[0].float()
    return torch.stack(torch._foreach_norm(tensors)).sum()
