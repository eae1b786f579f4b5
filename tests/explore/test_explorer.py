"""What the page computes, without the page."""

import io

import keras
import numpy as np
import pytest
from harness import LATENT, SHAPE, backend, decoder, encoder, images, numpy, vae
from PIL import Image

from gamix_keras import latent_space
from gamix_keras.config import UserError
from gamix_keras.data import to_uint8
from gamix_keras.explore import Explorer
from gamix_keras.losses import LaplaceNLL
from gamix_keras.models import VAE
from gamix_keras.samplers import FullGaussianSampler, PriorSampler, principal_axes

LATENTS = np.random.default_rng(3).normal(size=(50, LATENT)) * np.array([4.0, 3.0, 2.0, 1.0]) + 1.0
AXES = principal_axes(LATENTS)
IMAGES = to_uint8(images(2))


def near(result, expected):
    """Equal up to the rounding of a byte."""
    assert result.dtype == np.uint8
    np.testing.assert_allclose(result.astype(int), to_uint8(numpy(expected)), atol=1)


@pytest.fixture
def model():
    return vae()


@pytest.fixture
def explorer(model):
    return Explorer(model, AXES, {"prior": lambda: PriorSampler(LATENT)}, sliders=3)


def test_sliders_at_zero_are_the_start(explorer, model):
    start = LATENTS[0].astype("float32")
    near(explorer.slide(start, [0, 0, 0]), model.decode(start[None])[0])


def test_sliders_move_by_standard_deviations_along_the_axes(explorer, model):
    z = AXES.center + 2.0 * AXES.std[0] * AXES.axes[0] - 0.5 * AXES.std[2] * AXES.axes[2]
    near(explorer.slide(explorer.center, [2.0, 0.0, -0.5]), model.decode(z[None])[0])


def test_a_traversal_is_the_same_walk(explorer, model):
    walk = latent_space.traverse_axes(model, images(1)[0], AXES, [1], [-3.0, 3.0])[0]
    start = explorer.encode(to_uint8(images(1)[0]))
    near(explorer.slide(start, [0, -3, 0]), walk[0])
    near(explorer.slide(start, [0, 3, 0]), walk[1])


def test_shares_of_the_variance(explorer):
    variances = np.linalg.eigvalsh(np.cov(LATENTS.T))[::-1]
    np.testing.assert_allclose(explorer.shares, variances[:3] / variances.sum(), rtol=1e-5)


@pytest.mark.parametrize("path", latent_space.PATHS)
def test_between_two_images_as_the_command_line(explorer, model, path):
    first, second = map(explorer.encode, IMAGES)
    walk = latent_space.interpolate(model, *(images(2)), steps=5, path=path)
    for i, share in enumerate(np.linspace(0, 1, 5)):
        near(explorer.between(first, second, share, path), walk[i])


def test_draws_as_the_command_line(explorer, model):
    near(explorer.draw("prior", 0.5, seed=3), latent_space.draw(model, 16, 3, temperature=0.5))


def test_a_sampler_is_asked_for_once_and_when_it_is_wanted(model):
    asked = []
    fitted = FullGaussianSampler(LATENT).fit(LATENTS)
    explorer = Explorer(model, AXES, {"gaussian": lambda: asked.append(1) or fitted})
    assert asked == []
    first, second = explorer.draw("gaussian"), explorer.draw("gaussian", seed=1)
    assert (asked, np.array_equal(first, second)) == ([1], False)


def test_reconstruction(explorer, model):
    made = explorer.reconstruct(IMAGES[0])
    near(made.image, model.reconstruct(images(2))[0])
    error = np.mean(np.square((made.image.astype(float) - IMAGES[0]) / 255))
    assert made.psnr == pytest.approx(-10 * np.log10(error), abs=1e-3)
    np.testing.assert_array_equal(made.original, IMAGES[0])


def test_an_upload_takes_the_size_of_the_model(explorer):
    file = io.BytesIO()
    Image.new("RGB", (31, 17), (255, 0, 0)).save(file, "PNG")
    np.testing.assert_array_equal(explorer.read(file.getvalue()), np.broadcast_to([255, 0, 0], SHAPE))


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda e: e.read(b"no picture"), "cannot be read as an image: not an image"),
        (lambda e: e.slide(e.center, [0, None, 0]), "slider: expected a number in every box"),
        (lambda e: e.between(e.center, e.center, 1.5), "share: expected a number from 0 to 1, got 1.5"),
        (lambda e: e.between(e.center, e.center, 0.5, "round"), "path: expected one of linear, spherical, norm"),
        (lambda e: e.draw("best"), "sampler: expected one of prior, got 'best'"),
        (lambda e: e.draw("prior", temperature=None), "temperature: expected a number, got None"),
        (lambda e: e.draw("prior", temperature=float("nan")), "temperature: expected a number, got nan"),
        (lambda e: e.draw("prior", temperature="1"), "temperature: expected a number, got 1"),
        (lambda e: e.draw("prior", temperature=9.0), "temperature: expected a number from 0 to 2, got 9"),
        (lambda e: e.draw("prior", seed=10**400), "seed: expected a number, got 1000"),
        (lambda e: e.draw("prior", seed=2**31), "seed: expected a whole number from 0 to 2147483647, got 2147483648"),
        (lambda e: e.draw("prior", seed=0.5), "seed: expected a whole number from 0 to 2147483647, got 0.5"),
        (lambda e: e.draw(["prior"]), "sampler: expected one of"),
        (lambda e: e.between(e.center, e.center, 0.5, []), "path: expected one of"),
        (lambda e: e.slide(e.center, [float("inf"), 0, 0]), "slider: expected a number in every box"),
        (lambda e: e.slide(e.center, [1e9, 0, 0]), "slider: expected at most 1e\\+06 standard deviations"),
    ],
)
def test_mistakes_are_told(explorer, act, message):
    with pytest.raises(UserError, match=message):
        act(explorer)


class Counted(keras.layers.Layer):
    """Passes its input on, and counts how often Python runs it: where a network is compiled, when it is traced."""

    calls = 0

    def call(self, x):
        Counted.calls += 1
        return x


@pytest.mark.skipif(backend() == "torch", reason="PyTorch runs Python each time: there is nothing to compile")
def test_nothing_is_compiled_when_a_slider_moves():
    counted = keras.Sequential([keras.Input((LATENT,)), Counted(), decoder()])
    explorer = Explorer(VAE(encoder(), counted, LaplaceNLL()), AXES, {})
    before = Counted.calls
    for value in (-1.0, 0.0, 2.5):
        explorer.slide(explorer.center, [value] * 4)
        explorer.slide(explorer.center, [1])
    assert Counted.calls == before > 0
