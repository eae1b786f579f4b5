"""From a name to a run: directories, models of the package, files; what is written to each, and what is said."""

import warnings

import pytest

import gamix_keras
from gamix_keras.config import Config, UserError
from gamix_keras.runs import Run, lookup

pytestmark = pytest.mark.backend_free
KNOWN = r"expected a run directory \(one with config.json\), a .keras file, or a model of the package \('faces'\)"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(path):
    """A run directory without weights."""
    Run.create(path, Config()).begin_session(0)
    return path


def test_the_model_of_the_package_is_found_by_its_name_and_nothing_is_written_to_it(here):
    run = lookup.open_run("faces")
    assert run.path == lookup.shipped()["faces"] and run.packaged
    assert lookup.open_run(run.path).packaged
    assert run.output("sample.png").resolve() == here / "faces-sample.png"


def test_what_a_command_writes_for_a_run_is_in_the_run(here):
    run = lookup.open_run(make(here / "mine"))
    assert not run.packaged and run.output("sample.png") == here / "mine" / "sample.png"


def test_a_run_directory_of_that_name_goes_first_and_that_is_said(here):
    make(here / "faces")
    with pytest.warns(UserWarning, match=r"^RUN: expected one model, got two: .*took the directory .*/faces$"):
        run = lookup.open_run("faces")
    assert run.path.resolve() == here / "faces" and not run.packaged
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert lookup.open_run("./faces").path.resolve() == here / "faces"


def test_a_folder_that_is_no_run_hides_no_model(here):
    (here / "faces").mkdir()
    assert lookup.open_run("faces").packaged


@pytest.mark.parametrize(
    ("name", "hint"),
    [("fases", r" \(did you mean 'faces'\?\)"), ("mine", r" \(did you mean 'runs/mine'\?\)"), ("other", "")],
)
def test_what_is_not_there_is_told_with_the_closest_names(here, name, hint):
    make(here / "runs" / "mine")
    for argument, ask in (("RUN", lookup.find), ("load", gamix_keras.load)):
        with pytest.raises(UserError, match=f"^{argument}: {KNOWN}, got '{name}'{hint}$"):
            ask(name)


def test_a_single_file_is_found_but_is_no_run(here):
    (here / "one.keras").touch()
    assert lookup.find("one.keras").name == "one.keras"
    with pytest.raises(UserError, match=r"RUN: expected a run directory, got the single file one.keras, which has no"):
        lookup.open_run("one.keras")
