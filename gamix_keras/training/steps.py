"""What the steps of backends have in common whose variables are assigned in place."""

from collections.abc import Sequence
from typing import Any

from gamix_keras.training.batch import Batch
from gamix_keras.training.guard import Update


class InPlaceSteps:
    """The second half of a step: see `differentiate` of each backend for the first."""

    def give_back(self, *arguments: Any) -> None:
        """Do nothing before a step that is not made: the variables have their values."""

    def apply(self, updates: Sequence[Update], batch: Batch) -> None:
        """Move the weights, and whatever follows them, now that all gradients are there."""
        for phase, terms, gradients in updates:
            phase.optimizer.apply(gradients, phase.variables)
            self.track(phase, terms, batch)
        self.after_step()
