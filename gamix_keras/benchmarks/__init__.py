"""Measurements: ``python -m gamix_keras.benchmarks.NAME``."""
