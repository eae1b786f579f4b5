"""The picture of originals, reconstructions and samples."""

import numpy as np
import pytest
from harness import compiled, gamix, images, state
from PIL import Image

from gamix_keras.callbacks import SampleGrid

X = images(8)


def fit(model, *callbacks, epochs=3):
    model.fit(X, batch_size=4, epochs=epochs, shuffle=False, callbacks=list(callbacks), verbose=0)
    return model


@pytest.mark.parametrize(("every", "names"), [(1, "123"), (2, "23"), (0, "3")])
def test_pictures_every_so_often_and_at_the_end(tmp_path, every, names):
    fit(compiled(gamix()), SampleGrid(X[:3], tmp_path, every))
    assert [file.name for file in sorted(tmp_path.iterdir())] == [f"epoch-000{n}.png" for n in names]


def test_the_first_row_is_the_images(tmp_path):
    grid = SampleGrid(np.full((3, 8, 8, 3), -1.0, "float32"), tmp_path)
    fit(compiled(gamix()), grid, epochs=1)
    picture = np.asarray(Image.open(tmp_path / "epoch-0001.png"))
    assert (picture == 0).all(axis=-1).sum() >= 3 * 64 * 64


def test_training_is_the_same_with_and_without_pictures(tmp_path):
    plain, shown = fit(compiled(gamix())), fit(compiled(gamix()), SampleGrid(X[:3], tmp_path))
    for left, right in zip(state(plain).values(), state(shown).values(), strict=True):
        np.testing.assert_array_equal(left, right)
