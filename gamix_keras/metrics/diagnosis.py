"""What is wrong with an image VAE, in words: collapse of the latents, of sigma, of the critic's game.

Pure functions of numbers: the collapse monitor asks them each epoch, evaluation and reports ask them once.

Symbols: posterior of image i is N(mu_i, diag sigma_i^2) in D dimensions; KL and information in nats per image.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from gamix_keras.config.catalogue import OBJECTIVES
from gamix_keras.metrics.aggregate import kl_to_standard

Statistics = Mapping[str, Any]


class Finding(NamedTuple):
    """One thing that is wrong.

    Attributes:
        kind: `non-finite`, `collapsed`, `half-dead`, `sigma-collapsed` or `critic-overpowering`.
        message: What was seen, with the numbers and the thresholds that they crossed.
        advice: What to try, the likeliest cure first.
    """

    kind: str
    message: str
    advice: str


@dataclass(frozen=True)
class Thresholds:
    """The thresholds beyond which a number is a finding.

    `active_variance` = 0.01: a dimension whose mean varies less over images is inactive (Burda 2016). It is the
        threshold behind `active_units`.
    `kl` = 0.01 nats per dimension: the epsilon of (epsilon, delta)-collapse (Lucas 2019).
    `delta` = 0.01: share of images that may exceed epsilon in a collapsed dimension (Lucas 2019).
    `superfluous_variance` = 0.9: a dimension whose posterior variance lies above repeats the prior. Dai & Wipf 2019
        find values near 0 or near 1; what is near is ours, as in `LatentStatistics`.
    `dead_share` = 0.5: share of unused dimensions that is worth a word; ours.
    `sigma` = 0.0001: geometric mean of sigma^2 below which the posteriors are points; ours.
    `critic` = 0.05: loss per patch on real and on reconstructed images; ours. Chance is log 2 = 0.69 each for `bce`,
        1 for `hinge`, 0.25 for `least_squares`.

    Measured on 32x32 drawn faces (small convolutional nets, D = 32, 2,304 images, 24 epochs of 36 steps):

    | model | KL per dimension | active units | superfluous | geometric mean of sigma^2 | critic, real and fake |
    | --- | --- | --- | --- | --- | --- |
    | VAE | 1.8 | 32 | 0 | 0.025 | - |
    | VAE, learned scale | 2.6 | 32 | 0 | 0.0058 | - |
    | VAE, beta = 300 | 0.005 to 0.011 | 1 to 10 | 31 to 32 | 0.98 | - |
    | VAE, scale 1 and beta = 10 | 0.31 | 26 | 21 | 0.53 | - |
    | GAMIX, variance_weight 0.1 | 3.1 | 32 | 0 | 0.0028 | 0.59 and 0.59 |
    | GAMIX, variance_weight 0 | 4.7 | 32 | 0 | 0.0001, falling | - |

    Sigma falls ever more slowly as it shrinks, so a variance term that is far too small shows late.
    """

    active_variance: float = 0.01
    kl: float = 0.01
    delta: float = 0.01
    superfluous_variance: float = 0.9
    dead_share: float = 0.5
    sigma: float = 1e-4
    critic: float = 0.05


DEFAULTS = Thresholds()


def diagnose(statistics: Statistics, thresholds: Thresholds = DEFAULTS, objective: str | None = None) -> list[Finding]:
    """Return what is wrong, the worst first; an empty list means that nothing was found.

    Args:
        statistics: Any of the following; what is missing is not judged. Scalars: every logged term (`kl`, `elbo`,
            `reconstruction`, `active_units`, `variance`, `critic_real`, `critic_fake`, ...) and `latent_dim`. Per
            dimension, (D,): `kl_per_dimension` and `posterior_variance` (mean of sigma^2), as in
            `LatentStatistics.summary()`; they outweigh the logs. Also `collapsed_dimensions`, see there.
        thresholds: See `Thresholds`.
        objective: The `model.name` of the model, a name in `catalogue.OBJECTIVES`: the advice names only settings that
            it reads. None names those of all.

    Examples:
        >>> [finding.kind for finding in diagnose({"latent_dim": 32, "kl": 0.02, "active_units": 1})]
        ['collapsed']
        >>> diagnose({"latent_dim": 32, "kl": 60.0, "active_units": 32})
        []
    """
    bad = _non_finite(statistics)
    if bad:
        return bad
    judged = statistics, thresholds
    findings = [_dead_latents(*judged, objective), _sigma_collapse(*judged, objective), _critic_overpowers(*judged)]
    return [finding for finding in findings if finding is not None]


def collapsed_dimensions(mean: np.ndarray, log_var: np.ndarray, thresholds: Thresholds = DEFAULTS) -> int:
    """Count (epsilon, delta)-collapsed dimensions: KL(q(z_d|x) || N(0, 1)) < epsilon for 1 - delta of the images.

    Args:
        mean: Posterior means of N images, (N, D).
        log_var: Posterior log-variances, (N, D).
        thresholds: The thresholds, with epsilon as `kl` and delta as `delta`.

    Source: Lucas, Tucker, Grosse & Norouzi 2019, "Don't blame the ELBO!".
    """
    return int(((kl_to_standard(mean, log_var) < thresholds.kl).mean(axis=0) >= 1.0 - thresholds.delta).sum())


def _non_finite(statistics: Statistics) -> list[Finding]:
    bad = [name for name, value in statistics.items() if not np.isfinite(np.asarray(value, "float64")).all()]
    if not bad:
        return []
    advice = (
        "lower the learning rate, set clip_norm, use float32 instead of a mixed precision, and look at the first of "
        "these terms that went wrong; the last good checkpoint can be resumed."
    )
    return [Finding("non-finite", f"not a finite number: {', '.join(bad)}", advice)]


def _dead_latents(statistics: Statistics, thresholds: Thresholds, objective: str | None) -> Finding | None:
    size = _latent_dim(statistics)
    if not size:
        return None
    kl, unused, criterion = _kl(statistics), *_unused(statistics, size, thresholds)
    amount = "" if kl is None else f", KL {kl:.3g} nats per image = {kl / size:.2g} per latent"
    strictly = statistics.get("collapsed_dimensions")
    by_image = "" if strictly is None else f", {strictly} of them for {1 - thresholds.delta:.0%} of the images"
    message = f"{unused} of {size} latents are unused ({criterion}{by_image}){amount}"
    if unused == size or (kl is not None and kl < thresholds.kl * size):
        return Finding("collapsed", f"{message} (collapsed below {thresholds.kl:g})", _collapsed_advice(objective))
    if unused >= thresholds.dead_share * size:
        return Finding("half-dead", message, _half_dead_advice(objective))
    return None


def _tries(objective: str | None, *ways: tuple[str, str]) -> str:
    """Join the ways out, each with the setting that it names, without those whose setting the objective does not read.

    A setting that belongs to no objective, such as the likelihood's scale, is read by all of them.
    """
    read = {key for name, row in OBJECTIVES.items() if objective in (None, name) for key in row.reads()}
    some = {key for row in OBJECTIVES.values() for key in row.reads()}
    *others, last = [text for key, text in ways if key in read or key not in some]
    return f"{', '.join(others)}, or {last}" if others else last


def _collapsed_advice(objective: str | None) -> str:
    ways = _tries(
        objective,
        ("loss.beta", "lower loss.beta"),
        ("loss.variance_weight", "lower loss.variance_weight"),
        ("loss.scale", "learn the likelihood's scale (loss.scale=learned)"),
        ("loss.warmup", "raise the weight of the latents' term slowly (loss.warmup)"),
        ("loss.free_bits", "set loss.free_bits"),
    )
    return f"the decoder ignores z. Any of these: {ways}; then check the learning rate."


def _half_dead_advice(objective: str | None) -> str:
    ways = _tries(
        objective,
        ("loss.scale", "learn the likelihood's scale or lower it"),
        ("loss.beta", "lower loss.beta"),
        ("loss.beta", "use model.name=gamix, which charges nothing for information"),
    )
    return f"unused latents do no harm but buy nothing: fewer will do as well. If reconstructions are poor, {ways}."


def _sigma_advice(objective: str | None) -> str:
    ways = _tries(
        objective,
        ("loss.variance_weight", "raise loss.variance_weight (0.1 in the paper)"),
        ("loss.mae_weight", "raise the likelihood's scale (a lower loss.mae_weight)"),
        ("loss.beta", "raise loss.beta if it is 0"),
    )
    return f"the posteriors are points, and the latent space has holes, as that of a plain autoencoder. Either {ways}."


def _unused(statistics: Statistics, size: int, thresholds: Thresholds) -> tuple[int, str]:
    """Return how many dimensions carry nothing, and by which criterion."""
    variance = statistics.get("posterior_variance")
    if variance is not None:
        count = int((np.asarray(variance) > thresholds.superfluous_variance).sum())
        return count, f"posterior variance above {thresholds.superfluous_variance:g}"
    active = statistics.get("active_units", size)
    return round(size - float(active)), f"variance of the mean not above {thresholds.active_variance:g}"


def _sigma_collapse(statistics: Statistics, thresholds: Thresholds, objective: str | None) -> Finding | None:
    sigma = _sigma(statistics)
    if sigma is None or sigma >= thresholds.sigma:
        return None
    term = f", variance term {statistics['variance']:.4g} nats per image" if "variance" in statistics else ""
    message = f"typical posterior variance {sigma:.2g}, below {thresholds.sigma:g}{term}"
    return Finding("sigma-collapsed", message, _sigma_advice(objective))


def _critic_overpowers(statistics: Statistics, thresholds: Thresholds) -> Finding | None:
    losses = [statistics.get(name) for name in ("critic_real", "critic_fake")]
    if any(loss is None or loss >= thresholds.critic for loss in losses):
        return None
    real, fake = losses
    message = f"critic loss {real:.2g} on real and {fake:.2g} on reconstructed images, both below {thresholds.critic:g}"
    advice = (
        "the critic always wins, so its gradient says little. Lower its learning rate, penalise its slope "
        "(loss.r1_weight), hold its kernels (model.critic_spectral_norm), or let its term set in later "
        "(loss.adversarial_start and adversarial_ramp; in code, WeightSchedule)."
    )
    return Finding("critic-overpowering", message, advice)


def _latent_dim(statistics: Statistics) -> int | None:
    if "latent_dim" in statistics:
        return int(statistics["latent_dim"])
    per_dimension = statistics.get("posterior_variance", statistics.get("kl_per_dimension"))
    return None if per_dimension is None else len(per_dimension)


def _kl(statistics: Statistics) -> float | None:
    """Return the KL itself, from the ELBO: with free bits the logged `kl` has a floor."""
    if "kl_per_dimension" in statistics:
        return float(np.sum(statistics["kl_per_dimension"]))
    if {"elbo", "reconstruction"} <= set(statistics):
        return max(-float(statistics["elbo"]) - float(statistics["reconstruction"]), 0.0)
    return float(statistics["kl"]) if "kl" in statistics else None


def _sigma(statistics: Statistics) -> float | None:
    """Return a typical sigma^2: its geometric mean over images and dimensions, or over dimensions of their means."""
    size = _latent_dim(statistics)
    if size and "variance" in statistics:
        # Solves D (s - 1 - log s) = variance term for s well below 1, where the threshold lies.
        return math.exp(-1.0 - float(statistics["variance"]) / size)
    variance = statistics.get("posterior_variance")
    return None if variance is None else float(np.exp(np.mean(np.log(np.maximum(variance, 1e-30)))))
