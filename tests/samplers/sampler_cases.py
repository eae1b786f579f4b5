"""A fitted sampler of each kind, for several tests."""

import keras
import numpy as np

from gamix_keras.samplers import FullGaussianSampler, MixtureSampler, Posteriors, PriorSampler, SecondStageSampler

D = 3


def posteriors(count=400, seed=0) -> Posteriors:
    """Two clouds of correlated means, with a spread of their own."""
    rng = np.random.default_rng(seed)
    side = rng.choice([-3.0, 3.0], (count, 1))
    mean = side + rng.normal(size=(count, D)) @ np.array([[1, 0.5, 0], [0, 0.4, 0.2], [0, 0, 0.3]])
    return Posteriors(mean.astype("float32"), rng.uniform(-3, -1, (count, D)).astype("float32"))


def second_decoder() -> keras.Model:
    inputs = keras.Input((2,), name="u")
    kernel = keras.initializers.RandomNormal(seed=4)
    return keras.Model(inputs, keras.layers.Dense(D, "tanh", kernel_initializer=kernel)(inputs), name="second")


MAKERS = {
    "prior": lambda: PriorSampler(D),
    "gaussian": lambda: FullGaussianSampler(D).fit(posteriors()),
    "mixture": lambda: MixtureSampler(D, 4).fit(posteriors()),
    "diag": lambda: MixtureSampler(D, 4, "diag").fit(posteriors()),
    "second_stage": lambda: SecondStageSampler(second_decoder(), np.log(0.2)),
}
