"""A configuration that was edited, or a checkpoint of something else: told at the start, nothing is written."""

import json
import shutil
import zipfile

import keras
import pytest
from tiny import TINY

from gamix_keras import assembly
from gamix_keras.cli.main import main
from gamix_keras.config import Config, UserError
from gamix_keras.config.catalogue import NETWORKS
from gamix_keras.runs import Run, agreement, session

pytestmark = pytest.mark.backend_free
SECOND = {"second_stage.epochs": 1, "second_stage.width": 8, "second_stage.depth": 1}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run with a checkpoint of each stage, not trained at all."""
    run = Run.create(tmp_path_factory.mktemp("runs") / "run", Config().updated({**TINY, **SECOND}))
    run.begin_session(0)
    for stage, model in ((run, assembly.build_model(run.config)), (run.second_stage, None)):
        stage.save_checkpoint(model or assembly.build_second_stage(run.config), 1)
        stage.record({"epoch": 1, "loss": 1.0})
    return run


@pytest.fixture
def run(trained, tmp_path):
    shutil.copytree(trained.path, tmp_path / "run")
    return Run.open(tmp_path / "run")


def edit(run, key, value):
    """Write another value into config.json, as an editor would."""
    file = run.path / "config.json"
    written = json.loads(file.read_text())
    section, name = key.split(".")
    written["config"][section][name] = value
    file.write_text(json.dumps(written))


def contents(run):
    return {file: file.read_bytes() for file in run.path.rglob("*") if file.is_file() and file.name != ".lock"}


def test_what_was_written_agrees(run):
    run.check_loaded()
    assert session.prepare(run) is None


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        (
            "model.latent_dim",
            5,
            "model.latent_dim: expected 3, which .*epoch-0001.keras was trained with, got 5 in",
        ),
        ("data.image_size", 32, "data.image_size and data.channels: expected 16 x 16 x 3, .* got 32 x 32 x 3"),
        ("data.channels", 1, "data.image_size and data.channels: expected 16 x 16 x 3, .* got 16 x 16 x 1"),
        ("model.network", "mlp", "model.network: expected ConvEncoder, .* got MLPEncoder"),
        ("model.width", 8, "model.width: expected 4, .* got 8"),
        ("model.critic", False, "model.critic: expected True, .* got False"),
        ("loss.likelihood", "gaussian", "loss.likelihood: expected LaplaceNLL, .* got GaussianNLL"),
        ("training.precision", "mixed_bfloat16", "training.precision: expected float32, .* got mixed_bfloat16"),
        ("second_stage.width", 16, "second_stage.width: expected 8, .*second_stage.*epoch-0001.keras.* got 16"),
    ],
)
def test_a_setting_that_was_edited_is_named_and_nothing_is_written(run, key, value, told):
    edit(run, key, value)
    before, edited = contents(run), Run.open(run.path)
    for use in (edited.load_model, lambda: session.train(edited, verbose=0)):
        with pytest.raises(UserError, match=f"^{told}"):
            use()
    assert contents(run) == before


def test_it_is_told_before_a_finished_second_stage_is_dropped(run):
    edit(run, "model.latent_dim", 5)
    edit(run, "training.epochs", 9)
    with pytest.raises(UserError, match=r"^model\.latent_dim: expected 3"):
        session.train(Run.open(run.path), verbose=0)
    assert run.second_stage.latest_checkpoint().exists


@pytest.mark.parametrize("command", ["sample", "evaluate", "report", "interpolate", "traverse", "export", "train"])
def test_every_command_tells_it_in_one_line(run, command, capsys):
    edit(run, "model.latent_dim", 5)
    pictures = {"interpolate": ["held-out:0", "held-out:1"], "traverse": ["held-out:0"]}
    words = ["--resume", "--out", str(run.path)] if command == "train" else [str(run.path), *pictures.get(command, ())]
    words += ["--backend", keras.config.backend()] if command == "train" else []
    assert main([command, *words]) == 2
    told = capsys.readouterr()
    assert told.err.startswith("gamix-keras: model.latent_dim: expected 3, which ") and told.err.count("\n") == 1
    assert told.out == ""


@pytest.mark.parametrize("content", [b"{", b"[]", None])
@pytest.mark.parametrize("command", ["sample", "evaluate", "report", "export", "train"])
def test_a_checkpoint_that_is_whole_and_wrong_inside_is_named(run, command, content, capsys):
    file = run.latest_checkpoint().file
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("model.weights.h5", b"")
        if content is not None:
            archive.writestr("config.json", content)
    file.with_name(f"{file.name}.sha256").unlink()
    words = ["--resume", "--out", str(run.path)] if command == "train" else [str(run.path)]
    words += ["--backend", keras.config.backend()] if command == "train" else []
    assert main([command, *words]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"gamix-keras: expected a file of a model, got {file}, ") and told.count("\n") == 1


def test_a_checkpoint_of_another_class_is_named(run):
    for stage, what in ((run, "a VAE"), (run.second_stage, "a second stage")):
        file = stage.latest_checkpoint().file
        keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(file)
        file.with_name(f"{file.name}.sha256").unlink()
        with pytest.raises(UserError, match=f"expected a file of {what}, got {file}, which holds a Sequential"):
            stage.load_checkpoint()


def test_without_its_checkpoints_a_run_is_not_trained_anew(run):
    for stage in (run.second_stage, run):
        for epoch in range(2, 14):
            stage.record({"epoch": epoch, "loss": 1.0})
        for file in stage.checkpoints.iterdir():
            file.unlink()
        before = contents(run)
        with pytest.raises(
            UserError, match=f"in {stage.checkpoints}, got none, though history.jsonl tells of 13 epochs;"
        ):
            session.train(run, verbose=0)
        assert contents(run) == before


@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_agrees_with_its_own_configuration(network, tmp_path):
    """Also: the arguments in the file are those that the catalogue names, or the comparison would see nothing."""
    sizes = {"data.image_size": 16, "model.latent_dim": 3, "training.ema_decay": None}
    config = Config.from_dict({"model": {"network": network, "width": 8, "stages": 2, "heads": 2, "depth": 1}})
    config = Config.from_dict({**config.to_dict(), "data.image_size": 16, **{k: v for k, v in sizes.items() if v}})
    written = keras.saving.serialize_keras_object(assembly.build_model(config))
    pairs = list(agreement._first(config, json.loads(json.dumps(written))))
    assert len(pairs) > 10 and all(ours == theirs for _, ours, theirs in pairs)
