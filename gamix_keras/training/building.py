"""Models made quickly: where every shape of variable is compiled for, do not optimise what runs once."""

from contextlib import AbstractContextManager, nullcontext

import keras


def building() -> AbstractContextManager[None]:
    """A context for making or loading a model: with it, weights are drawn alike to the last bit or two.

    JAX compiles the drawing of weights anew for each shape, for 0.7 seconds each on a CPU; without XLA's optimisations
    it takes a quarter of that. Nothing happens on other backends.
    """
    if keras.config.backend() != "jax":
        return nullcontext()
    from gamix_keras.training.jax_steps import hardly_optimised

    return hardly_optimised()
