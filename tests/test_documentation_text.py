"""Every command, option, setting and file that a page names exists, and the site builds."""

import itertools
import os
import re
import shlex
import subprocess
import sys
from argparse import Namespace

import pytest
from documentation import ROOT, blocks, commands, name, pages, spans

import gamix_keras
from gamix_keras.cli import main, train
from gamix_keras.config import check_read, check_value, parse_assignments, settings
from gamix_keras.config.presets import DEFAULT_PRESET, load_preset, preset_names

pytestmark = pytest.mark.backend_free
PARSER = main.build_parser()
SECTIONS = {key.partition(".")[0] for key in settings() if "." in key}
SETTING = re.compile(rf"\b(?:{'|'.join(sorted(SECTIONS))})\.\w+(?:=\S+)?$")


def _written():
    for page in pages():
        yield name(page), [command for kind, text in blocks(page) if kind == "sh" for command in commands(text)]
    for command, module in main.COMMANDS.items():
        yield f"{command} --help", commands(module.__doc__)
    yield "presets", [load_preset(preset).about["command"] for preset in preset_names()]


COMMANDS = [pytest.param(command, id=f"{where}: {command}") for where, found in _written() for command in found]


def _alternatives(command):
    """`a|b c` stands for `a c` and `b c`."""
    words = shlex.split(command, comments=True)[1:]
    return [list(chosen) for chosen in itertools.product(*(word.split("|") for word in words))]


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_can_be_given(command):
    for words in _alternatives(command):
        arguments = PARSER.parse_args(words)
        if arguments.command == "train":
            _check_training(arguments)
        elif arguments.command == "study":
            parse_assignments(arguments.set)
            load_preset(arguments.preset)


def _check_training(arguments: Namespace):
    values = train._overrides(arguments)
    if not arguments.resume:
        check_read(load_preset(arguments.preset or DEFAULT_PRESET).config.updated(values), values)


def test_commands_within_sentences_have_their_options():
    parsers = PARSER._subparsers._group_actions[0].choices
    for page in pages():
        for words in (span.split() for span in spans(page) if span.startswith("gamix-keras ")):
            assert words[1] in parsers, f"{name(page)}: {' '.join(words)}"
            options = {word for word in words if word.startswith("--")}
            assert options <= set(parsers[words[1]]._option_string_actions), f"{name(page)}: {' '.join(words)}"


@pytest.mark.parametrize("page", pages(), ids=name)
def test_settings_exist_and_take_the_values_that_are_named(page):
    for span in spans(page):
        for word in filter(SETTING.match, span.removeprefix("--set ").split()):
            key, equals, value = word.partition("=")
            if key not in settings() and hasattr(gamix_keras.VAE, key.partition(".")[2]):
                continue  # model.fit
            assert key in settings(), f"{name(page)}: {span}"
            if equals and value != "NAME":
                check_value(key, parse_assignments([word])[key], settings()[key])


@pytest.mark.parametrize("page", pages(), ids=name)
def test_files_of_the_repository_that_are_named_exist(page):
    named = {span for span in spans(page) if re.fullmatch(r"[\w/]+\.(py|cfg)|deploy/[\w.]+", span)}
    there = [ROOT, ROOT / "gamix_keras", ROOT / "deploy"]
    assert not [file for file in named if not any((folder / file).exists() for folder in there)]


def test_readme_stays_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 90


def test_the_public_names_are_listed():
    listed = (ROOT / "docs" / "api" / "index.md").read_text(encoding="utf-8")
    assert not [public for public in gamix_keras._PUBLIC if f"`{public}`" not in listed]


def test_the_site_builds_without_warnings_and_asks_nobody(tmp_path):
    pytest.importorskip("material", reason="the site needs the extra docs")
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (built.returncode, built.stdout + built.stderr) == (0, "")
    html = [page.read_text(encoding="utf-8") for page in tmp_path.rglob("*.html")]
    remote = re.compile(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=[\"']?(?:https?:)?//[^\"' >]+")
    assert not [found for page in html for found in remote.findall(page)]
    assert "<math" in (tmp_path / "concepts.html").read_text(encoding="utf-8")
