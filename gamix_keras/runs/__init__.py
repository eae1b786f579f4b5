"""Run directories, and the training sessions that fill them. Importing this package imports no Keras."""

from gamix_keras.runs.directory import LoadedRun, Run, Stage, load_run, new_path, newest_path

__all__ = ["LoadedRun", "Run", "Stage", "load_run", "new_path", "newest_path"]
