"""What `fit` is given beside images, and what networks add to the loss."""

import keras
import numpy as np
import pytest
from harness import SHAPE, critic, encoder, gamix, images, numpy, vae
from keras import ops

from gamix_keras.losses import LaplaceNLL
from gamix_keras.models import GAMIXVAE, VAE
from gamix_keras.training import Batch

X, Y = images(8), images(8, seed=1)
WEIGHTS = np.array([0.0, 1.0, 2.0, 0.5, 0.0, 3.0, 1.0, 1.0], "float32")
ONE_BATCH = {"batch_size": 8, "verbose": 0}


def sgd(model, rate=1e-3):
    model.compile(keras.optimizers.SGD(rate))
    return model


def evaluated(model, *arguments, **options):
    return sgd(model).evaluate(*arguments, **ONE_BATCH, **options, return_dict=True)


def by_hand(model, targets):
    """Reconstruction, KL and PSNR of each image, with the noise of a validation pass."""
    mean, log_var, z = (numpy(part).astype("float64") for part in model.posterior(Batch.of(X), False))
    output, shown = (numpy(model.decoder(part.astype("float32"))) for part in (z, mean))
    reconstruction = (np.abs(targets - output) / 0.5 + np.log(2 * 0.5)).sum((1, 2, 3))
    kl = 0.5 * (mean**2 + np.exp(log_var) - 1 - log_var).sum(1)
    psnr = -10 * np.log10(((targets - np.clip(shown, -1, 1)) ** 2).mean((1, 2, 3)) / 4)
    return reconstruction, kl, psnr


def test_images_as_y_are_reconstructed_from_x():
    model = vae()
    reconstruction, kl, psnr = (part.mean() for part in by_hand(model, Y))
    logs = evaluated(model, X, Y)
    expected = {"reconstruction": reconstruction, "elbo": -reconstruction - kl, "psnr": psnr}
    assert {name: logs[name] for name in expected} == pytest.approx(expected, rel=1e-4)


def test_the_critic_s_real_images_are_y():
    model = gamix()
    logits = numpy(model.critic(Y))
    assert evaluated(model, X, Y)["critic_real"] == pytest.approx(np.log1p(np.exp(-logits)).mean(), rel=1e-4)


def test_a_denoising_model_moves_by_the_gradient_towards_y():
    left, right, plain = (sgd(vae()) for _ in range(3))
    left.fit(X, Y, shuffle=False, **ONE_BATCH)
    plain.fit(X, shuffle=False, **ONE_BATCH)
    right.fit(X, X, shuffle=False, **ONE_BATCH)
    assert all(np.array_equal(a, b) for a, b in zip(plain.get_weights(), right.get_weights(), strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(plain.get_weights(), left.get_weights(), strict=True))


def test_weights_multiply_each_image_s_terms_and_metrics_are_means_by_weight():
    model = vae()
    reconstruction, kl, psnr = by_hand(model, X)
    logs = evaluated(model, X, sample_weight=WEIGHTS)
    expected = {"reconstruction": (WEIGHTS * reconstruction).mean(), "kl": (WEIGHTS * kl).mean()}
    expected["loss"] = sum(expected.values())
    expected |= {"elbo": -expected["loss"], "psnr": np.average(psnr, weights=WEIGHTS)}
    assert {name: logs[name] for name in expected} == pytest.approx(expected, rel=1e-4)


def test_without_weight_nothing_is_learned():
    model = sgd(vae(), 0.1)
    before = model.get_weights()
    logs = model.fit(X, sample_weight=np.zeros(8), **ONE_BATCH).history
    assert (logs["loss"], logs["reconstruction"], logs["kl"]) == ([0.0], [0.0], [0.0])
    assert all(np.array_equal(old, new) for old, new in zip(before, model.get_weights(), strict=True))


def test_labels_serve_class_weights_and_nothing_else():
    labels = np.array([0, 1, 0, 1, 1, 0, 0, 1])
    left, right, plain, ignored = (sgd(gamix(r1_weight=1.0)) for _ in range(4))
    left.fit(X, labels, class_weight={0: 2.0, 1: 0.25}, shuffle=False, **ONE_BATCH)
    right.fit(X, sample_weight=np.where(labels, 0.25, 2.0), shuffle=False, **ONE_BATCH)
    plain.fit(X, shuffle=False, **ONE_BATCH)
    ignored.fit(X, labels, shuffle=False, **ONE_BATCH)
    same = lambda a, b: all(np.array_equal(u, v) for u, v in zip(a.get_weights(), b.get_weights(), strict=True))  # noqa: E731
    assert same(left, right) and same(plain, ignored) and not same(left, plain)


def test_what_is_no_batch_of_images_is_refused_in_one_sentence():
    cases = [
        ((X, Y[:, :4]), "y: expected targets of the images' shape"),
        (({"image": X, "label": X},), "images: expected a tensor, got a dict with the keys image, label; map it first"),
        ((np.zeros(X.shape, "uint8"),), "got uint8; convert bytes with gamix_keras.data.to_unit_range"),
        ((X, None, np.ones((8, 3))), "sample_weight: expected one weight per image"),
    ]
    for arguments, message in cases:
        with pytest.raises(ValueError, match=message):
            Batch.of(*arguments)


class Penalty(keras.layers.Layer):
    """Adds the mean square of what passes through."""

    def call(self, values):
        self.add_loss(3.0 * ops.mean(ops.square(values)))
        return values


def regularised_decoder(strength):
    z = keras.Input((4,))
    dense = keras.layers.Dense(8 * 8 * 3, kernel_regularizer=keras.regularizers.L2(strength), kernel_initializer="ones")
    return keras.Model(z, keras.layers.Reshape(SHAPE)(dense(Penalty()(z)))), dense


def test_regularisers_and_added_losses_are_part_of_the_loss_and_its_gradient():
    rate, strength = 1e-3, 50.0
    (free, free_kernel), (held, held_kernel) = regularised_decoder(0.0), regularised_decoder(strength)
    plain, model = (VAE(encoder(), part, LaplaceNLL(0.5), seed=0) for part in (free, held))
    before = numpy(held_kernel.kernel).copy()
    sgd(plain, rate).fit(X, shuffle=False, **ONE_BATCH)
    logs = sgd(model, rate).fit(X, shuffle=False, **ONE_BATCH).history
    assert logs["loss"][0] == pytest.approx(logs["reconstruction"][0] + logs["kl"][0] + logs["regularisation"][0])
    assert logs["regularisation"][0] > strength * (before**2).sum()  # by the penalty
    difference = numpy(held_kernel.kernel) - numpy(free_kernel.kernel)
    np.testing.assert_allclose(difference, -rate * 2 * strength * before, rtol=1e-3, atol=1e-5)
    # In validation: the closed form of both.
    z = numpy(model.posterior(Batch.of(X), False)[2])
    expected = strength * (numpy(held_kernel.kernel) ** 2).sum() + 3.0 * (z**2).mean()
    logs = evaluated(model, X)
    assert logs["regularisation"] == pytest.approx(expected, rel=1e-4)
    assert logs["loss"] == pytest.approx(logs["reconstruction"] + logs["kl"] + expected, rel=1e-4)


def test_a_model_without_regularisers_logs_none():
    model = vae()
    assert "regularisation" not in evaluated(model, X) and "regularisation" not in model.metrics_names


@pytest.mark.parametrize("options", [{}, {"r1_weight": 1.0, "adaptive_weight": True}], ids=["plain", "penalty"])
def test_the_critic_s_regulariser_belongs_to_its_own_phase(options):
    judge = critic()
    judge.layers[1].kernel_regularizer = None
    judge.layers[1].kernel.regularizer = keras.regularizers.L2(7.0)
    plain = gamix()
    model = GAMIXVAE(plain.encoder, plain.decoder, LaplaceNLL(0.5), judge, adversarial_weight=1.0, **options)
    penalty = 7.0 * float((numpy(judge.layers[1].kernel) ** 2).sum())
    logs = sgd(model).fit(X, **ONE_BATCH).history
    own = logs["critic_real"][0] + logs["critic_fake"][0] + (logs["critic_r1"][0] if options else 0.0)
    assert logs["critic_regularisation"][0] == pytest.approx(penalty, rel=1e-4)
    assert logs["critic"][0] == pytest.approx(own + penalty, rel=1e-4)
    assert "regularisation" not in logs
