"""Noise that counts instead of drawing: normal, independent, the same for an image wherever its batch begins."""

import numpy as np
from harness import compiled, gamix, images, numpy, vae
from scipy import stats

from gamix_keras.training.pass_noise import SEED, pass_noise


def test_it_is_normal_and_uncorrelated():
    noise = numpy(pass_noise(0, (2000, 8)))
    assert stats.kstest(noise.ravel(), "norm").pvalue > 0.01
    others = numpy(pass_noise(0, (2000, 8), SEED + 1))
    columns = np.concatenate([noise[:-1], noise[1:], others[:-1]], axis=1)
    correlations = np.corrcoef(columns.T)[np.triu_indices(24, 1)]
    assert np.abs(correlations).max() < 5 / np.sqrt(2000)


def test_an_image_has_its_noise_wherever_its_batch_begins():
    whole = numpy(pass_noise(0, (10, 3)))
    np.testing.assert_array_equal(numpy(pass_noise(4, (6, 3))), whole[4:])


def test_it_is_the_same_on_every_backend():
    """Recomputed with 64-bit integers."""
    mask = 2**32 - 1

    def mixed(bits):
        bits = bits & mask
        bits = ((bits ^ (bits >> 16)) * 0x7FEB352D) & mask
        bits = ((bits ^ (bits >> 15)) * 0x846CA68B) & mask
        return bits ^ (bits >> 16)

    uniform = lambda column, stream: ((mixed(mixed(5 + mixed(SEED)) ^ mixed(column + stream)) >> 8) + 0.5) / 2**24  # noqa: E731
    expected = [
        np.sqrt(-2 * np.log(uniform(column, 0x2545F491))) * np.cos(2 * np.pi * uniform(column, 0x1B873593))
        for column in range(4)
    ]
    np.testing.assert_allclose(numpy(pass_noise(5, (1, 4)))[0], expected, rtol=1e-4, atol=1e-5)


def test_a_validation_pass_does_not_depend_on_its_batches():
    for model in (vae(), vae(capacity=9.0, beta=3.0), gamix(moments="total"), gamix(moments="mixture")):
        compiled(model)
        passes = [model.evaluate(images(9), batch_size=size, verbose=0, return_dict=True) for size in (9, 8, 3)]
        for logs in passes[1:]:
            for name, value in passes[0].items():
                np.testing.assert_allclose(logs[name], value, rtol=1e-4, atol=1e-4, err_msg=name)
