"""The collapse monitor: planted cases reported in words, healthy models left in peace."""

import types
import warnings

import keras
import numpy as np
import pytest
from harness import compiled, gamix, images, numpy, vae

from gamix_keras.callbacks.collapse import CollapseMonitor
from gamix_keras.networks import ProjectedCritic

X = images(64)


def reports_of(function, *args, **kwargs):
    """What monitors warned of while a function ran."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function(*args, **kwargs)
    return [text for text in (str(w.message) for w in caught) if text.startswith("CollapseMonitor")]


def fit(model, *monitors, batch_size=32):
    model.fit(X, batch_size=batch_size, epochs=30, callbacks=list(monitors), verbose=0)


def examined(model, monitor):
    """The kinds that a monitor finds in a model that is not trained."""
    monitor.set_model(model)
    monitor.on_train_begin()
    monitor.on_epoch_end(0, model.evaluate(X, verbose=0, return_dict=True))
    return [finding.kind for finding in monitor.findings]


def test_collapsed_vae():
    by_logs, by_images = CollapseMonitor(patience=5), CollapseMonitor(X[:32], patience=5)
    reports = reports_of(fit, compiled(vae(beta=300.0), 1e-2), by_logs, by_images)
    assert len(reports) == 2
    for report in reports:
        assert "collapsed since epoch " in report and "(collapsed below 0.01)" in report and "lower loss.beta" in report
    assert by_images.latents.dimension_kinds()["superfluous"] == 4


def test_healthy_vae_and_one_whose_latents_are_half_dead():
    model, monitor = compiled(vae(), 1e-2), CollapseMonitor(X)
    assert reports_of(fit, model, monitor) == [] and monitor.findings == []
    for head in ("mean", "log_var"):
        for weight in model.encoder.get_layer(head).trainable_variables:
            weight.assign(numpy(weight) * np.array([1.0, 0.0, 1.0, 0.0], "float32"))
    for watch in (CollapseMonitor(X), CollapseMonitor()):
        assert examined(model, watch) == ["half-dead"]


@pytest.mark.parametrize(("weight", "expected"), [(0.0, ["sigma-collapsed"]), (0.1, [])])
def test_sigma_of_gamix_stays_collapsed_without_the_variance_term(weight, expected):
    """Both start from posteriors that are almost points; the variance term opens them again."""
    model = compiled(gamix(with_critic=False, variance_weight=weight), 3e-2)
    model.encoder.get_layer("log_var").bias.assign(np.full(4, -12.0, "float32"))
    by_logs, by_images = CollapseMonitor(), CollapseMonitor(X)
    reports = reports_of(fit, model, by_logs, by_images, batch_size=16)
    for watch in (by_logs, by_images):
        assert [finding.kind for finding in watch.findings] == expected
    assert len(reports) == 2
    assert all("sigma-collapsed since epoch 1 (step 4), seen after epoch 3" in report for report in reports)


def test_critic_that_wins_every_time():
    model, monitor = gamix(adversarial_weight=0.0), CollapseMonitor(patience=5)
    model.compile(keras.optimizers.Adam(1e-5), critic_optimizer=keras.optimizers.Adam(3e-2))
    (report,) = reports_of(fit, model, monitor)
    assert report.startswith("CollapseMonitor: critic-overpowering since epoch ")


def test_a_critic_that_waits_for_its_start_overpowers_nobody():
    judge = ProjectedCritic((8, 8, 3), stages=("stem",), width=4)
    model, monitor = gamix(judge=judge, adversarial="hinge", critic_weight=0.0), CollapseMonitor(patience=1)
    assert not reports_of(fit, compiled(model), monitor)
    assert float(model.history.history["critic_real"][-1]) == 0.0


def test_what_is_not_finite_is_reported_at_once_and_may_stop_training():
    model, monitor = compiled(vae()), CollapseMonitor(X, stop=True)
    model.decoder.trainable_variables[0].assign(model.decoder.trainable_variables[0] * np.nan)
    (report,) = reports_of(fit, model, monitor)
    assert "non-finite since epoch 1 (step 2)" in report and "reconstruction" in report
    assert model.steps_done == 2


@pytest.mark.backend_free
def test_patience_a_late_start_and_one_report_per_trouble():
    monitor = CollapseMonitor(patience=2, start=1)
    monitor.set_model(types.SimpleNamespace(latent_dim=4, steps_done=7, term_weights={}))
    monitor.on_train_begin()
    active = [0, 0, 4, 0, 0, 0, 4, 0]
    reports = [len(reports_of(monitor.on_epoch_end, e, {"val_active_units": n})) for e, n in enumerate(active)]
    assert reports == [0, 0, 0, 0, 1, 0, 0, 0]
    with pytest.raises(ValueError, match="patience >= 1 and start >= 0, got 0 and 0"):
        CollapseMonitor(patience=0)
