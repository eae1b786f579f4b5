"""Silence for exporters, whose announcements and warnings are not for the user."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_LOGGERS = ("tensorflow", "tf2onnx", "absl", "onnxruntime")


@contextmanager
def quiet() -> Iterator[None]:
    """Hide warnings and log messages below errors."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
