import numpy as np
import pytest
from network_checks import fill, numbers, outputs

from gamix_keras.networks import WAEDecoder, WAEEncoder

LEARNED_SCALE = 1


@pytest.mark.backend_free
def test_published_trainable_count():
    networks = WAEEncoder(), WAEDecoder()
    found = sum(int(np.prod(v.shape)) for network in networks for v in network.trainable_variables)
    assert found + LEARNED_SCALE == 47_082_628


@pytest.mark.backend_free
def test_maps_are_those_of_the_paper():
    encoder, decoder = WAEEncoder(), WAEDecoder()
    maps = [encoder.get_layer(f"conv{i}").output.shape[1:] for i in range(4)]
    assert maps == [(64, 64, 128), (32, 32, 256), (16, 16, 512), (8, 8, 1024)]
    maps = [decoder.get_layer(f"deconv{i}").output.shape[1:] for i in (2, 1, 0)]
    assert maps == [(16, 16, 512), (32, 32, 256), (64, 64, 128)]


def test_output_stays_in_range():
    decoder = WAEDecoder((8, 16, 1), 3, width=2)
    fill(decoder)
    assert np.abs(outputs(decoder, 100 * numbers((4, 3)))[0]).max() <= 1.0


@pytest.mark.backend_free
def test_errors_name_the_argument():
    for kind in (WAEEncoder, WAEDecoder):
        with pytest.raises(ValueError, match="image_shape: expected .* divisible by .* = 8, got 28x28"):
            kind((28, 28, 1))
