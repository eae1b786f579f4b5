"""The rows of each study: in which settings each differs from what recipe and user give."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from gamix_keras.config import UserError, Value
from gamix_keras.config.setting import sides

Changes = dict[str, Value]
VARIANCE_WEIGHTS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
LATENT_DIMS = (4, 8, 16, 32, 64, 128)

_GAMIX = {"model.name": "gamix", "loss.moments": "means", "loss.momentum": None}
_LEARNED = {"loss.mae_weight": None, "loss.scale": "learned"}
_RUNNING = {"loss.momentum": 0.99}
_NO_PERCEPTUAL = {"loss.perceptual_weight": 0.0}
_NO_CRITIC = {"model.critic": False}
_NO_SAMPLES = {"loss.adversarial_samples": 0.0}
# What a part of the objective has if the recipe lacks it.
_PERCEPTUAL_SHARE = 0.2
_PERCEPTUAL = {
    "loss.perceptual_layers": "stem,stage2,stage3,stage5",
    "loss.perceptual_start": 0.4,
    "loss.perceptual_ramp": 0.1,
}
_PATCHGAN = {
    "model.critic_network": "patchgan",
    "model.critic_width": 16,
    "loss.adversarial": "bce",
    "loss.adversarial_weight": 200.0,
    "loss.adversarial_samples": 0.0,
    "loss.adversarial_start": 0.6,
    "loss.adversarial_ramp": 0.2,
    "loss.adaptive_weight": False,
    "training.critic_beta_1": None,
    "training.critic_beta_2": 0.999,
}
_PROJECTED = {
    "model.critic_network": "projected",
    "model.critic_width": 64,
    "loss.adversarial": "hinge",
    "loss.adversarial_weight": 0.5,
    "loss.adversarial_start": 0.5,
    "loss.adversarial_ramp": 0.1,
    "loss.adaptive_weight": True,
    "loss.adaptive_every": 10,
    "loss.critic_start": 0.5,
    "training.critic_learning_rate": 2e-4,
    "training.critic_beta_1": 0.0,
    "training.critic_beta_2": 0.99,
}
_SAMPLES = 0.5


class Row(NamedTuple):
    """One row of a study.

    Attributes:
        name: The name of the row, in the table and in the names of its runs.
        changes: The settings in which the row differs, by dotted key.
        value: The value of the setting that the study varies, if it is a number.
    """

    name: str
    changes: Changes
    value: float | None = None


class Given(NamedTuple):
    """What the rows of a study start from.

    Attributes:
        sources: The data sources that the user names.
        settings: The settings of the recipe and of the user, by dotted key.
        named: The settings that the user names for all rows: a row takes no default in their place.
    """

    sources: Sequence[str]
    settings: Mapping[str, Value]
    named: Mapping[str, Value]

    def unless_named(self, defaults: Mapping[str, Value]) -> Changes:
        """Return the defaults of what the user does not name."""
        return {key: value for key, value in defaults.items() if key not in self.named}


def ablation(given: Given) -> list[Row]:
    """Return the terms of GAMIX-VAE one after the other, then those of its features; PatchGAN beside these."""
    without = {**_NO_CRITIC, **_NO_PERCEPTUAL}
    gamix, perceptual = {"model.name": "gamix"}, _perceptual(given)
    projected = {**gamix, **perceptual, **_critic(given, _PROJECTED)}
    return [
        Row("elbo", {"model.name": "vae", **without}),
        Row("global", {**gamix, **without, "loss.variance_weight": 0.0}),
        Row("global-variance", {**gamix, **without}),
        Row("global-variance-critic", {**gamix, **_NO_PERCEPTUAL, **_critic(given, _PATCHGAN)}),
        Row("perceptual", {**gamix, **perceptual, **_NO_CRITIC}),
        Row("projected", {**projected, **_NO_SAMPLES}),
        Row("projected-samples", {**projected, **_samples(given)}),
    ]


def _perceptual(given: Given) -> Changes:
    """Return what gives a row a perceptual term: nothing if there is one already."""
    if given.settings["loss.perceptual_weight"]:
        return {}
    return {"loss.perceptual_weight": _PERCEPTUAL_SHARE * _pull(given), **given.unless_named(_PERCEPTUAL)}


def _pull(given: Given) -> float:
    """Return P / b, the weight of a mean error of pixels in the likelihood; b is 1 if it is not fixed."""
    scale, weight = given.settings["loss.scale"], given.settings["loss.mae_weight"]
    if weight is not None:
        return weight
    return _pixels(given) / (1.0 if isinstance(scale, str) else scale)


def _pixels(given: Given) -> int:
    return math.prod((*sides(given.settings["data.image_size"]), given.settings["data.channels"]))


def _critic(given: Given, defaults: Mapping[str, Value]) -> Changes:
    """Return what gives a row the critic of the defaults: as recipe and user have it, if theirs is of this kind."""
    kind = "model.critic_network"
    has_it = given.settings["model.critic"] and given.settings[kind] == defaults[kind]
    return {"model.critic": True, kind: defaults[kind], **({} if has_it else given.unless_named(defaults))}


def _samples(given: Given) -> Changes:
    """Return what lets the critic judge decoded draws: nothing if it does already."""
    return {} if given.settings["loss.adversarial_samples"] else {"loss.adversarial_samples": _SAMPLES}


def baselines(given: Given) -> list[Row]:
    """Return GAMIX-VAE and the VAE with a learned scale, each alone, with a perceptual term, and with a critic too."""
    perceptual = _perceptual(given)
    critic = {**perceptual, **_critic(given, _PROJECTED), **_samples(given)}
    learned = {"loss.likelihood": "gaussian", **_LEARNED}
    added = {"": {**_NO_PERCEPTUAL, **_NO_CRITIC}, "-perceptual": {**perceptual, **_NO_CRITIC}, "-critic": critic}
    rows = []
    for end, part in added.items():
        # A VAE with a critic is another objective: `vae` has none.
        name = "vae-gan" if part["model.critic"] else "vae"
        scaled = {} if not end else _perceptual_beside_a_learned_scale(given, part)
        rows.append(Row(f"sigma-vae{end}", {**part, **learned, **scaled, "model.name": name}))
    return [*rows, *(Row(f"gamix{end}", {"model.name": "gamix", **part}) for end, part in added.items())]


def _perceptual_beside_a_learned_scale(given: Given, changes: Mapping[str, Value] = MappingProxyType({})) -> Changes:
    """Return the weight by which a perceptual term counts beside a learned scale for what it counts for now.

    Beside a fixed scale b it is w, beside a learned one w / s of the present scale s, see `ImageVAE.use_perceptual`:
    so that is w b.
    """
    weight = changes.get("loss.perceptual_weight", given.settings["loss.perceptual_weight"])
    return {"loss.perceptual_weight": weight * _pixels(given) / _pull(given)} if weight else {}


def samplers(given: Given) -> list[Row]:
    """Return models that are sampled differently well."""
    learned = {**_LEARNED, **_perceptual_beside_a_learned_scale(given)}
    return [
        Row("vae", {"model.name": "vae"}),
        Row("sigma-vae", {"model.name": "vae", "loss.likelihood": "gaussian", **learned}),
        Row("gamix", _GAMIX),
        Row("gamix-total", {**_GAMIX, "loss.moments": "total"}),
        # Running moments: a batch has too few images for a full covariance.
        Row("gamix-full", {**_GAMIX, "loss.moments": "full", **_RUNNING}),
        Row("gamix-running", {**_GAMIX, "loss.moments": "total", **_RUNNING}),
        Row("gamix-learned", {**_GAMIX, "loss.likelihood": "laplace", **learned}),
    ]


def over(key: str, values: Sequence[float]) -> Callable[[Given], list[Row]]:
    """Return the rows of a setting that takes each of the values."""
    label = key.rpartition(".")[2].replace("_", "-")
    return lambda _: [Row(f"{label}-{value:g}", {key: value}, float(value)) for value in values]


def datasets(given: Given) -> list[Row]:
    """Return a row for each source.

    Raises:
        UserError: If there are fewer than two.
    """
    sources = given.sources
    if len(sources) < 2:
        raise UserError(f"--data: expected at least two sources for cross-dataset, got {len(sources)}")
    names = [_short(source) for source in sources]
    numbered = [f"{name}-{i + 1}" if names.count(name) > 1 else name for i, name in enumerate(names)]
    return [Row(name, {"data.source": source}) for name, source in zip(numbered, sources, strict=True)]


def _short(source: str) -> str:
    """Return `fashion` for `idx:/data/fashion`; for TFDS the whole name, whose last part may be a size."""
    kind, _, rest = source.rpartition(":")
    name = rest if kind == "tfds" else Path(rest).name
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "data"
