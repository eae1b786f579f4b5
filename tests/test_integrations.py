"""What other tools are handed: logs, files for the Hugging Face Hub, networks to draw."""

import shutil
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from harness import compiled, gamix, images, numpy
from keras.src.saving import saving_lib

from gamix_keras.models import GAMIXVAE
from gamix_keras.networks import ConvDecoder, ConvEncoder, PatchGANCritic

X = images(8)
NETWORKS = [ConvEncoder((16, 16, 3), 4, 4), ConvDecoder((16, 16, 3), 4, 4), PatchGANCritic((16, 16, 3), (4, 4), (2, 1))]


class FakeHub:
    """The parts of `huggingface_hub` that Keras calls, on a folder instead of a server."""

    def __init__(self, folder):
        self.folder = folder
        self.asked = []

    def HfApi(self, **_):
        return self

    def create_repo(self, name, **_):
        self.asked.append(name)
        return SimpleNamespace(repo_id=name)

    def upload_folder(self, repo_id, folder_path, **_):
        shutil.copytree(folder_path, self.folder / repo_id)

    def snapshot_download(self, repo_id, **_):
        self.asked.append(repo_id)
        return str(self.folder / repo_id)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    fake = FakeHub(tmp_path)
    monkeypatch.setattr(saving_lib, "huggingface_hub", fake)
    monkeypatch.setattr(saving_lib, "check_pydot", lambda: False)
    return fake


def test_a_model_goes_to_the_hugging_face_hub_and_comes_back(hub, capsys):
    model = compiled(gamix())
    model.fit(X, batch_size=4, verbose=0)
    model.save("hf://someone/faces-vae")
    loaded = keras.saving.load_model("hf://someone/faces-vae")
    assert (type(loaded), hub.asked) == (GAMIXVAE, ["someone/faces-vae"] * 2)
    np.testing.assert_array_equal(numpy(loaded.reconstruct(X)), numpy(model.reconstruct(X)))
    assert int(loaded.optimizer["critic"].iterations) == 2
    assert (hub.folder / "someone" / "faces-vae" / "README.md").is_file()
    capsys.readouterr()


def test_logs_are_plain_floats():
    seen = {}
    keep = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.setdefault("batch", dict(logs)),
        on_epoch_end=lambda epoch, logs: seen.setdefault("epoch", dict(logs)),
    )
    compiled(gamix()).fit(X, batch_size=4, validation_data=(X,), callbacks=[keep], verbose=0)
    assert {"loss", "val_loss", "critic"} <= set(seen["epoch"]) and "loss" in seen["batch"]
    assert {type(value) for logs in seen.values() for value in logs.values()} == {float}


def test_the_learning_rate_is_where_callbacks_look_for_it():
    model = compiled(gamix(), rate=0.25)
    assert float(numpy(model.optimizer.learning_rate)) == 0.25
    assert isinstance(model.optimizer.get_config(), dict)


@pytest.mark.backend_free
@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)
def test_networks_can_be_drawn(network):
    pytest.importorskip("pydot", reason="drawing networks needs pydot")
    graph = keras.utils.model_to_dot(network, show_shapes=True, show_layer_names=True).to_string()
    assert all(layer.name in graph for layer in network.layers)


@pytest.mark.backend_free
def test_a_model_can_be_drawn_to_a_file(tmp_path):
    pytest.importorskip("pydot", reason="drawing networks needs pydot")
    if shutil.which("dot") is None:
        pytest.skip("drawing to a file needs Graphviz")
    keras.utils.plot_model(gamix(), tmp_path / "model.png", show_shapes=True)
    assert (tmp_path / "model.png").read_bytes().startswith(b"\x89PNG")
