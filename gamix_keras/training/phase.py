"""What a model declares so that the generic step can train it."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras

Tensor = Any
Terms = dict[str, Tensor | tuple[Tensor, ...]]
Carry = dict[str, Tensor]


class Phase(NamedTuple):
    """One minimisation within a training step: what, over which variables, by which optimizer.

    A VAE has one phase; a VAE with a critic has two, walked in order within each step. The weights move when the
    losses of all phases are there: each sees the others' variables as they were before the step.

    Attributes:
        name: `autoencoder`, `critic`, ...; the phase's loss is logged as `loss` for the first phase and under the
            phase's name for the others.
        losses: `losses(images, training, carry) -> (terms, carry)`. `terms["loss"]` is the scalar to minimise; every
            other term goes to the tracker of its name. `carry` hands tensors to the next phase, which must stop
            their gradient, so that one step makes one encoder and one decoder pass.
        variables: the trainable variables that this phase moves, disjoint from those of the other phases.
        optimizer: the optimizer that moves them; its slots were built for exactly these variables.
    """

    name: str
    losses: Callable[[Tensor, bool, Carry], tuple[Terms, Carry]]
    variables: Sequence[keras.Variable]
    optimizer: keras.optimizers.Optimizer
