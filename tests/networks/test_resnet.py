import keras
import numpy as np
import pytest
from network_checks import fill, numbers, outputs

from gamix_keras.networks import ResNetDecoder, ResNetEncoder

SMALL = {"image_shape": (16, 16, 3), "latent_dim": 4, "width": 8, "blocks": 1, "bottleneck": 4}


@pytest.mark.backend_free
def test_published_parameter_counts():
    encoder = ResNetEncoder((256, 256, 3), 512, stages=6, paper=True)
    decoder = ResNetDecoder((256, 256, 3), 512, stages=6, paper=True)
    heads = sum(encoder.get_layer(name).count_params() for name in ("mean", "log_var"))
    assert encoder.count_params() - heads == 5_882_944
    assert heads == 1_049_600
    assert decoder.count_params() == 4_049_522
    assert encoder.count_params() + decoder.count_params() == 10_982_066


@pytest.mark.backend_free
def test_default_parameter_counts():
    assert ResNetEncoder((64, 64, 3), 128).count_params() == 4_089_920
    assert ResNetDecoder((64, 64, 3), 128).count_params() == 2_642_691


@pytest.mark.backend_free
@pytest.mark.parametrize("size", [8, 16, 32, 48, 128])
@pytest.mark.parametrize("paper", [False, True])
def test_published_form_at_other_sizes(size, paper):
    encoder = ResNetEncoder((size, size, 1), 4, width=4, blocks=1, paper=paper)
    decoder = ResNetDecoder((size, size, 1), 4, width=4, blocks=1, paper=paper)
    assert encoder.output_shape == [(None, 4), (None, 4)]
    assert decoder.output_shape == (None, size, size, 1)


def _change(encoder, brighter):
    fill(encoder)
    dark = 0.3 * numbers((2, 16, 16, 3))
    before, after = outputs(encoder, dark)[0], outputs(encoder, brighter(dark))[0]
    return np.abs(after - before).max() / np.abs(before).max()


@pytest.mark.parametrize("brighter", [lambda x: x + 0.5, lambda x: 2.5 * x], ids=["brightness", "contrast"])
def test_published_form_is_blind_to_brightness_and_contrast_and_ours_is_not(brighter):
    assert _change(ResNetEncoder(**SMALL, paper=True), brighter) < 0.02
    assert _change(ResNetEncoder(**SMALL), brighter) > 0.1


def test_published_normalisation_never_looks_at_the_batch():
    encoder = ResNetEncoder(**SMALL, paper=True)
    images = numbers((4, 16, 16, 3))
    before = [keras.ops.convert_to_numpy(v) + 0.0 for v in encoder.non_trainable_variables]
    trained = [keras.ops.convert_to_numpy(out) for out in encoder(images, training=True)]
    np.testing.assert_allclose(trained, outputs(encoder, images), rtol=1e-4, atol=1e-6)
    for old, new in zip(before, encoder.non_trainable_variables, strict=True):
        np.testing.assert_array_equal(old, keras.ops.convert_to_numpy(new))


@pytest.mark.backend_free
def test_last_block_is_wide_unless_published():
    wide, narrow = (ResNetDecoder(**SMALL, paper=paper) for paper in (False, True))
    assert wide.get_layer("stage1_up").output.shape[-1] == 8
    assert narrow.get_layer("stage1_up").output.shape[-1] == 3


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_shape": (30, 32, 3), "stages": 2}, "image_shape: expected .* divisible by .* = 4, got 30x32"),
        ({"image_shape": (15, 15, 3)}, "image_shape: expected an even height and width of 8 or more, got 15x15"),
        ({"image_shape": (16, 16)}, "image_shape: expected \\(height, width, channels\\)"),
        ({"latent_dim": 0}, "latent_dim: expected a positive integer, got 0"),
        ({"blocks": -1}, "blocks: expected 0 or a positive integer, got -1"),
        ({"width": 2.5}, "width: expected a positive integer, got 2.5"),
        ({"stages": True}, "stages: expected a positive integer, got True"),
    ],
)
def test_errors_name_the_argument(arguments, message):
    for kind in (ResNetEncoder, ResNetDecoder):
        with pytest.raises(ValueError, match=message):
            kind(**{**SMALL, **arguments})
