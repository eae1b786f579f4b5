"""What every family promises: shapes, float32 outputs, gradients everywhere, saving, the same values everywhere."""

import keras
import numpy as np
import pytest
from harness import numpy
from network_checks import fill, numbers, outputs, still_after_a_step

from gamix_keras.layers.normalisation import ScaleShift
from gamix_keras.networks import (
    ConvDecoder,
    ConvEncoder,
    InfoGANDecoder,
    InfoGANEncoder,
    MLPDecoder,
    MLPEncoder,
    PatchGANCritic,
    ResNetDecoder,
    ResNetEncoder,
    SecondStageDecoder,
    SecondStageEncoder,
    TransformerDecoder,
    TransformerEncoder,
    WAEDecoder,
    WAEEncoder,
)

SHAPE = (16, 24, 3)
RES = {"width": 8, "blocks": 1, "bottleneck": 4}
TOKENS = {"width": 16, "depth": 2, "heads": 2}
ENCODERS = {
    "conv": lambda **kw: ConvEncoder(SHAPE, 5, width=8, **kw),
    "conv-group": lambda **kw: ConvEncoder(SHAPE, 5, width=8, norm="group", **kw),
    "resnet": lambda **kw: ResNetEncoder(SHAPE, 5, **RES, **kw),
    "resnet-paper": lambda **kw: ResNetEncoder(SHAPE, 5, **RES, paper=True, **kw),
    "mlp": lambda **kw: MLPEncoder(SHAPE, 5, width=16, **kw),
    "transformer": lambda **kw: TransformerEncoder(SHAPE, 5, **TOKENS, **kw),
    "infogan": lambda **kw: InfoGANEncoder(SHAPE, 5, width=8, units=16, **kw),
    "wae": lambda **kw: WAEEncoder(SHAPE, 5, width=4, **kw),
}
DECODERS = {
    "conv": lambda **kw: ConvDecoder(SHAPE, 5, width=8, **kw),
    "conv-group": lambda **kw: ConvDecoder(SHAPE, 5, width=8, norm="group", **kw),
    "resnet": lambda **kw: ResNetDecoder(SHAPE, 5, **RES, **kw),
    "resnet-paper": lambda **kw: ResNetDecoder(SHAPE, 5, **RES, paper=True, **kw),
    "mlp": lambda **kw: MLPDecoder(SHAPE, 5, width=16, **kw),
    "transformer": lambda **kw: TransformerDecoder(SHAPE, 5, **TOKENS, **kw),
    "infogan": lambda **kw: InfoGANDecoder(SHAPE, 5, width=8, units=16, **kw),
    "wae": lambda **kw: WAEDecoder(SHAPE, 5, width=4, **kw),
}
CRITICS = {
    "critic": lambda **kw: PatchGANCritic(SHAPE, (8, 8, 8), **kw),
    "critic-spectral": lambda **kw: PatchGANCritic(SHAPE, (8, 8), (2, 2), norm="none", spectral_norm=True, **kw),
    "critic-paper": lambda **kw: PatchGANCritic(SHAPE, (8, 8, 8, 4), paper=True, **kw),
}
SECOND_STAGE = {
    "second encoder": lambda **kw: SecondStageEncoder(5, width=16, **kw),
    "second decoder": lambda **kw: SecondStageDecoder(5, width=16, **kw),
}
# The published networks of Two-Stage VAE, whose batch normalisation is a real one.
WITH_BATCH_STATISTICS = ("infogan", "wae")
ALL = {
    **{f"encoder {name}": (make, (2, *SHAPE)) for name, make in ENCODERS.items()},
    **{f"decoder {name}": (make, (2, 5)) for name, make in DECODERS.items()},
    **{name: (make, (2, *SHAPE)) for name, make in CRITICS.items()},
    **{name: (make, (2, 5)) for name, make in SECOND_STAGE.items()},
}
each_network = pytest.mark.parametrize(("make", "shape"), ALL.values(), ids=ALL)

# Standard deviations of the outputs with the weights of `fill`, computed on TensorFlow.
GOLDEN = {
    "encoder conv": [0.293773, 0.416392],
    "encoder conv-group": [0.644337, 0.78611],
    "encoder resnet": [0.654112, 0.953526],
    "encoder resnet-paper": [0.191616, 0.321396],
    "encoder mlp": [0.24189, 0.306445],
    "encoder transformer": [0.563919, 1.02577],
    "encoder infogan": [0.23947, 0.208024],
    "encoder wae": [0.12605, 0.376046],
    "decoder conv": [0.327193],
    "decoder conv-group": [0.501868],
    "decoder resnet": [0.725785],
    "decoder resnet-paper": [0.259255],
    "decoder mlp": [0.302096],
    "decoder transformer": [1.06596],
    "decoder infogan": [0.0949028],
    "decoder wae": [0.0567001],
    "critic": [0.289862],
    "critic-spectral": [0.0526073],
    "critic-paper": [0.105962],
    "second encoder": [0.387396, 0.543781],
    "second decoder": [0.27189],
}


@pytest.mark.parametrize("make", ENCODERS.values(), ids=ENCODERS)
def test_encoder_shapes(make):
    encoder = make()
    assert encoder.inputs[0].name == "image" and encoder.input_shape == (None, *SHAPE)
    assert encoder.output_shape == [(None, 5), (None, 5)]


@pytest.mark.parametrize("make", DECODERS.values(), ids=DECODERS)
def test_decoder_shapes(make):
    decoder = make()
    assert decoder.inputs[0].name == "z" and decoder.input_shape == (None, 5)
    assert decoder.output_shape == (None, *SHAPE)
    if "pixel_scale" in decoder.get_config():
        assert make(pixel_scale=True).output_shape == (None, 16, 24, 6)


@pytest.mark.parametrize("make", CRITICS.values(), ids=CRITICS)
def test_critic_shapes(make):
    halvings = 2 if make is CRITICS["critic-spectral"] else 3
    assert make().output_shape == (None, 16 >> halvings, 24 >> halvings, 1)


@each_network
def test_every_trainable_variable_gets_a_gradient(make, shape):
    assert still_after_a_step(make(), numbers(shape)) == []


@each_network
def test_saved_as_its_arguments(make, shape, tmp_path):
    model = make(dtype="mixed_bfloat16", name="some_name")
    model.save(tmp_path / "net.keras")
    loaded = keras.saving.load_model(tmp_path / "net.keras")
    assert type(loaded) is type(model) and loaded.get_config() == model.get_config()
    assert set(model.get_config()) == set(type(model).__init__.__annotations__) - {"return", "kwargs"} | {"trainable"}
    for old, new in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@each_network
def test_clones(make, shape):
    model = make()
    clone = keras.models.clone_model(model)
    assert [v.shape for v in clone.variables] == [v.shape for v in model.variables]


@each_network
def test_same_values_on_every_backend_and_in_any_batch(make, shape, request):
    model, inputs = make(), numbers(shape)
    fill(model)
    both = outputs(model, inputs)
    np.testing.assert_allclose([out.std() for out in both], GOLDEN[request.node.callspec.id], rtol=2e-4)
    for one, two in zip(outputs(model, inputs[:1]), both, strict=True):
        np.testing.assert_allclose(one, two[:1], rtol=1e-4, atol=1e-5)


@each_network
def test_batch_statistics_only_where_published(make, shape, request):
    real = [
        x for x in make().layers if isinstance(x, keras.layers.BatchNormalization) and not isinstance(x, ScaleShift)
    ]
    assert bool(real) == request.node.callspec.id.endswith(WITH_BATCH_STATISTICS)


@pytest.fixture
def channels_first():
    """`keras.json` says "channels_first"."""
    keras.config.set_image_data_format("channels_first")
    yield
    keras.config.set_image_data_format("channels_last")


@each_network
def test_channels_come_last_whatever_keras_json_says(make, shape, channels_first, request):
    model = make()
    formats = {layer.data_format for layer in model._flatten_layers() if hasattr(layer, "data_format")}
    assert formats <= {"channels_last"}
    fill(model)
    found = [numpy(out).std() for out in keras.tree.flatten(model(numbers(shape), training=False))]
    np.testing.assert_allclose(found, GOLDEN[request.node.callspec.id], rtol=2e-4)


@each_network
def test_every_layer_with_weights_is_ours(make, shape):
    """Those are the ones whose gradients in bfloat16 are tested, in tests/layers/test_layer_precision.py."""
    layers = [layer for layer in make()._flatten_layers(include_self=False) if layer._trainable_variables]
    assert layers and {type(layer).__module__.split(".")[0] for layer in layers} == {"gamix_keras"}


@each_network
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_is_float32_outside(make, shape, policy):
    model = make(dtype=policy)
    assert {v.dtype for v in model.variables} == {"float32"}
    assert {out.dtype for out in model.outputs} == {"float32"}
    assert policy.removeprefix("mixed_") in {layer.compute_dtype for layer in model.layers if layer.variables}


@each_network
def test_mixed_precision_gives_nearly_the_same(make, shape, request):
    model = make(dtype="mixed_bfloat16")
    fill(model)
    found = [out.std() for out in outputs(model, numbers(shape))]
    np.testing.assert_allclose(found, GOLDEN[request.node.callspec.id], rtol=0.03)
