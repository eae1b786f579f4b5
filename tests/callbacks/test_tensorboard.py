"""What TensorBoard finds in the folder of a training, read with TensorBoard's own reader."""

import sys

import numpy as np
import pytest
from harness import compiled, gamix, images, state, vae
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny import TINY

from gamix_keras.callbacks import SampleGrid, TensorBoard
from gamix_keras.config import Config, UserError
from gamix_keras.runs import Run
from gamix_keras.runs.session import train

X = images(8)


def fit(model, *callbacks, epochs=2):
    callbacks = list(callbacks)
    return model.fit(
        X, batch_size=4, epochs=epochs, validation_data=(X,), callbacks=callbacks, verbose=0, shuffle=False
    )


def events(folder):
    reader = EventAccumulator(str(folder), {"tensors": 0, "images": 0, "scalars": 0}).Reload()
    return {tag: reader.Tensors(tag) for tag in reader.Tags()["tensors"]}


def value(event):
    return float(np.asarray(event.tensor_proto.float_val or np.frombuffer(event.tensor_proto.tensor_content, "f4"))[0])


def test_scalars_are_those_of_the_history(tmp_path):
    history = fit(compiled(gamix()), TensorBoard(tmp_path)).history
    found = {"train": events(tmp_path / "train"), "validation": events(tmp_path / "validation")}
    for name, values in history.items():
        written = found["validation" if name.startswith("val_") else "train"][f"epoch_{name.removeprefix('val_')}"]
        assert [event.step for event in written] == [0, 1]
        np.testing.assert_allclose([value(event) for event in written], values, rtol=1e-6)
    rates = {f"epoch_learning_rate_{name}" for name in ("autoencoder", "critic")}
    names = {name for name in history if not name.startswith("val_")}
    assert set(found["train"]) == rates | {f"epoch_{name}" for name in names}
    assert not [tag for tag in found["validation"] if "iterations" in tag]


def test_each_phase_has_its_learning_rate(tmp_path):
    model = gamix()
    model.compile("adam", critic_optimizer="sgd")
    fit(model, TensorBoard(tmp_path), epochs=1)
    written = events(tmp_path / "train")
    rates = [value(written[f"epoch_learning_rate_{name}"][0]) for name in ("autoencoder", "critic")]
    assert rates == pytest.approx([0.001, 0.01])


@pytest.mark.parametrize(("every", "steps"), [(1, [0, 1]), (0, [1])])
def test_sample_grids_are_images(tmp_path, every, steps):
    pictures = tmp_path / "samples"
    fit(compiled(vae()), SampleGrid(X[:2], pictures, every), TensorBoard(tmp_path / "logs", pictures))
    written = events(tmp_path / "logs" / "pictures")["samples"]
    assert [event.step for event in written] == steps
    width, height, png = written[-1].tensor_proto.string_val
    assert png.startswith(b"\x89PNG") and int(width) > int(height) / 4


def test_training_is_the_same_with_and_without(tmp_path):
    plain, watched = compiled(gamix()), compiled(gamix())
    fit(plain), fit(watched, TensorBoard(tmp_path))
    for left, right in zip(state(plain).values(), state(watched).values(), strict=True):
        np.testing.assert_array_equal(left, right)


def test_a_run_writes_its_folder_and_goes_on_in_it(tmp_path):
    settings = {**TINY, "training.tensorboard": True}
    second = {"second_stage.epochs": 1, "second_stage.width": 4}
    run = Run.create(tmp_path / "run", Config().updated({**settings, **second}))
    train(run, verbose=0)
    train(run.changed({"training.epochs": 2}), verbose=0)
    assert [event.step for event in events(run.tensorboard / "train")["epoch_loss"]] == [0, 1]
    assert [event.step for event in events(run.tensorboard / "pictures")["samples"]] == [0, 1]
    assert "epoch_loss" in events(run.tensorboard / "second_stage" / "validation")


@pytest.mark.backend_free
def test_a_missing_package_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(UserError, match=r"^training.tensorboard: needs pip install tensorboard \("):
        TensorBoard(tmp_path)
