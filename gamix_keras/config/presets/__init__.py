"""Recipes: one JSON file each, with what to expect and how it differs from the defaults."""

import difflib
import json
from dataclasses import dataclass
from importlib import resources

from gamix_keras.config import Config, UserError

DEFAULT_PRESET = "faces-quick"
ABOUT_KEYS = ("what", "data", "hardware", "time", "score", "command")


@dataclass(frozen=True)
class Preset:
    """A recipe.

    Attributes:
        name: The name of its file.
        about: What it is for, its data, hardware, time and score, and the command that runs it.
        config: The defaults with the recipe's differences.
    """

    name: str
    about: dict[str, str]
    config: Config


def preset_names() -> tuple[str, ...]:
    """Return the names of the recipes, sorted."""
    files = resources.files(__name__).iterdir()
    return tuple(sorted(file.name.removesuffix(".json") for file in files if file.name.endswith(".json")))


def load_preset(name: str = DEFAULT_PRESET) -> Preset:
    """Read a recipe.

    Raises:
        UserError: If there is none of that name; the nearest one is suggested.

    Examples:
        >>> load_preset("paper-256").config.model.latent_dim
        512
    """
    names = preset_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise UserError(f"--preset: expected one of {', '.join(names)}, got {name!r}{hint}")
    recipe = json.loads(resources.files(__name__).joinpath(f"{name}.json").read_text(encoding="utf-8"))
    return Preset(name, recipe["about"], Config.from_dict(recipe["config"]))
