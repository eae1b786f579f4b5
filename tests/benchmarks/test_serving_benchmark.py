"""The serving benchmark, on a model that takes no time."""

import numpy as np
import pytest
from harness import vae

from benchmarks import serving

pytestmark = pytest.mark.backend_free


def test_a_table_has_a_row_for_each_call_and_a_column_for_each_size():
    seen = []
    calls = {"one": lambda z: seen.append(z.shape), "two": lambda z: None}
    lines = serving.table(calls, (1, 8), 3, 0.001).splitlines()
    assert lines[0] == "| p50 / p99, images/s | batch 1 | batch 8 |"
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| one", "| two"]
    assert set(seen) == {(1, 3), (8, 3)}


@pytest.mark.slow
def test_every_runtime_gives_the_same_images(tmp_path):
    calls = serving.runtimes(vae(), tmp_path, threads=1)
    assert {"Keras `predict`", "bare graph", "SavedModel"} <= set(calls)
    z = np.zeros((2, 4), "float32")
    answers = [call(z) for call in calls.values()]
    images = [answer["image"] if isinstance(answer, dict) else np.clip(answer, -1, 1) for answer in answers]
    for image in images[1:]:
        np.testing.assert_allclose(image, images[0], atol=1e-5)
    with serving.wire(tmp_path, None) as requests:
        assert len(requests) in (0, 3)
        for call in requests.values():
            call(z)
