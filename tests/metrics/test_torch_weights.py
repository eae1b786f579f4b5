import io
import os
import pickle
from collections import OrderedDict

import keras
import numpy as np
import pytest

from gamix_keras.metrics.torch_weights import read_state_dict

needs_torch = pytest.mark.skipif(keras.backend.backend() != "torch", reason="PyTorch writes the files that are read")


@needs_torch
@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_equal_those_pytorch_saved(tmp_path, zipped):
    import torch

    base = torch.arange(24.0).reshape(4, 6)
    state = OrderedDict(
        weight=base,
        transposed=base.T,  # shares the storage, with other strides
        part=base[1:3, ::2],
        scalar=torch.tensor(7),
        half=torch.ones(2, dtype=torch.float16),
        empty=torch.zeros(0, 3),
        parameter=torch.nn.Parameter(torch.full((2,), 0.5)),
    )
    torch.save(state, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    read = read_state_dict(tmp_path / "w.pth")
    assert list(read) == list(state)
    for name, tensor in state.items():
        np.testing.assert_array_equal(read[name], tensor.detach().numpy())
        assert read[name].dtype == tensor.detach().numpy().dtype


class Attack:
    """Runs a command when a plain unpickler loads it."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def stream_of(*objects):
    """An old-style file: magic number, protocol, system, content, storage keys."""
    file = io.BytesIO()
    for value in (0x1950A86A20F9469CFC6C, 1001, {}, *objects):
        pickle.dump(value, file, protocol=2)
    return file.getvalue()


@pytest.mark.backend_free
def test_code_in_the_file_is_refused_and_does_not_run(tmp_path):
    path = tmp_path / "w.pth"
    path.write_bytes(stream_of(Attack(tmp_path / "broken-in"), []))
    with pytest.raises(ValueError, match="expected only names that rebuild tensors, got"):
        read_state_dict(path)
    assert not (tmp_path / "broken-in").exists()


@pytest.mark.backend_free
@pytest.mark.parametrize("content", [b"", b"not a pickle", stream_of(3, []), stream_of({}, ["missing"])])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "w.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError):
        read_state_dict(path)


@needs_torch
def test_a_cut_file_is_refused(tmp_path):
    import torch

    path = tmp_path / "w.pth"
    torch.save({"w": torch.ones(1000)}, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="cut short"):
        read_state_dict(path)


@pytest.mark.backend_free
@pytest.mark.parametrize(("offset", "shape", "strides"), [(0, (3,), (2,)), (1, (4,), (1,)), (0, (2,), (-1,))])
def test_tensors_cannot_reach_outside_their_storage(offset, shape, strides):
    from gamix_keras.metrics.torch_weights import _Storage, _Tensor

    storage = _Storage(np.dtype("<f4"), 4, np.zeros(4, "<f4"))
    with pytest.raises(ValueError, match="one outside|impossible strides"):
        _Tensor(storage, offset, shape, strides).array()
