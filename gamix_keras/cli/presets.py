"""List the recipes, or show one with every setting.

gamix-keras presets                  names and what they are for
gamix-keras presets celeba64         data, hardware, time, score, command, and every key with its value
"""

import argparse
import textwrap

from gamix_keras.config import Config, expected, help_of, settings, shown
from gamix_keras.config.presets import ABOUT_KEYS, DEFAULT_PRESET, Preset, load_preset, preset_names

WIDTH, SHORTEST = 110, 40


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("name", metavar="NAME", nargs="?", help="the recipe to show")


def run(args: argparse.Namespace) -> None:
    """Print the list or the recipe."""
    if args.name is None:
        width = max(map(len, preset_names()))
        for name in preset_names():
            default = "(the default) " if name == DEFAULT_PRESET else ""
            print(_filled(f"{name:<{width}}  ", f"{default}{load_preset(name).about['what']}"))
    else:
        _show(load_preset(args.name))


def _show(preset: Preset) -> None:
    print(preset.name)
    for key in ABOUT_KEYS:
        print(_filled(f"  {key:<9} ", preset.about[key]))
    print("\nSettings (* if the recipe differs from the default); change them with --set KEY=VALUE:")
    default = Config()
    for key, entry in settings().items():
        value = preset.config.get(key)
        mark = "*" if value != default.get(key) else " "
        print(_filled(f"{mark} {f'{key} = {shown(value)}':<42} ", f"{help_of(key)}: {expected(entry)}"))


def _filled(label: str, text: str) -> str:
    """Break a text into lines beside its label."""
    lines = textwrap.wrap(text, max(WIDTH - len(label), SHORTEST), break_long_words=False, break_on_hyphens=False)
    return label + f"\n{' ' * len(label)}".join(lines)
