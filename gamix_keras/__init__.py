"""Image VAEs in Keras 3 on TensorFlow, JAX and PyTorch.

Public names load on first use, so `import gamix_keras` imports neither Keras nor a backend. It has an effect on later
imports: files of models load by `keras.saving.load_model` alone, see `hooks.registration`, and TensorFlow does not log
what it is and has, see `hooks.startup_lines`.
"""

from importlib import import_module
from typing import Any

from gamix_keras.hooks import registration, startup_lines

__version__ = "0.1.0"

_PUBLIC = {
    "AdversarialLoss": "losses",
    "Config": "config",
    "GAMIXVAE": "models",
    "GaussianNLL": "losses",
    "LaplaceNLL": "losses",
    "MomentKL": "losses",
    "PosteriorVariance": "losses",
    "Run": "runs",
    "SampleGrid": "callbacks",
    "SecondStageVAE": "models",
    "StandardKL": "losses",
    "TrainedModel": "loading",
    "TwoStageVAE": "models",
    "UserError": "config",
    "VAE": "models",
    "batches": "data",
    "fit_sampler": "samplers",
    "interpolate": "latent_space",
    "load": "loading",
    "load_image": "data",
    "load_preset": "config.presets",
    "open_source": "data",
    "preset_names": "config.presets",
    "shipped_names": "loading",
    "show": "plots",
    "train": "runs.session",
    "traverse": "latent_space",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})


registration.register()
startup_lines.silence()
