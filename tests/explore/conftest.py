"""A tiny run, its page served as the command line does, and a real browser without a network."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import ASSIGNMENTS

from benchmarks.explore import ARGUMENTS, chromium
from gamix_keras.cli.main import main
from gamix_keras.config import UserError

ROOT = Path(__file__).parents[2]
PATIENCE_MS = 60_000


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The directory of a tiny run."""
    path = tmp_path_factory.mktemp("explore") / "_faces_ & <co>"
    if main(["train", "--out", str(path), "--set", *ASSIGNMENTS]) != 0:
        raise AssertionError("the run that the tests need could not be trained")
    return path


@pytest.fixture(scope="session")
def uploads(tmp_path_factory):
    """Where the page stores uploads."""
    return tmp_path_factory.mktemp("uploads")


@pytest.fixture(scope="session")
def console(tmp_path_factory):
    """The file of what the server prints to stderr."""
    return tmp_path_factory.mktemp("console") / "stderr.txt"


@pytest.fixture(scope="session")
def address(trained, uploads, console):
    """Where the page is served."""
    pytest.importorskip("gradio", reason="the extra explore is not installed")
    command = [sys.executable, "-m", "gamix_keras", "explore", str(trained), "--no-browser"]
    environment = {**os.environ, "GRADIO_TEMP_DIR": str(uploads), "PYTHONPATH": str(ROOT)}
    streams = {"stdout": subprocess.PIPE, "stderr": console.open("w"), "text": True}
    with streams["stderr"], subprocess.Popen(command, env=environment, **streams) as server:
        found = (re.search(r"http://\S+", line) for line in server.stdout)
        yield next(filter(None, found)).group()
        server.terminate()


@pytest.fixture(scope="session")
def playwright():
    """The browser's driver, where there is a browser."""
    try:
        chromium()
    except UserError as missing:
        pytest.skip(str(missing))
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    api.expect.set_options(timeout=PATIENCE_MS)
    with api.sync_playwright() as driver:
        yield driver


@pytest.fixture
def open_page(playwright, address, tmp_path):
    """Open the page: ``page = open_page(width=390)``. At the end, no console error and no request elsewhere."""
    complaints, contexts = [], []

    def open_it(width=1200, **options):
        context = playwright.chromium.launch_persistent_context(
            tmp_path / f"profile{len(contexts)}",
            executable_path=chromium(),
            args=ARGUMENTS,
            viewport={"width": width, "height": 844},
            **options,
        )
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        page = context.pages[0]
        page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda asked: complaints.append(asked.url) if _is_elsewhere(asked.url, address) else None)
        page.goto(address)
        page.locator("figure.shown img").first.wait_for()
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert complaints == []


def _is_elsewhere(url, address):
    return not url.startswith((address, "data:", "blob:"))
