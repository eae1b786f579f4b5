"""Which extractors judge a model: the face detector joins if it can and is needed."""

import dataclasses

import numpy as np
import pytest

from gamix_keras import data, metrics
from gamix_keras.config import Config
from gamix_keras.config.protocol import trained_extractors
from gamix_keras.evaluation import floor, judges, measures
from gamix_keras.runs import measured

pytestmark = pytest.mark.backend_free


def toy(name, share=None):
    """An extractor of 3 features; with a share, one that finds faces in so many of 100 images."""
    is_face = None if share is None else lambda rows: np.arange(len(rows)) < share * len(rows)
    network = lambda pixels: pixels.mean(axis=(1, 2)) / 255.0  # noqa: E731
    return metrics.FeatureExtractor(name, name, network, 3, "none", "none", is_face=is_face)


@pytest.fixture
def panel(monkeypatch):
    """The names of the extractors that judge 100 drawn faces."""

    def call(asked=None, trained_on=(), size=64, share=0.7, installed=True):
        monkeypatch.setattr(judges.metrics, "feature_extractor", lambda name, batch_size: toy(name, share))
        monkeypatch.setattr(judges.onet, "is_installed", lambda: installed)
        held_out = data.open_source("faces", image_size=size, count=100)
        statistics = lambda tool, source: metrics.extract_statistics(tool, measures.read(source))  # noqa: E731
        extractors = [toy(name) for name in judges.names_of(asked)]
        chosen = judges.with_face_detector(asked, extractors, held_out, frozenset(trained_on), statistics)
        found = judges.judge(chosen, held_out, None, frozenset(trained_on), statistics, seed=0)
        return [judge.extractor.name for judge in found]

    return call


def test_the_default_is_efficientnet_and_for_faces_the_detector(panel):
    assert panel() == ["efficientnet_lite0", "onet"]
    assert panel(share=0.4) == ["efficientnet_lite0"]
    assert panel(size=32) == ["efficientnet_lite0"]
    assert panel(installed=False) == ["efficientnet_lite0"]


def test_who_names_extractors_gets_them_alone_unless_the_model_was_trained_on_all(panel):
    assert panel(asked="efficientnet_lite0") == ["efficientnet_lite0"]
    assert panel(asked=["a", "b"]) == ["a", "b"]
    assert panel(asked=("a", "b"), trained_on=["a"]) == ["b", "a"]
    assert panel(asked="a", trained_on=["a"]) == ["onet", "a"]
    assert panel(asked="a", trained_on=["a"], share=0.4) == ["a"]
    assert panel(asked="onet", trained_on=["onet"]) == ["onet"]


def test_a_model_is_trained_on_features_if_a_term_or_the_critic_reads_them():
    config = Config()
    assert trained_extractors(config) == frozenset()
    perceptual = {"loss.perceptual_weight": 0.2}
    assert trained_extractors(config.updated(perceptual)) == {"efficientnet_lite0"}
    projected = config.updated({"model.critic_network": "projected"})
    assert trained_extractors(projected) == {"efficientnet_lite0"}
    without = dataclasses.replace(projected, model=dataclasses.replace(projected.model, critic=False))
    assert trained_extractors(without) == frozenset()
    # The default of model.critic is true, but a VAE has none.
    assert trained_extractors(projected.updated({"model.name": "vae"})) == frozenset()


def test_older_evaluations_have_one_extractor():
    scores = {"frechet": {"name": "FD-x", "value": 1.0}}
    old = {"reconstruction": scores, "samplers": {"prior": scores}, "protocol": {"extractor": "x"}}
    (found,) = measured.by_extractor(old).items()
    assert found == ("x", {**old, "real": None})
    assert measured.face_shares(found[1]) == {} and not measured.is_trained_on(found[1])


def test_the_share_of_faces_is_that_of_the_held_out_images_and_of_each_set():
    tool = toy("onet", 0.7)
    real = metrics.extract_statistics(tool, [np.random.default_rng(0).integers(0, 255, (50, 4, 4, 3), np.uint8)])
    assert floor.real_scores(tool, real, None, None, 0)["face_share"] == pytest.approx(0.7)
    assert measures.generation(tool, real, real, 0)["face_share"] == pytest.approx(0.7)
