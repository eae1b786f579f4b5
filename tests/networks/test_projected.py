"""The projected critic: shapes, spectral norms, and a frozen network that is no part of it."""

import keras
import numpy as np
import pytest
from harness import features, numpy, projected
from network_checks import numbers
from scipy.signal import correlate

from gamix_keras.metrics import efficientnet_lite
from gamix_keras.networks import ProjectedCritic

SHAPE = (8, 8, 3)
X = numbers((6, *SHAPE))


def stepped(critic, steps=3):
    """The critic after a few large steps of Adam."""
    critic.compile(keras.optimizers.Adam(0.1), loss=["mse"] * len(critic.map_shapes))
    targets = [numbers(tuple(part.shape), seed=1) for part in critic(X)]
    for _ in range(steps):
        critic.train_on_batch(X, targets)
    return critic


def test_logits_of_each_stage():
    assert [tuple(part.shape) for part in projected()(X)] == [(6, 2, 2, 1), (6, 2, 2, 1)]
    assert {keras.backend.standardize_dtype(part.dtype) for part in projected(dtype="mixed_bfloat16")(X)} == {"float32"}


def test_it_judges_what_it_sees():
    critic = projected()
    for whole, part in zip(critic(X), critic.judge(critic.see(X)), strict=True):
        np.testing.assert_array_equal(numpy(whole), numpy(part))
    for seen, expected in zip(critic.see(X), features()(X), strict=True):
        np.testing.assert_allclose(numpy(seen), numpy(expected), atol=1e-6)


def test_a_stage_by_hand():
    """The deep stage of one image in NumPy: projection, 3x3 convolution, leaky ReLU, 3x3 logit."""
    critic = projected()
    weights = {f"{layer.name}/{v.name}": numpy(v) for layer in critic.heads.layers for v in layer.weights}
    seen = numpy(critic.see(X)[1])[0]

    def convolve(maps, name):
        kernel = weights[f"{name}/kernel"]
        planes = [
            sum(correlate(maps[..., i], kernel[..., i, o], mode="same") for i in range(maps.shape[-1]))
            for o in range(kernel.shape[-1])
        ]
        return np.stack(planes, -1) + weights[f"{name}/bias"]

    x = convolve(seen @ weights["projection1/matrix"], "conv1")
    expected = convolve(np.where(x > 0, x, 0.2 * x), "logits1")
    np.testing.assert_allclose(numpy(critic(X)[1])[0], expected, atol=1e-5)


def test_spectral_norms_after_a_step_and_what_never_moves():
    critic = projected()
    frozen = [numpy(v).copy() for v in (*critic.frozen().weights, *critic.non_trainable_variables)]
    before = [numpy(v).copy() for v in critic.trainable_variables]
    stepped(critic)
    for old, new in zip(frozen, (*critic.frozen().weights, *critic.non_trainable_variables), strict=True):
        np.testing.assert_array_equal(old, numpy(new))
    assert all((old != numpy(new)).any() for old, new in zip(before, critic.trainable_variables, strict=True))
    kernels = [numpy(v) for v in critic.trainable_variables if v.name == "kernel"]
    assert len(kernels) == 4
    for kernel in kernels:
        assert np.linalg.norm(kernel.reshape(-1, kernel.shape[-1]), 2) == pytest.approx(1.0, abs=1e-3)


def test_the_frozen_network_is_not_counted_saved_or_needed_to_load(tmp_path):
    critic = stepped(projected())
    sizes = [int(np.prod(v.shape)) for v in critic.weights]
    assert critic.count_params() == sum(sizes) == (3 + 5) * 4 + (16 * 16 + 9 * 16 + 8) + 2 * (9 * 4 + 1)
    critic.save(tmp_path / "critic.keras")
    loaded = keras.saving.load_model(tmp_path / "critic.keras")
    with pytest.raises(ValueError, match="features: expected a network, got none: a file does not hold the one"):
        loaded(X)
    loaded.use(features())
    for left, right in zip(critic(X), loaded(X), strict=True):
        np.testing.assert_array_equal(numpy(left), numpy(right))


def test_the_projections_are_drawn_from_the_seed():
    matrices = [numpy(projected(seed=seed).heads.get_layer("projection1").matrix) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(matrices[0], matrices[1])
    assert not np.array_equal(matrices[0], matrices[2])


def test_efficientnet_is_made_only_when_it_is_asked_for(monkeypatch):
    made, make = [], efficientnet_lite.feature_stages
    monkeypatch.setattr("gamix_keras.networks.projected.feature_stages", lambda *a: (made.append(a), make(*a))[1])
    critic = ProjectedCritic((36, 20, 1), width=4)
    assert critic.map_shapes == ((9, 5, 24), (5, 3, 40), (3, 2, 112), (2, 1, 320)) and not made
    logits = critic(numbers((2, 36, 20, 1)))
    assert [tuple(part.shape) for part in logits] == [(2, 5, 3, 1), (2, 3, 2, 1), (2, 3, 2, 1), (2, 2, 1, 1)]
    assert made == [(("stage2", "stage3", "stage5", "stage7"), (36, 20, 1))]
    assert not critic.frozen().trainable_variables


@pytest.mark.backend_free
def test_known_shapes_are_those_of_the_network():
    names = efficientnet_lite.FEATURE_STAGES
    network = efficientnet_lite.feature_stages(names, (70, 33, 3))
    assert [tuple(m.shape[1:]) for m in network.outputs] == list(efficientnet_lite.stage_shapes(names, (70, 33, 3)))


@pytest.mark.backend_free
def test_wrong_uses_are_named():
    flat = keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten()])
    with pytest.raises(ValueError, match="features: expected a network to maps"):
        ProjectedCritic(SHAPE, features=flat)
    with pytest.raises(ValueError, match="expected a network to maps .*, got one to"):
        projected().use(features((16, 16, 3)))
    with pytest.raises(ValueError, match="names: expected different ones of stem, .*, got stage9"):
        ProjectedCritic(SHAPE, stages=("stage9",))
    with pytest.raises(ValueError, match="width: expected a positive integer, got 0"):
        ProjectedCritic(SHAPE, width=0)
