"""Files that name this package's classes load by Keras alone, although their modules are imported on first use.

Keras finds a custom class by its registered name, which importing the class's module enters into Keras's table. After
`import gamix_keras` alone that has not happened yet. So each name is entered, once Keras is there, with a stand-in that
imports the room of its class when a file asks for it.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

CLASSES = {
    "layers": (
        "AddPositions",
        "AggregateDraws",
        "AggregateMoments",
        "AverageDistance",
        "BatchNormalization",
        "BlurResample2D",
        "Conv2D",
        "Conv2DTranspose",
        "Dense",
        "DepthToSpace",
        "DifferentiableAugmentation",
        "EinsumDense",
        "EqualPhases",
        "GaussianSampling",
        "GroupNormalization",
        "LayerNormalization",
        "LeakyReLU",
        "LearnedLogScale",
        "MovingAverage",
        "NoAlternation",
        "NonAlternating",
        "PhaseAligned",
        "PlaneNormalization",
        "PreActivatedConv",
        "PrependToken",
        "RandomProjection",
        "ResidualBlock",
        "RunningBalance",
        "ScaleShift",
        "SelfAttention",
        "SpectralNorm",
        "TransformerBlock",
    ),
    "losses": (
        "AdversarialLoss",
        "BernoulliNLL",
        "DiscretisedLogisticNLL",
        "GaussianNLL",
        "LaplaceNLL",
        "MixtureKL",
        "MomentKL",
        "PerceptualLoss",
        "PosteriorVariance",
        "StandardKL",
    ),
    "metrics": (
        "ActiveUnits",
        "PeakSignalToNoise",
    ),
    "models": (
        "GAMIXVAE",
        "SecondStageVAE",
        "TwoStageVAE",
        "VAE",
    ),
    "networks": (
        "ConvDecoder",
        "ConvEncoder",
        "InfoGANDecoder",
        "InfoGANEncoder",
        "MLPDecoder",
        "MLPEncoder",
        "PatchGANCritic",
        "ProjectedCritic",
        "ResNetDecoder",
        "ResNetEncoder",
        "SecondStageDecoder",
        "SecondStageEncoder",
        "TransformerDecoder",
        "TransformerEncoder",
        "WAEDecoder",
        "WAEEncoder",
    ),
    "samplers": (
        "FullGaussianSampler",
        "MixtureSampler",
        "PriorSampler",
        "SecondStageSampler",
    ),
    "training": ("PhaseOptimizer",),
}


class Deferred:
    """Stands in for a class whose module has not been imported.

    Args:
        room: Package of `gamix_keras` that registers the class.
        name: Registered name, such as `gamix_keras>VAE`.
    """

    def __init__(self, room: str, name: str) -> None:
        self.room = room
        self.name = name

    def from_config(self, config: dict[str, Any]) -> Any:
        """Import the room, which enters the class itself, and build an object of it."""
        import keras

        import_module(f"gamix_keras.{self.room}")
        # Not by `get_registered_object`: while a file is loaded, it looks into a copy of the table first.
        return keras.saving.get_custom_objects()[self.name].from_config(config)


def register() -> None:
    """Enter the stand-ins now if Keras is imported, else as soon as it is; importing Keras is left to the user."""
    if "keras" in sys.modules:
        _enter()
    elif not any(isinstance(finder, _KerasFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _KerasFinder())


def _enter() -> None:
    table = sys.modules["keras"].saving.get_custom_objects()
    for room, names in CLASSES.items():
        for name in names:
            table.setdefault(f"gamix_keras>{name}", Deferred(room, f"gamix_keras>{name}"))


class _KerasFinder:
    """Finds Keras as usual, once, and enters the stand-ins after its import.

    It is a `MetaPathFinder` but for the base class, whose module takes longer to import than this package.
    """

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a spec for Keras, None for every other module."""
        if name != "keras":
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            _enter()

        spec.loader.exec_module = exec_module
        return spec
