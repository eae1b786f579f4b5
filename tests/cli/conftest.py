"""A run that commands can be tried on, and the command line as a function."""

import contextlib
import io

import pytest
from tiny import ASSIGNMENTS

from gamix_keras.cli.main import main


@pytest.fixture
def cli(capsys):
    """Call the command line: ``code, out, err = cli("train", ...)``."""

    def call(*arguments):
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture(scope="session")
def training(tmp_path_factory):
    """A tiny training run from the command line: its directory, and what it printed."""
    path, printed = tmp_path_factory.mktemp("cli") / "run", io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = main(["train", "--out", str(path), "--set", *ASSIGNMENTS])
    if code != 0:
        raise AssertionError("the run that the tests need could not be trained")
    return path, printed.getvalue()


@pytest.fixture(scope="session")
def trained(training):
    """The directory of that run."""
    return training[0]
