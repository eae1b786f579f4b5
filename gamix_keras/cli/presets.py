"""List the recipes, or show one with every setting.

gamix-keras presets                  names and what they are for
gamix-keras presets celeba64         data, hardware, time, score, command, and every key with its value
"""

import argparse
import textwrap

from gamix_keras.config import Config, expected, help_of, settings, shown
from gamix_keras.config.presets import ABOUT_KEYS, DEFAULT_PRESET, Preset, load_preset, preset_names


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("name", metavar="NAME", nargs="?", help="the recipe to show")


def run(args: argparse.Namespace) -> None:
    """Print the list or the recipe."""
    if args.name is None:
        for name in preset_names():
            default = " (the default)" if name == DEFAULT_PRESET else ""
            print(f"{name:<16} {load_preset(name).about['what']}{default}")
    else:
        _show(load_preset(args.name))


def _show(preset: Preset) -> None:
    print(preset.name)
    for key in ABOUT_KEYS:
        indents = {"initial_indent": f"  {key:<9} ", "subsequent_indent": " " * 12}
        print(textwrap.fill(preset.about[key], 100, **indents))
    print("\nSettings (* if the recipe differs from the default); change them with --set KEY=VALUE:")
    default = Config()
    for key, entry in settings().items():
        value = preset.config.get(key)
        mark = "*" if value != default.get(key) else " "
        print(f"{mark} {f'{key} = {shown(value)}':<40} {help_of(key)}: {expected(entry)}")
