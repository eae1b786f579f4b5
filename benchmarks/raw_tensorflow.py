"""A training loop for GAMIX written by hand in TensorFlow, with which `fit` is compared."""

import keras
import numpy as np
import tensorflow as tf

from benchmarks.objective import Objective


class RawLoop:
    """Both phases in one `tf.function`, with the networks of a model and its losses only.

    The networks' constraints are applied too.

    Args:
        model: The model whose networks, with their weights, are trained.
        objective: The numbers of the objective.
        jit: Whether XLA compiles the step.
    """

    def __init__(self, model: keras.Model, objective: Objective, jit: bool) -> None:
        self.encoder, self.decoder, self.critic = model.encoder, model.decoder, model.critic
        self.numbers = objective
        self.optimizers = [keras.optimizers.Adam(rate, beta_1=objective.beta_1) for rate in objective.rates]
        groups = ((self.encoder, self.decoder), (self.critic,))
        variables = [[v for network in group for v in network.trainable_variables] for group in groups]
        self.weights = [[variable.value for variable in group] for group in variables]
        self.rules = [[(v.value, v.constraint) for v in group if v.constraint] for group in variables]
        for optimizer, weights in zip(self.optimizers, self.weights, strict=True):
            optimizer.build(weights)
        self.average = [tf.Variable(weight) for weight in self.weights[0]] if objective.ema_decay else []
        self.step = tf.function(self._step, jit_compile=jit)

    def run(self, images: np.ndarray, steps: int) -> float:
        """Train for a number of steps on a batch and return the last loss."""
        for _ in range(steps):
            loss = self.step(tf.constant(images))
        return float(loss)

    def _step(self, images: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss, output = self._autoencoder_loss(images)
        self._apply(0, tape, loss)
        with tf.GradientTape() as tape:
            critic_loss = self._critic_loss(images, tf.stop_gradient(output))
        self._apply(1, tape, critic_loss)
        for average, weight in zip(self.average, self.weights[0], strict=False):
            average.assign_add((1.0 - self.numbers.ema_decay) * (weight - average))
        return loss

    def _apply(self, phase: int, tape: tf.GradientTape, loss: tf.Tensor) -> None:
        weights = self.weights[phase]
        self.optimizers[phase].apply(tape.gradient(loss, weights), weights)
        for weight, rule in self.rules[phase]:
            weight.assign(rule(weight))

    def _autoencoder_loss(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        numbers = self.numbers
        mean, log_var = self.encoder(images, training=True)
        variance = tf.exp(log_var)
        output = self.decoder(mean + tf.sqrt(variance) * tf.random.normal(tf.shape(mean)), training=True)
        error = tf.reduce_mean(tf.reduce_sum(tf.abs(images - output), axis=(1, 2, 3)))
        centre, spread = tf.nn.moments(mean, axes=0)
        moments = 0.5 * tf.reduce_sum(centre**2 + spread - 1.0 - tf.math.log(spread + 1e-6))
        penalty = tf.reduce_mean(tf.reduce_sum(variance - 1.0 - log_var, axis=-1))
        fooled = tf.reduce_mean(tf.nn.softplus(-self.critic(output, training=True)))
        return numbers.loss(error, moments, penalty, fooled), output

    def _critic_loss(self, images: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
        real, fake = tf.split(self.critic(tf.concat([images, fake], axis=0), training=True), 2)
        return self.numbers.critic_weight * tf.reduce_mean(tf.nn.softplus(-real) + tf.nn.softplus(fake))
