"""The picture of originals, reconstructions and samples."""

import numpy as np
import pytest
from harness import compiled, gamix, images, numpy, state
from PIL import Image

from gamix_keras.callbacks import SampleGrid
from gamix_keras.data import to_uint8, to_unit_range
from gamix_keras.samplers import FullGaussianSampler, Posteriors

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
    assert (picture == 0).all(axis=-1).sum() >= 3 * 128 * 128


def test_a_fit_in_parts_writes_the_pictures_of_an_unbroken_one(tmp_path):
    model, grid = compiled(gamix()), SampleGrid(X[:3], tmp_path, every=0, last=3)
    fit(model, grid, epochs=2)
    assert not list(tmp_path.iterdir())
    model.fit(X, batch_size=4, initial_epoch=2, epochs=3, callbacks=[grid], verbose=0)
    assert [file.name for file in tmp_path.iterdir()] == ["epoch-0003.png"]


class Pixels:
    """A source of images in memory."""

    def __init__(self, pixels):
        self.pixels, self.image_shape = to_uint8(pixels), pixels.shape[1:]

    def draw(self, count, seed):
        return self.pixels[:count]


class Drawing(SampleGrid):
    """Keeps the rows that it would write."""

    def on_train_end(self, logs=None):
        self.row = self._fitted(200)


def test_the_draws_have_the_moments_of_the_posteriors_as_they_are():
    model, source = compiled(gamix()), Pixels(images(80))
    drawing = Drawing(X[:3], None, source=source)
    fit(model, drawing, epochs=1)
    mean, log_var = (numpy(part) for part in model.encode(to_unit_range(source.pixels)))
    sampler = FullGaussianSampler(model.latent_dim).fit(Posteriors(mean, log_var))
    [(label, row)] = drawing.row.items()
    assert label == "draws of a Gaussian of q(z)"
    np.testing.assert_allclose(numpy(row), numpy(model.decode(sampler.sample(200, 0))), atol=1e-5)


def test_posteriors_that_are_not_finite_leave_their_row_out():
    model = compiled(gamix())
    model.encoder.set_weights([np.full_like(weight, np.nan) for weight in model.encoder.get_weights()])
    drawing = Drawing(X[:3], None, source=Pixels(images(8)))
    drawing.set_model(model)
    assert drawing._fitted(3) == {}


def test_training_is_the_same_with_and_without_pictures(tmp_path):
    plain, shown = fit(compiled(gamix())), fit(compiled(gamix()), SampleGrid(X[:3], tmp_path))
    for left, right in zip(state(plain).values(), state(shown).values(), strict=True):
        np.testing.assert_array_equal(left, right)
