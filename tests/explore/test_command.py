"""`gamix-keras explore`: what it refuses, in one line."""

import socket

import pytest

from gamix_keras.cli.main import main
from gamix_keras.explore import server

pytestmark = pytest.mark.backend_free


@pytest.fixture
def run(tmp_path):
    """As much of a run as the command reads before it loads anything."""
    (tmp_path / "config.json").write_text("{}")
    return str(tmp_path)


@pytest.fixture
def refused(capsys, run, monkeypatch):
    """Call the command, which must fail with exit code 2 and one line; return the line."""

    def call(*arguments):
        # Whether or not Gradio is installed here.
        monkeypatch.setattr(server, "find_spec", lambda name: True)
        assert main(["explore", run, "--no-browser", *arguments]) == 2
        return capsys.readouterr().err

    return call


def test_the_extra_is_named_where_it_is_missing(capsys, run, monkeypatch):
    monkeypatch.setattr(server, "find_spec", lambda name: None)
    assert main(["explore", run]) == 2
    assert capsys.readouterr().err == (
        'gamix-keras: explore: expected Gradio, which is not installed; pip install "gamix_keras[explore]"\n'
    )


def test_a_port_that_is_taken(refused):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"--port: expected a free port of this computer, got 127.0.0.1:{port}" in refused("--port", str(port))


@pytest.mark.parametrize("arguments", [("--port", "70000"), ("--host", "192.0.2.1", "--port", "7860")])
def test_an_address_that_is_none_of_this_computer(refused, arguments):
    line = refused(*arguments)
    assert "--port: expected a free port of this computer" in line
    assert line.count("\n") == 1


def test_no_run(capsys, tmp_path):
    assert main(["explore", str(tmp_path)]) == 2
    assert "expected a run directory" in capsys.readouterr().err
