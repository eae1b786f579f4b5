"""A training loop for GAMIX written by hand in PyTorch, with which `fit` is compared."""

import keras
import numpy as np
import torch
from torch.nn.functional import softplus

from benchmarks.objective import Objective


class RawLoop:
    """Both phases with autograd and `torch.optim.Adam`, with the networks of a model and its losses only.

    The networks' constraints are applied too.

    Args:
        model: The model whose networks, with their weights, are trained.
        objective: The numbers of the objective.
        jit: Must be False: `torch.compile` cannot compile the step of the models.
    """

    def __init__(self, model: keras.Model, objective: Objective, jit: bool) -> None:
        self.encoder, self.decoder, self.critic = model.encoder, model.decoder, model.critic
        self.numbers = objective
        groups = ((self.encoder, self.decoder), (self.critic,))
        variables = [[v for network in group for v in network.trainable_variables] for group in groups]
        self.weights = [[variable.value for variable in group] for group in variables]
        self.rules = [[(v.value, v.constraint) for v in group if v.constraint] for group in variables]
        betas = (objective.beta_1, 0.999)
        pairs = zip(self.weights, objective.rates, strict=True)
        self.optimizers = [torch.optim.Adam(weights, lr=rate, betas=betas) for weights, rate in pairs]
        self.average = [weight.detach().clone() for weight in self.weights[0]] if objective.ema_decay else []
        self.losses = self._autoencoder_loss, self._critic_loss

    def run(self, images: np.ndarray, steps: int) -> float:
        """Train for a number of steps on a batch and return the last loss."""
        device = self.weights[0][0].device
        for _ in range(steps):
            loss = self._step(torch.from_numpy(images).to(device))
        return float(loss)

    def _step(self, images: torch.Tensor) -> torch.Tensor:
        loss, output = self.losses[0](images)
        self._apply(0, loss)
        self._apply(1, self.losses[1](images, output.detach()))
        if self.average:
            torch._foreach_lerp_(self.average, [w.detach() for w in self.weights[0]], 1.0 - self.numbers.ema_decay)
        return loss.detach()

    def _apply(self, phase: int, loss: torch.Tensor) -> None:
        self.optimizers[phase].zero_grad()
        loss.backward(inputs=self.weights[phase])
        self.optimizers[phase].step()
        with torch.no_grad():
            for weight, rule in self.rules[phase]:
                weight.copy_(rule(weight))

    def _autoencoder_loss(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean, log_var = self.encoder(images, training=True)
        variance = log_var.exp()
        output = self.decoder(mean + variance.sqrt() * torch.randn_like(mean), training=True)
        error = (images - output).abs().sum(dim=(1, 2, 3)).mean()
        centre, spread = mean.mean(dim=0), mean.var(dim=0, correction=0)
        moments = 0.5 * (centre**2 + spread - 1.0 - torch.log(spread + 1e-6)).sum()
        penalty = (variance - 1.0 - log_var).sum(dim=-1).mean()
        fooled = softplus(-self.critic(output, training=True)).mean()
        return self.numbers.loss(error, moments, penalty, fooled), output

    def _critic_loss(self, images: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        real, fake = self.critic(torch.cat([images, fake]), training=True).chunk(2)
        return self.numbers.critic_weight * (softplus(-real) + softplus(fake)).mean()
