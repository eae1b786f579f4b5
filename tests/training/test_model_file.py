"""Files that are whole as an archive and wrong inside: one line with their name, before anything is allocated."""

import io
import json
import zipfile

import h5py
import keras
import numpy as np
import pytest

from gamix_keras import files
from gamix_keras.training import model_file
from gamix_keras.training.model_file import read_model

CONFIG, WEIGHTS = model_file.CONFIG, model_file.WEIGHTS


@pytest.fixture
def file(tmp_path):
    """A file of a small model."""
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, name="head")]).save(tmp_path / "model.keras")
    return tmp_path / "model.keras"


def rewrite(file, compression=zipfile.ZIP_STORED, **changes):
    """Write an archive anew, with members replaced, or left out if the new content is None."""
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members.update(changes)
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in members.items():
            if data is not None:
                archive.writestr(name, data)


def refused(file, compile=False):
    """The line in which a file is refused."""
    with pytest.raises(ValueError) as caught:
        read_model(file, compile)
    text = str(caught.value)
    assert text.startswith(f"expected a file of a model, got {file}, which ") and "\n" not in text and len(text) < 600
    return text.partition("cannot be read: ")[2] or text


def weights(write):
    """An HDF5 file in memory."""
    data = io.BytesIO()
    with h5py.File(data, "w") as opened:
        write(opened)
    return data.getvalue()


def test_what_keras_wrote_is_read(file):
    before = keras.saving.load_model(file)
    rewrite(file, zipfile.ZIP_DEFLATED)
    for left, right in zip(before.get_weights(), read_model(file, compile=True).get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("member", [CONFIG, WEIGHTS])
def test_a_missing_member_is_named(file, member):
    rewrite(file, **{member: None})
    assert refused(file) == f"it has no {member}"


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (b"{", "its config.json is not JSON"),
        (b'{"class_name": "\xff"}', "its config.json is not JSON"),
        (b"[" * 100000, "its config.json is not JSON"),
        (b"[]", "its config.json holds no object"),
        (b"{}", "its config.json names no class"),
        (b'{"class_name": "Unheard", "module": "nowhere", "config": {}}', "Unheard"),
    ],
)
def test_a_configuration_that_is_none(file, config, told):
    rewrite(file, **{CONFIG: config})
    assert told in refused(file)


def test_a_file_that_is_there_is_never_called_missing(file, tmp_path):
    file.write_bytes(file.read_bytes()[:-100])
    assert refused(file).startswith("it is no whole archive")
    assert refused(tmp_path / "other.keras").endswith("other.keras, which does not exist")


def test_weights_that_do_not_fit_or_are_no_hdf5(file):
    rewrite(file, **{WEIGHTS: b"no HDF5"})
    refused(file)
    rewrite(file, **{WEIGHTS: weights(lambda opened: opened.create_group("layers"))})
    refused(file)


def test_a_layer_that_is_larger_than_the_file_is_never_made(file, monkeypatch):
    """The names and shapes are told from the configuration: Keras, which would make it, is never asked."""
    made, make = [], keras.Layer.add_weight

    def noting(layer, *arguments, **keywords):
        made.append(keywords["shape"])
        return make(layer, *arguments, **keywords)

    monkeypatch.setattr(keras.Layer, "add_weight", noting)
    monkeypatch.setattr(model_file, "SPARE_BYTES", 0)
    with zipfile.ZipFile(file) as archive:
        config = json.loads(archive.read(CONFIG))
    config["config"]["layers"][1]["config"]["units"] = 3000
    rewrite(file, **{CONFIG: json.dumps(config).encode()})
    assert "the layer head asks for 2 x 3000 weights, more than the file holds" in refused(file)
    assert made == []
    assert keras.Layer.add_weight is noting


def test_arrays_that_are_declared_and_not_stored(file):
    rewrite(file, **{WEIGHTS: weights(lambda opened: opened.create_dataset("a", (9999,), "f4", chunks=(10,)))})
    assert "declares 39,996 bytes of arrays and has" in refused(file)


@pytest.mark.parametrize("link", [h5py.SoftLink("/a"), h5py.ExternalLink("other.h5", "/a")])
def test_links_are_refused(file, link):
    rewrite(file, **{WEIGHTS: weights(lambda opened: opened.__setitem__("b", link))})
    assert "b is a link" in refused(file)


def test_a_member_that_unpacks_to_far_more_is_not_unpacked(file, monkeypatch):
    monkeypatch.setattr(files, "EXPANSION_FLOOR", 1000)
    rewrite(file, zipfile.ZIP_DEFLATED, zeros=bytes(1_000_000))
    assert "it would unpack to 1,0" in refused(file)
    with monkeypatch.context() as patch:
        patch.setattr(zipfile.ZipFile, "read", None)
        refused(file)


def test_a_configuration_is_not_read_if_it_is_too_large(file, monkeypatch):
    monkeypatch.setattr(files, "MAX_JSON_BYTES", 100)
    monkeypatch.setattr(zipfile.ZipFile, "read", None)
    assert refused(file).startswith("its config.json has more than")
