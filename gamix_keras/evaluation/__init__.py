"""How good a model is and why: the measurements of a run, and the page that shows them."""

from gamix_keras.config.protocol import DEFAULT_COUNT, DEFAULT_EXTRACTOR, DEFAULT_SAMPLERS, FEWEST_IMAGES
from gamix_keras.evaluation import judges
from gamix_keras.evaluation.evaluator import Settings, cache_folder, evaluate, evaluate_model

__all__ = [
    "DEFAULT_COUNT",
    "DEFAULT_EXTRACTOR",
    "DEFAULT_SAMPLERS",
    "FEWEST_IMAGES",
    "Settings",
    "cache_folder",
    "evaluate",
    "evaluate_model",
    "judges",
]
