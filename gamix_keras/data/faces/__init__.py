"""The drawn faces: sampled from known factors, rendered with NumPy, never downloaded."""

from gamix_keras.data.faces.factors import sample_factors
from gamix_keras.data.faces.render import faces, render

__all__ = ["faces", "render", "sample_factors"]
