"""A training loop for GAMIX written by hand in JAX, with which `fit` is compared."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from benchmarks.objective import Objective

State = Any


def _as_it_is(weight: jax.Array) -> jax.Array:
    return weight


class RawLoop:
    """Both phases in one `jax.jit` that donates its state, with the networks of a model and its losses only.

    The networks' constraints are applied too.

    Args:
        model: The model whose networks, with their weights, are trained.
        objective: The numbers of the objective.
        jit: Whether the step is compiled.
    """

    def __init__(self, model: keras.Model, objective: Objective, jit: bool) -> None:
        self.networks, self.numbers = (model.encoder, model.decoder, model.critic), objective
        values = [[jnp.copy(v.value) for v in network.trainable_variables] for network in self.networks]
        self.fixed = [[v.value for v in network.non_trainable_variables] for network in self.networks]
        groups = {"autoencoder": values[:2], "critic": values[2]}
        rules = [[v.constraint or _as_it_is for v in network.trainable_variables] for network in self.networks]
        self.rules = {"autoencoder": rules[:2], "critic": rules[2]}
        zeros = functools.partial(jax.tree.map, jnp.zeros_like)
        self.state = {name: (weights, zeros(weights), zeros(weights)) for name, weights in groups.items()}
        self.state |= {"step": jnp.zeros(()), "average": jax.tree.map(jnp.copy, groups["autoencoder"])}
        self.step = jax.jit(self._step, donate_argnums=0) if jit else self._step

    def run(self, images: np.ndarray, steps: int) -> float:
        """Train for a number of steps on a batch and return the last loss."""
        for _ in range(steps):
            self.state, loss = self.step(self.state, images)
        return float(loss)

    def _step(self, state: State, images: jax.Array) -> tuple[State, jax.Array]:
        state, step = dict(state), state["step"] + 1
        gradient = jax.value_and_grad(self._autoencoder_loss, has_aux=True)
        weights, critic = state["autoencoder"][0], state["critic"][0]
        (loss, output), gradients = gradient(weights, critic, images, jax.random.key(step.astype(int)))
        self._move(state, "autoencoder", gradients, step, self.numbers.rates[0])
        gradients = jax.grad(self._critic_loss)(critic, images, jax.lax.stop_gradient(output))
        self._move(state, "critic", gradients, step, self.numbers.rates[1])
        if self.numbers.ema_decay:
            state["average"] = jax.tree.map(self._blend, state["average"], state["autoencoder"][0])
        return {**state, "step": step}, loss

    def _blend(self, average: jax.Array, weight: jax.Array) -> jax.Array:
        return average + (1.0 - self.numbers.ema_decay) * (weight - average)

    def _move(self, state: State, name: str, gradients: State, step: jax.Array, rate: float) -> None:
        weights, means, squares = self._adam(state[name], gradients, step, rate)
        weights = jax.tree.map(lambda rule, weight: rule(weight), self.rules[name], weights)
        state[name] = weights, means, squares

    def _adam(self, slots: State, gradients: State, step: jax.Array, rate: float) -> State:
        first, second = self.numbers.beta_1, 0.999
        weights, means, squares = slots
        means = jax.tree.map(lambda m, g: first * m + (1.0 - first) * g, means, gradients)
        squares = jax.tree.map(lambda s, g: second * s + (1.0 - second) * g * g, squares, gradients)
        size = rate * jnp.sqrt(1.0 - second**step) / (1.0 - first**step)
        weights = jax.tree.map(lambda w, m, s: w - size * m / (jnp.sqrt(s) + 1e-7), weights, means, squares)
        return weights, means, squares

    def _call(self, index: int, weights: State, inputs: jax.Array) -> Any:
        return self.networks[index].stateless_call(weights, self.fixed[index], inputs, training=True)[0]

    def _autoencoder_loss(self, weights: State, critic: State, images: jax.Array, key: jax.Array) -> Any:
        mean, log_var = self._call(0, weights[0], images)
        variance = jnp.exp(log_var)
        output = self._call(1, weights[1], mean + jnp.sqrt(variance) * jax.random.normal(key, mean.shape))
        error = jnp.abs(images - output).sum(axis=(1, 2, 3)).mean()
        centre, spread = mean.mean(axis=0), mean.var(axis=0)
        moments = 0.5 * jnp.sum(centre**2 + spread - 1.0 - jnp.log(spread + 1e-6))
        penalty = jnp.sum(variance - 1.0 - log_var, axis=-1).mean()
        fooled = jax.nn.softplus(-self._call(2, critic, output)).mean()
        return self.numbers.loss(error, moments, penalty, fooled), output

    def _critic_loss(self, weights: State, images: jax.Array, fake: jax.Array) -> jax.Array:
        real, fake = jnp.split(self._call(2, weights, jnp.concatenate([images, fake])), 2)
        return self.numbers.critic_weight * jnp.mean(jax.nn.softplus(-real) + jax.nn.softplus(fake))
