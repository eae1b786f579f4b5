"""Run directories, and the training sessions that fill them. Importing this package imports no Keras."""

from gamix_keras.runs.directory import Run, new_path, newest_path
from gamix_keras.runs.stage import Stage

__all__ = ["Run", "Stage", "new_path", "newest_path"]
