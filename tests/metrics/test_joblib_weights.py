import pickle
import sys

import joblib
import lz4.frame
import numpy as np
import pytest

from gamix_keras.metrics import onet
from gamix_keras.metrics.joblib_weights import read_arrays

pytestmark = pytest.mark.backend_free


def written(folder, content):
    path = folder / "weights.lz4"
    joblib.dump(content, path, compress=("lz4", 3))
    return path


def test_arrays_equal_those_that_joblib_reads(tmp_path):
    generator = np.random.default_rng(0)
    arrays = [generator.normal(size=(3, 5)), np.arange(7), np.float32(generator.normal(size=(2, 1, 4))), np.zeros(0)]
    arrays.append(np.asfortranarray(arrays[0]))
    path = written(tmp_path, arrays)
    for found, expected in zip(read_arrays(path), joblib.load(path), strict=True):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


def test_the_package_holds_the_known_weights():
    found = read_arrays(onet.weights_path())
    assert sum(array.size for array in found) == 389_040
    for ours, theirs in zip(found, joblib.load(onet.weights_path()), strict=True):
        np.testing.assert_array_equal(ours, theirs)


class Acts:
    """Calls a function when it is unpickled."""

    def __reduce__(self):
        return sys.setrecursionlimit, (12_345,)


def test_a_file_cannot_act(tmp_path):
    before = sys.getrecursionlimit()
    with pytest.raises(ValueError, match="expected only names that describe arrays, got sys.setrecursionlimit"):
        read_arrays(written(tmp_path, [Acts()]))
    assert sys.getrecursionlimit() == before


def test_damaged_and_other_files_are_refused_in_one_sentence(tmp_path):
    path = written(tmp_path, [np.arange(1000.0)])
    whole = path.read_bytes()
    for raw in (whole[:200], b"", b"nothing of the kind", lz4.frame.compress(pickle.dumps({"a": 1}))):
        path.write_bytes(raw)
        with pytest.raises(ValueError, match="weights.lz4: expected") as caught:
            read_arrays(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="expected a list of arrays, got dict"):
        read_arrays(written(tmp_path, {"a": np.arange(3)}))


def test_arrays_of_objects_are_refused(tmp_path):
    with pytest.raises(ValueError, match="weights file|weights.lz4"):
        read_arrays(written(tmp_path, [np.array([print, None], dtype=object)]))
