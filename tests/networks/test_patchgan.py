import keras
import numpy as np
import pytest
from network_checks import fill, numbers, outputs

from gamix_keras.layers.normalisation import ScaleShift
from gamix_keras.networks import PatchGANCritic

SMALL = {"image_shape": (32, 32, 3), "widths": (8, 8, 8)}


@pytest.mark.backend_free
def test_published_parameter_counts():
    critic = PatchGANCritic((256, 256, 3), paper=True)
    assert critic.count_params() == 412_101
    assert sum(int(np.prod(v.shape)) for v in critic.non_trainable_variables) == 1_026
    assert critic.output_shape == (None, 32, 32, 1)


@pytest.mark.backend_free
def test_default_parameter_counts():
    assert PatchGANCritic((64, 64, 3)).count_params() == 642_881
    assert PatchGANCritic((64, 64, 3), (32, 64, 128), kernel_size=4).count_params() == 168_033


@pytest.mark.backend_free
def test_nothing_after_the_last_convolution_unless_published():
    assert isinstance(PatchGANCritic(**SMALL).layers[-1], keras.layers.Conv2D)
    assert isinstance(PatchGANCritic(**SMALL, paper=True).layers[-1], ScaleShift)


@pytest.mark.backend_free
def test_first_convolution_sees_the_pixels_as_they_are():
    names = [layer.name for layer in PatchGANCritic(**SMALL).layers]
    assert "blur0" not in names and {"blur1", "blur2"} <= set(names)


def test_filters_make_the_mean_logit_steadier_under_a_shift():
    def unsteadiness(antialias):
        critic = PatchGANCritic(**SMALL, norm="none", antialias=antialias)
        fill(critic)
        image = numbers((8, 40, 40, 3))
        shifted = [outputs(critic, image[:, i : i + 32, 4:36])[0] for i in range(8)]
        means = np.array([logits[:, 1:-1, 1:-1].mean((1, 2, 3)) for logits in shifted])
        return means.std(0).mean() / np.std(shifted)

    assert unsteadiness(True) < 0.8 * unsteadiness(False)


def test_spectral_norm_holds_after_a_step_of_fit():
    critic = PatchGANCritic(**SMALL, norm="none", spectral_norm=True)
    critic.compile(keras.optimizers.Adam(1e-2), loss="mse")
    critic.fit(numbers((8, 32, 32, 3)), numbers((8, 4, 4, 1)), batch_size=4, epochs=20, verbose=0)
    for layer in critic.layers:
        if isinstance(layer, keras.layers.Conv2D):
            kernel = keras.ops.convert_to_numpy(layer.kernel)
            largest = np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]), compute_uv=False)[0]
            assert largest == pytest.approx(1.0, abs=0.03)


def _gradient_penalty(critic, images):
    """R1 = mean over images of |d sum(logits) / d image|^2, and its gradient by the first kernel."""
    kernel = critic.trainable_variables[0]
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as outer:
            x = tf.constant(images)
            with tf.GradientTape() as inner:
                inner.watch(x)
                total = tf.reduce_sum(critic(x, training=True))
            penalty = tf.reduce_mean(tf.reduce_sum(inner.gradient(total, x) ** 2, (1, 2, 3)))
        return float(penalty), outer.gradient(penalty, kernel.value).numpy()
    if keras.config.backend() == "torch":
        import torch

        x = torch.tensor(images, requires_grad=True)
        (slope,) = torch.autograd.grad(critic(x, training=True).sum(), x, create_graph=True)
        penalty = (slope**2).sum((1, 2, 3)).mean()
        return penalty.item(), torch.autograd.grad(penalty, kernel.value)[0].numpy()
    import jax

    def penalty(first, others):
        def total(x):
            state = [v.value for v in critic.non_trainable_variables]
            return critic.stateless_call([first, *others], state, x, training=True)[0].sum()

        return (jax.grad(total)(images) ** 2).sum((1, 2, 3)).mean()

    value, slope = jax.jit(jax.value_and_grad(penalty))(kernel.value, [v.value for v in critic.trainable_variables[1:]])
    return float(value), np.asarray(slope)


@pytest.mark.parametrize("paper", [False, True])
def test_gradient_penalty_has_a_gradient(paper):
    critic = PatchGANCritic((16, 16, 1), (4, 4), (2, 2), paper=paper)
    fill(critic)
    images, kernel = numbers((3, 16, 16, 1)), critic.trainable_variables[0]
    penalty, slope = _gradient_penalty(critic, images)
    direction = slope / np.linalg.norm(slope)
    start = keras.ops.convert_to_numpy(kernel) + 0.0
    kernel.assign(start + 1e-3 * direction)
    moved, _ = _gradient_penalty(critic, images)
    assert penalty > 0
    assert (moved - penalty) / 1e-3 == pytest.approx(np.linalg.norm(slope), rel=0.03)


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_shape": (36, 32, 3)}, "image_shape: expected .* divisible by .* = 8, got 36x32"),
        ({"strides": (2, 2)}, "strides: expected a 1 or 2 for each of 3 widths, got \\[2, 2\\]"),
        ({"strides": (2, 2, 3)}, "strides: expected a 1 or 2"),
        ({"widths": (8, 0, 8)}, "widths\\[1\\]: expected a positive integer, got 0"),
        ({"norm": "batch"}, "norm: expected one of group, none, got 'batch'"),
    ],
)
def test_errors_name_the_argument(arguments, message):
    with pytest.raises(ValueError, match=message):
        PatchGANCritic(**{**SMALL, **arguments})


def test_published_form_can_judge_one_image():
    assert outputs(PatchGANCritic(**SMALL, paper=True), numbers((1, 32, 32, 3)))[0].shape == (1, 4, 4, 1)
