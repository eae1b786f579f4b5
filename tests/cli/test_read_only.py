"""A run on a read-only disk: told before any work, written elsewhere, and no number is lost."""

import keras
import numpy as np
import pytest
from PIL import Image
from read_only import make_read_only
from tiny import TINY

import gamix_keras
from gamix_keras import assembly, files
from gamix_keras.cli.main import main
from gamix_keras.config import Config
from gamix_keras.evaluation import evaluator
from gamix_keras.runs import Run

pytestmark = pytest.mark.backend_free


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """An untrained run with a checkpoint, written to its last bit."""
    config = Config().updated({**TINY, "model.name": "vae", "data.count": 60, "data.validation_fraction": 0.4})
    run = Run.create(tmp_path_factory.mktemp("runs") / "run", config)
    run.begin_session(0)
    run.record({"epoch": 1, "loss": 1.0})
    run.save_checkpoint(assembly.build_model(config), 1)
    return run


@pytest.fixture
def run(written, monkeypatch):
    """The same on a disk that is read-only."""
    before = sorted(written.path.rglob("*"))
    make_read_only(monkeypatch, written.path)
    yield written
    assert sorted(written.path.rglob("*")) == before


@pytest.fixture
def small(monkeypatch, tmp_path):
    """An extractor that needs no download."""
    inputs = keras.Input((16, 16, 3))
    model = keras.Model(inputs, keras.layers.Flatten()(keras.layers.AveragePooling2D(8)(inputs)), name="grid")
    make = evaluator.metrics.feature_extractor
    monkeypatch.setattr(evaluator.metrics, "feature_extractor", lambda name, **keywords: make(model, **keywords))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize("command", ["evaluate", "report", "sample", "interpolate", "traverse"])
def test_it_is_told_before_any_work(run, command, capsys, monkeypatch):
    monkeypatch.setattr(Run, "load_model", None)
    pictures = {"interpolate": ["held-out:0", "held-out:1"], "traverse": ["held-out:0"]}
    assert main([command, str(run.path), *pictures.get(command, ())]) == 2
    told = capsys.readouterr().err
    assert told.startswith("gamix-keras: --out: expected a ") and told.count("\n") == 1
    assert told.endswith(": Read-only file system; name another\n") and str(run.path) in told


def test_everything_is_written_elsewhere(run, small, tmp_path, capsys):
    out = ["--out", str(tmp_path / "out")]
    assert main(["evaluate", str(run.path), "--count", "20", "--samplers", "prior,gaussian", *out]) == 0
    assert "reconstruction  MAE" in capsys.readouterr().out
    assert main(["report", str(run.path), *out]) == 0
    names = {str(file.relative_to(tmp_path / "out")) for file in (tmp_path / "out").rglob("*") if file.is_file()}
    assert {"evaluation.json", "report.html", "samplers/gaussian.keras", "evaluation/gaussian.png"} <= names
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Not evaluated yet" not in page and "of the training images, the widest first" in page


def test_no_number_is_lost_when_writing_fails(written, small, monkeypatch, capsys):
    """The disk becomes read-only while the model is measured."""
    measure = evaluator.evaluate_model

    def remounted(*arguments):
        make_read_only(monkeypatch, written.path)
        return measure(*arguments)

    monkeypatch.setattr(evaluator, "evaluate_model", remounted)
    assert main(["evaluate", str(written.path), "--count", "20", "--samplers", "prior"]) == 1
    told = capsys.readouterr()
    assert "reconstruction  MAE" in told.out and "diagnosis" in told.out
    assert told.err.splitlines()[-1].startswith("gamix-keras: OSError: [Errno 30] Read-only file system")


def test_a_sampler_that_cannot_be_kept_draws_all_the_same(run, tmp_path, capsys):
    words = ["sample", str(run.path), "--sampler", "mixture", "--components", "2", "--count", "4"]
    with pytest.warns(UserWarning, match=r"mixture.keras cannot be written \(Read-only file system\)"):
        assert main([*words, "--out", str(tmp_path / "a.png")]) == 0
    capsys.readouterr()
    for name in ("b", "c"):
        assert main([*words, "--out", str(tmp_path / f"{name}.png"), "--cache", str(tmp_path / "kept")]) == 0
        told = capsys.readouterr()
        assert ("fitting" in told.out) == (name == "b") and told.err == ""
    drawn = [np.asarray(Image.open(tmp_path / f"{name}.png")) for name in "abc"]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    np.testing.assert_array_equal(drawn[0], drawn[2])


def test_load_fits_a_sampler_and_keeps_it_in_a_cache(run, tmp_path, capsys):
    with pytest.warns(UserWarning, match="gaussian.keras cannot be written"):
        first = gamix_keras.load(run.path, sampler="gaussian")
    kept = gamix_keras.load(run.path, sampler="gaussian", cache=tmp_path)
    assert (tmp_path / "samplers" / "gaussian.keras").is_file()
    np.testing.assert_array_equal(first.sample(2, seed=1), kept.sample(2, seed=1))
    assert type(gamix_keras.load(run.path, cache=tmp_path).sampler) is type(kept.sampler)


def test_a_probe_leaves_nothing_behind(tmp_path):
    assert files.why_not_writable(tmp_path / "a" / "b" / "c.png") is None
    assert files.why_not_writable(tmp_path) is None and list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    assert files.why_not_writable(tmp_path / "file" / "c.png") == "Not a directory"
