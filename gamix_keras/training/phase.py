"""What a model declares so that the generic step can train it."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras

from gamix_keras.training.batch import Batch

Tensor = Any
Terms = dict[str, Tensor | tuple[Tensor, ...]]
Carry = dict[str, Tensor]


class Phase(NamedTuple):
    """One minimisation within a training step: what, over which variables, by which optimizer.

    A VAE has one phase; a VAE with a critic has two, walked in order within each step. The weights move once the
    losses of all phases are there: each sees the others' variables as they were before the step.

    Attributes:
        name: Name such as `autoencoder` or `critic`. The loss of the first phase is logged as `loss`, that of another
            under the phase's name.
        losses: Function `losses(batch, training, carry) -> (terms, carry)`. `terms["loss"]` is the scalar to minimise;
            every other term goes to the tracker of its name. `carry` hands tensors to the next phase, which must stop
            their gradient, so that one step makes one encoder and one decoder pass.
        variables: Trainable variables that this phase moves, disjoint from those of the other phases.
        optimizer: Optimizer that moves them; its slots were built for exactly these variables.
    """

    name: str
    losses: Callable[[Batch, bool, Carry], tuple[Terms, Carry]]
    variables: Sequence[keras.Variable]
    optimizer: keras.optimizers.Optimizer
