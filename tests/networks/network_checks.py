"""Checks that hold for every network."""

import keras
import numpy as np


def numbers(shape, seed=0) -> np.ndarray:
    """Values in [-1, 1] that are the same everywhere."""
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype("float32")


def outputs(model, inputs) -> list[np.ndarray]:
    """The outputs at inference, one array each."""
    return list(keras.tree.flatten(model.predict_on_batch(inputs)))


def fill(model, seed=0) -> None:
    """Weights that are the same on every backend, of a size that keeps the features near 1."""
    rng = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        fan_in = np.prod(variable.shape[:-1]) if len(variable.shape) > 1 else 100.0
        variable.assign(rng.normal(size=variable.shape, scale=fan_in**-0.5) + (variable.name == "gamma"))


def still_after_a_step(model, inputs) -> list[str]:
    """Paths of the trainable variables that one step of gradient descent leaves as they were."""
    targets = [numbers((len(inputs), *out.shape[1:]), seed=1) for out in model.outputs]
    before = [keras.ops.convert_to_numpy(variable) + 0.0 for variable in model.trainable_variables]
    model.compile(keras.optimizers.SGD(1e-2), loss=["mse"] * len(targets), run_eagerly=False)
    model.train_on_batch(inputs, targets if len(targets) > 1 else targets[0])
    after = [keras.ops.convert_to_numpy(variable) for variable in model.trainable_variables]
    moved = [bool(np.any(old != new)) for old, new in zip(before, after, strict=True)]
    return [variable.path for variable, has in zip(model.trainable_variables, moved, strict=True) if not has]
