import keras
import numpy as np
import pytest
from network_checks import fill, numbers, outputs, still_after_a_step

from gamix_keras.metrics import nyquist_ratio
from gamix_keras.networks import ConvDecoder, ConvEncoder


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("shape", "stages"), [((28, 28, 1), 2), ((28, 28, 1), None), ((32, 48, 4), 3), ((8, 8, 3), None), ((12, 20, 2), 1)]
)
def test_any_size_that_divides(shape, stages):
    assert ConvEncoder(shape, 4, width=4, stages=stages).output_shape == [(None, 4), (None, 4)]
    assert ConvDecoder(shape, 4, width=4, stages=stages).output_shape == (None, *shape)


@pytest.mark.backend_free
def test_default_parameter_counts():
    assert ConvEncoder((64, 64, 3), 128).count_params() == 1_437_248
    assert ConvDecoder((64, 64, 3), 128).count_params() == 625_595


@pytest.mark.backend_free
def test_a_quarter_of_the_channels_at_full_resolution():
    wide = [layer.name for layer in ConvDecoder((64, 64, 3), 8).layers if layer.output.shape[1:3] == (64, 64)]
    assert wide == ["pixels", "location"]
    assert ConvDecoder((64, 64, 3), 8, width=32).get_layer("pixels").output.shape[-1] == 8
    assert max(layer.output.shape[-1] for layer in ConvDecoder((64, 64, 3), 8, max_width=64).layers[2:]) == 64


@pytest.mark.backend_free
def test_a_tail_is_the_channels_at_full_resolution():
    decoder = ConvDecoder((64, 64, 3), 8, width=24, tail=16)
    shapes = [layer.output.shape[1:] for layer in decoder.layers if layer.name.startswith(("conv", "pixels"))]
    assert shapes == [(8, 8, 96), (16, 16, 48), (32, 32, 64), (64, 64, 16)]
    assert decoder.get_layer("location").kernel.shape == (3, 3, 16, 3)
    assert ConvDecoder((8, 8, 3), 4, width=8, stages=1, tail=5).get_layer("pixels").output.shape[-1] == 5


@pytest.mark.backend_free
def test_without_a_tail_the_decoder_is_that_of_older_files():
    decoder = ConvDecoder((16, 16, 3), 3, width=8)
    written = {name: value for name, value in decoder.get_config().items() if name != "tail"}
    shapes = [weight.shape for weight in decoder.weights]
    assert [weight.shape for weight in ConvDecoder.from_config(written).weights] == shapes
    assert [weight.shape for weight in ConvDecoder((16, 16, 3), 3, width=8, tail=2).weights] == shapes
    assert ConvDecoder.from_config(ConvDecoder((16, 16, 3), 3, width=8, tail=4).get_config()).arguments["tail"] == 4


def test_a_trained_decoder_lays_no_lattice_over_what_is_flat():
    decoder = ConvDecoder((32, 32, 3), 3, width=8, stages=2)
    fill(decoder)
    z = np.array([[0.3, -1.0, 2.0]], "float32")
    still_after_a_step(decoder, z)
    dense, channels = decoder.get_layer("dense"), decoder.get_layer("reshape").output.shape[-1] // 4
    for variable in (dense.kernel, dense.bias):
        same = keras.ops.convert_to_numpy(variable)[..., :channels]
        variable.assign(np.tile(same, variable.shape[-1] // channels))  # the first pixels all alike
    image = outputs(decoder, z)[0][0]
    assert np.ptp(image) > 0.1  # at the border
    assert np.ptp(image[4:-4, 4:-4], axis=(0, 1)).max() < 1e-5


def test_a_trained_decoder_paints_no_stripes_of_period_2():
    """Whatever the maps before: at the start, after a step, and with weights that follow the constraints alone."""
    decoder = ConvDecoder((32, 32, 3), 3, width=8, stages=2, tail=4)
    z = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    ratios = [nyquist_ratio(outputs(decoder, z)[0], flat=np.inf)]
    still_after_a_step(decoder, z)
    ratios.append(nyquist_ratio(outputs(decoder, z)[0], flat=np.inf))
    fill(decoder)
    free = nyquist_ratio(outputs(decoder, z)[0], flat=np.inf)
    still_after_a_step(decoder, z)
    ratios.append(nyquist_ratio(outputs(decoder, z)[0], flat=np.inf))
    assert max(ratios) < 1.0 and free > 1.5


def test_every_latent_reaches_every_pixel():
    decoder = ConvDecoder((16, 16, 3), 3, width=8)
    fill(decoder)
    base, *moved = outputs(decoder, np.concatenate([np.zeros((1, 3)), np.eye(3)]).astype("float32"))[0]
    for image in moved:
        assert np.all(image != base)


def test_brightness_and_contrast_reach_the_code():
    for norm in ("none", "group"):
        encoder = ConvEncoder((16, 16, 3), 4, width=8, norm=norm)
        fill(encoder)
        dark = 0.3 * numbers((2, 16, 16, 3))
        codes = [outputs(encoder, image)[0] for image in (dark, dark + 0.5, 2.5 * dark)]
        assert np.abs(codes[1] - codes[0]).max() > 0.1 * np.abs(codes[0]).max()
        assert np.abs(codes[2] - codes[0]).max() > 0.1 * np.abs(codes[0]).max()


def test_batch_normalisation_on_request_uses_the_batch():
    encoder = ConvEncoder((16, 16, 3), 4, width=8, norm="batch")
    images = numbers((4, 16, 16, 3))
    together = keras.ops.convert_to_numpy(encoder(images, training=True)[0])
    assert np.abs(together - outputs(encoder, images)[0]).max() > 1e-3


@pytest.mark.backend_free
@pytest.mark.parametrize(("arguments", "name"), [({"width": 6}, "width"), ({"max_width": 30}, "max_width")])
def test_decoder_rearranges_multiples_of_4(arguments, name):
    with pytest.raises(ValueError, match=f"{name}: expected a multiple of 4, got"):
        ConvDecoder((16, 16, 3), 4, **arguments)


@pytest.mark.backend_free
def test_a_tail_of_nothing_is_refused():
    with pytest.raises(ValueError, match="tail: expected a positive integer, got 0"):
        ConvDecoder((16, 16, 3), 4, tail=0)


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_shape": (28, 28, 1), "stages": 3}, "image_shape: expected .* divisible by .* = 8, got 28x28"),
        ({"max_width": -1}, "max_width: expected a positive integer, got -1"),
        ({"norm": "instance"}, "norm: expected one of group, batch, scale_shift, none, got 'instance'"),
    ],
)
def test_errors_name_the_argument(arguments, message):
    for kind in (ConvEncoder, ConvDecoder):
        with pytest.raises(ValueError, match=message):
            kind(**{"image_shape": (16, 16, 3), "latent_dim": 4, **arguments})
