"""The training step, written once per backend; it knows no loss and no network."""

from gamix_keras.training.batch import Batch
from gamix_keras.training.model import PhasedModel
from gamix_keras.training.optimizer import PhaseOptimizer
from gamix_keras.training.phase import Phase, Terms
from gamix_keras.training.trackers import OptionalMean

__all__ = ["Batch", "OptionalMean", "Phase", "PhaseOptimizer", "PhasedModel", "Terms"]
