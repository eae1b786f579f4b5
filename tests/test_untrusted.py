"""Files from strangers: nothing in them is executed, and nothing is written outside of where it belongs."""

import ast
import io
import json
import os
import pickle
import shutil
import warnings
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from harness import compiled, vae

from gamix_keras.cli.main import main
from gamix_keras.config import Config, UserError
from gamix_keras.data import open_source
from gamix_keras.runs import Run, agreement

PACKAGE = Path(__file__).parent.parent / "gamix_keras"
# Read files that are pickles with unpicklers that know tensors and nothing else; their tests attack them.
READ_PICKLES = ("metrics/torch_weights.py", "metrics/joblib_weights.py")
FORBIDDEN = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle", "yaml"}
EXECUTES = {"eval", "exec", "compile", "__import__"}


class Payload:
    """What runs when this is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.fixture(autouse=True)
def _agrees(monkeypatch):
    """Who writes a file can write a config.json that agrees with it, too."""
    monkeypatch.setattr(agreement, "check", lambda *arguments, **keywords: None)


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    """A run with one honest checkpoint."""
    run = Run.create(tmp_path_factory.mktemp("runs") / "honest", Config())
    run.begin_session(0)
    run.save_checkpoint(compiled(vae()), 1)
    return run


def tampered(honest, path, change, extra=()):
    """A copy of the run, whose checkpoint has a changed config and further members."""
    shutil.copytree(honest.path, path)
    run = Run.open(path)
    file = run.latest_checkpoint().file
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    change(config)
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in [*members.items(), *extra]:
            archive.writestr(name, data)
    # Checksums find damage; they do not keep out who can write them anew.
    file.with_name(f"{file.name}.sha256").unlink()
    return run


def layers_of(config):
    return config["config"]["encoder"]["config"]["layers"]


def with_lambda(marker):
    """A Lambda layer that holds Python byte code."""
    layer = keras.layers.Lambda(eval(f"lambda x: __import__('os').mkdir({str(marker)!r}) or x"))
    bad = keras.saving.serialize_keras_object(layer)

    def change(config):
        first = layers_of(config)[1]
        first.update({key: bad[key] for key in ("module", "class_name", "config", "registered_name")})

    return change


def with_callable(marker):
    """An activation that names a function of the standard library."""

    def change(config):
        layers_of(config)[1]["config"]["activation"] = {
            "module": "os", "class_name": "function", "config": "mkdir", "registered_name": "mkdir"
        }  # fmt: skip

    return change


def with_class(marker):
    """A part that names a class outside of Keras, with arguments."""

    def change(config):
        config["config"]["likelihood"] = {
            "module": "subprocess", "class_name": "Popen", "config": {"args": ["mkdir", str(marker)]},
            "registered_name": None,
        }  # fmt: skip

    return change


@pytest.mark.parametrize("attack", [with_lambda, with_callable, with_class])
def test_a_checkpoint_with_code_is_refused_and_nothing_runs(honest, tmp_path, attack):
    marker = tmp_path / "executed"
    run = tampered(honest, tmp_path / "run", attack(marker))
    for compile in (False, True):
        with pytest.raises((ValueError, TypeError, AttributeError)):
            run.load_model(compile=compile)
    assert not marker.exists()


def test_the_command_line_tells_it_in_one_line(honest, tmp_path, capsys):
    run = tampered(honest, tmp_path / "run", with_lambda(tmp_path / "executed"))
    code = main(["sample", str(run.path), "--out", str(tmp_path / "x.png")])
    told = capsys.readouterr().err
    assert code != 0
    assert told.startswith("gamix-keras: ") and told.count("\n") == 1
    assert not (tmp_path / "executed").exists()


def test_paths_inside_an_archive_cannot_escape(honest, tmp_path):
    names = ["../escaped", "../../escaped", "assets/../../../escaped", f"{tmp_path}/escaped"]
    run = tampered(honest, tmp_path / "deep" / "run", lambda config: None, [(name, b"x") for name in names])
    with warnings.catch_warnings():  # Keras tells that it skips them
        warnings.simplefilter("ignore")
        run.load_model()
    assert not list(tmp_path.rglob("escaped"))


def test_a_pickle_in_an_npz_is_refused(tmp_path):
    marker = tmp_path / "executed"
    np.savez(tmp_path / "evil.npz", images=np.array([Payload(marker)], dtype=object))
    with pytest.raises(UserError, match="evil.npz") as refused:
        open_source(f"npz:{tmp_path / 'evil.npz'}", image_size=8)
    assert "\n" not in str(refused.value)
    assert not marker.exists()


def test_the_payload_would_have_worked(tmp_path):
    """Otherwise the tests above prove nothing."""
    np.load(io.BytesIO(_saved(Payload(tmp_path / "executed"))), allow_pickle=True)
    assert (tmp_path / "executed").exists()


def _saved(payload):
    file = io.BytesIO()
    np.save(file, np.array([payload], dtype=object), allow_pickle=True)
    return file.getvalue()


def test_a_run_directory_executes_nothing(honest, tmp_path, monkeypatch):
    """Python files, pickles and a Keras configuration lie about in it; what is read is JSON, PNG and .keras."""
    marker = tmp_path / "executed"
    shutil.copytree(honest.path, tmp_path / "run")
    script = f"import os; os.mkdir({str(marker)!r})"
    for name in ("conftest.py", "sitecustomize.py", "keras.py", "__init__.py", "config.py"):
        (tmp_path / "run" / name).write_text(script)
    for name in ("model.pkl", "samplers/mixture.keras", "evaluation.json"):
        (tmp_path / "run" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "run" / name).write_bytes(pickle.dumps(Payload(marker)))
    monkeypatch.chdir(tmp_path / "run")
    Run.open(tmp_path / "run").load_model()
    main(["sample", str(tmp_path / "run"), "--sampler", "mixture", "--out", str(tmp_path / "x.png")])
    assert not marker.exists()


@pytest.mark.backend_free
@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_pickle_and_nothing_that_executes_text(path):
    allowed = {"pickle"} if str(path.relative_to(PACKAGE)) in READ_PICKLES else set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {(getattr(node, "module", None) or alias.name).split(".")[0] for alias in node.names}
            assert not (names & FORBIDDEN) - allowed
        elif isinstance(node, ast.Call):
            assert not (isinstance(node.func, ast.Name) and node.func.id in EXECUTES)
            given = {keyword.arg: getattr(keyword.value, "value", None) for keyword in node.keywords}
            assert given.get("allow_pickle") is not True and given.get("safe_mode") is not False
            assert getattr(node.func, "attr", "") != "enable_unsafe_deserialization"
