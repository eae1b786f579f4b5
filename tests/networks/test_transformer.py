import numpy as np
import pytest
from network_checks import fill, numbers, outputs

from gamix_keras.networks import TransformerDecoder, TransformerEncoder

SMALL = {"image_shape": (16, 24, 3), "latent_dim": 4, "width": 16, "depth": 1, "heads": 2}


@pytest.mark.backend_free
def test_published_parameter_counts():
    encoder = TransformerEncoder((64, 64, 3), 64)
    decoder = TransformerDecoder((64, 64, 3), 64, pixel_scale=True)
    assert encoder.count_params() == 3_240_064
    assert decoder.count_params() == 3_272_832
    assert encoder.count_params() + decoder.count_params() == 6_512_896


def test_patches_keep_their_place_in_the_output():
    decoder = TransformerDecoder(**SMALL)
    fill(decoder)
    kernel = np.zeros((16, 8 * 8 * 3), "float32")
    decoder.get_layer("location").kernel.assign(kernel)
    decoder.get_layer("location").bias.assign(np.arange(8 * 8 * 3))
    image = outputs(decoder, numbers((1, 4)))[0][0]
    np.testing.assert_array_equal(image, np.tile(np.arange(8 * 8 * 3).reshape(8, 8, 3), (2, 3, 1)))


def test_code_depends_on_where_a_patch_lies():
    encoder = TransformerEncoder(**SMALL)
    fill(encoder)
    image = numbers((1, 16, 24, 3))
    swapped = np.concatenate([image[:, 8:], image[:, :8]], axis=1)
    codes = [outputs(encoder, x)[0] for x in (image, swapped)]
    assert np.abs(codes[0] - codes[1]).max() > 1e-3


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"patch": 5}, "image_shape: expected .* divisible by patch = 5, got 16x24"),
        ({"heads": 3}, "heads: expected a divisor of the width 16, got 3"),
        ({"width": 18}, "dim: expected a number divisible by 4, got 18"),
        ({"depth": 0}, "depth: expected a positive integer, got 0"),
    ],
)
def test_errors_name_the_argument(arguments, message):
    for kind in (TransformerEncoder, TransformerDecoder):
        with pytest.raises(ValueError, match=message):
            kind(**{**SMALL, **arguments})
