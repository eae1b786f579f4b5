"""A watch over training that says in words what goes wrong."""

import warnings
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from gamix_keras.config.catalogue import objective_of
from gamix_keras.metrics.diagnosis import DEFAULTS, Finding, Thresholds, collapsed_dimensions, diagnose
from gamix_keras.metrics.latent_statistics import LatentStatistics

_OF_CRITIC = ("critic_real", "critic_fake")


class CollapseMonitor(keras.callbacks.Callback):
    """Diagnoses the model after each epoch and warns once per trouble: what, since when, the numbers, what to try.

    It judges the logs, those of validation if there are any, by the thresholds of `diagnose`: fully collapsed and
    half-dead latents, sigma collapsed, a critic that always wins, terms that are not finite. With `images` it also
    looks at each latent dimension by itself, which tells a dead dimension from a weak one.

    Args:
        images: Held-out images (N, H, W, C) in [-1, 1] that are encoded after each epoch in one pass; a few hundred
            are enough. None: the logs alone.
        patience: Epochs in a row that a trouble must last before it is reported, >= 1; one epoch is enough for what is
            not finite. (Latents are often asleep in the first epochs, and a critic may win a few.)
        start: Epochs at the beginning that are not judged, except for what is not finite: those of a KL warm-up.
        stop: Whether a report ends training.
        thresholds: Bounds from which a number is a finding.

    Attributes:
        findings: The last epoch's findings, whether reported or not.
        latents: The `LatentStatistics` of `images` after the last epoch, with its histogram of posterior variances.

    Raises:
        ValueError: If the patience is below 1 or the start negative.
    """

    def __init__(
        self,
        images: np.ndarray | None = None,
        patience: int = 3,
        start: int = 0,
        stop: bool = False,
        thresholds: Thresholds = DEFAULTS,
    ) -> None:
        super().__init__()
        if patience < 1 or start < 0:
            raise ValueError(f"CollapseMonitor: expected patience >= 1 and start >= 0, got {patience!r} and {start!r}.")
        self.images = images
        self.patience = patience
        self.start = start
        self.stop = stop
        self.thresholds = thresholds
        self.findings: list[Finding] = []
        self.latents: LatentStatistics | None = None

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Forget the troubles of an earlier fit."""
        self._since: dict[str, tuple[int, int]] = {}
        self._reported: set[str] = set()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Diagnose, and report what has lasted."""
        found = diagnose(self._statistics(logs or {}), self.thresholds, objective_of(self.model))
        self.findings = [f for f in found if epoch >= self.start or f.kind == "non-finite"]
        now = (epoch, self.model.steps_done)
        self._since = {finding.kind: self._since.get(finding.kind, now) for finding in self.findings}
        self._reported &= set(self._since)
        for finding in self.findings:
            self._report(finding, epoch)

    def _report(self, finding: Finding, epoch: int) -> None:
        first, step = self._since[finding.kind]
        lasted = epoch - first + 1
        if finding.kind in self._reported or (lasted < self.patience and finding.kind != "non-finite"):
            return
        self._reported.add(finding.kind)
        since = f"since epoch {first + 1} (step {step}), seen after epoch {epoch + 1}"
        warnings.warn(
            f"CollapseMonitor: {finding.kind} {since}: {finding.message}. Try: {finding.advice}",
            UserWarning,
            stacklevel=2,
        )
        if self.stop:
            self.model.stop_training = True

    def _statistics(self, logs: Mapping[str, Any]) -> dict[str, Any]:
        training = {name: value for name, value in logs.items() if not name.startswith("val_")}
        validation = {name.removeprefix("val_"): value for name, value in logs.items() if name.startswith("val_")}
        latents = {} if self.images is None else self._of_images()
        found = {"latent_dim": self.model.latent_dim, **training, **validation, **latents}
        left_out = () if self._has_trained_critic() else _OF_CRITIC
        return {name: value for name, value in found.items() if name not in left_out}

    def _has_trained_critic(self) -> bool:
        """Return whether the critic is trained now: the losses of one that waits for its start say nothing of it."""
        weights = self.model.term_weights
        return "critic" not in weights or float(ops.convert_to_numpy(weights["critic"])) > 0.0

    def _of_images(self) -> dict[str, Any]:
        mean, log_var = (ops.convert_to_numpy(tensor) for tensor in self.model.encode(self.images))
        if not (np.isfinite(mean).all() and np.isfinite(log_var).all()):
            return {"posterior mean": mean, "posterior log-variance": log_var}
        self.latents = LatentStatistics(self.model.latent_dim).update(mean, log_var)
        return {
            "active_units": self.latents.active_units(),
            "kl_per_dimension": self.latents.kl_per_dimension(),
            "posterior_variance": self.latents.posterior_variance(),
            "collapsed_dimensions": collapsed_dimensions(mean, log_var, self.thresholds),
        }
