import keras
import numpy as np
import pytest
from network_checks import fill, numbers, outputs

from gamix_keras.networks import MLPDecoder, MLPEncoder, SecondStageDecoder, SecondStageEncoder

LEARNED_SCALE = 1


@pytest.mark.backend_free
def test_published_second_stage():
    assert SecondStageEncoder().count_params() + SecondStageDecoder().count_params() + LEARNED_SCALE == 4_540_609


def test_second_stage_head_gives_twice_the_logarithm_of_the_deviation():
    encoder = SecondStageEncoder(4, width=8)
    fill(encoder)
    heads = keras.Model(encoder.input, encoder.get_layer("log_std").output)
    z = numbers((3, 4))
    np.testing.assert_allclose(outputs(encoder, z)[1], 2 * heads.predict_on_batch(z), rtol=1e-5)


def test_second_stage_reads_its_input_beside_the_hidden_layers():
    decoder = SecondStageDecoder(4, width=8)
    decoder.get_layer("location").kernel.assign(np.eye(12, 4))
    u = numbers((3, 4))
    np.testing.assert_array_equal(outputs(decoder, u)[0], u)


@pytest.mark.backend_free
def test_any_image_size():
    assert MLPEncoder((7, 5, 2), 3).output_shape == [(None, 3), (None, 3)]
    assert MLPDecoder((7, 5, 2), 3).output_shape == (None, 7, 5, 2)
    assert MLPEncoder((28, 28, 1), 16).count_params() == 785 * 512 + 513 * 512 + 2 * 513 * 16


@pytest.mark.backend_free
def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="depth: expected a positive integer, got 0"):
        MLPEncoder((7, 5, 2), 3, depth=0)
    with pytest.raises(ValueError, match="latent_dim: expected a positive integer, got '8'"):
        SecondStageEncoder("8")
