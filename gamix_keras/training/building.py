"""Models made quickly: if a backend compiles for every shape of variable, do not optimise what runs once."""

from contextlib import AbstractContextManager, nullcontext

import keras


def building() -> AbstractContextManager[None]:
    """Return a context for making or loading a model: with it, weights are drawn alike to the last bit or two.

    JAX compiles the drawing of weights anew for each shape, which on a CPU takes longer than anything else before the
    first step; without XLA's optimisations it is a fraction of that. Nothing happens on other backends.
    """
    if keras.config.backend() != "jax":
        return nullcontext()
    from gamix_keras.training.jax_steps import hardly_optimised

    return hardly_optimised()
