"""One frozen network for perceptual term and critic: the same numbers as with one for each."""

import keras
import numpy as np
import pytest
from harness import gamix, images, numpy

from gamix_keras.metrics.efficientnet_lite import feature_stages
from gamix_keras.models.shared_maps import SharedMaps
from gamix_keras.networks import ProjectedCritic

SHAPE = (8, 8, 3)
X = images(8)


@pytest.mark.parametrize("compared", [("stem",), ("stage2", "stem")])
def test_both_halves_are_the_network(compared):
    judged = ("stage2", "stage1")
    shared = SharedMaps(compared, judged, SHAPE)
    first = shared.first(X)
    for names, maps in ((compared, shared.compared(first)), (judged, shared.judged(first))):
        expected = feature_stages(names, SHAPE)(X)
        for ours, theirs in zip(maps, expected if len(names) > 1 else [expected], strict=True):
            np.testing.assert_allclose(numpy(ours), numpy(theirs), atol=1e-5)
    assert {name: part.shape for name, part in shared.blank(8).items()} == {name: p.shape for name, p in first.items()}


def trained(is_shared, weights):
    """How one step without noise moved each network, and the logs."""
    keras.utils.set_random_seed(2)
    judge = ProjectedCritic(SHAPE, stages=("stage1", "stage2"), width=4)
    options = {"adversarial": "hinge", "adversarial_samples": 0.5, "adaptive_weight": True, "adaptive_every": 2}
    model = gamix(judge=judge, perceptual=("stem",), perceptual_weight=weights[0], critic_weight=weights[1], **options)
    model.sampler.call = lambda mean, log_var, training=False: mean
    averages = model.draws.moments.averages
    for name, value in {"second": np.eye(4), "within": np.ones(4), "weight": 0.9}.items():
        averages[name].assign(value)
    if not is_shared:
        model._shared = lambda: None
    model.compile(keras.optimizers.SGD(1e-3))
    before = [numpy(v).copy() for v in model.trainable_variables]
    logs = model.fit(X, batch_size=8, shuffle=False, verbose=0).history
    assert (model.judge.shared is not None) == is_shared
    return [numpy(v) - old for v, old in zip(model.trainable_variables, before, strict=True)], logs


@pytest.mark.parametrize("weights", [(20.0, 1.0), (20.0, 0.0), (0.0, 1.0)])
def test_a_step_is_the_same_with_one_network_as_with_two(weights):
    (moved, logs), (expected, others) = trained(True, weights), trained(False, weights)
    for name in logs:
        np.testing.assert_allclose(logs[name], others[name], rtol=1e-3, atol=1e-5, err_msg=name)
    for left, right in zip(moved, expected, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-2, atol=1e-3 * max(np.abs(right).max(), 1e-9))
    assert logs["perceptual"][0] > 0 or weights[0] == 0


@pytest.mark.parametrize("samples", [0.0, 0.5])
def test_a_validation_pass_is_the_same_too(samples):
    found = []
    for is_shared in (True, False):
        keras.utils.set_random_seed(2)
        judge = ProjectedCritic(SHAPE, stages=("stage1", "stage2"), width=4)
        options = {"adversarial": "hinge", "adversarial_samples": samples, "perceptual": ("stem",)}
        model = gamix(judge=judge, perceptual_weight=20.0, critic_weight=1.0, **options)
        if not is_shared:
            model._shared = lambda: None
        model.compile(keras.optimizers.SGD(1e-3))
        found.append(model.evaluate(X, batch_size=8, verbose=0, return_dict=True))
        assert (model.judge.shared is not None) == is_shared
    assert found[0]["adversarial"] != 0.0
    assert found[0] == pytest.approx(found[1], rel=1e-4)
