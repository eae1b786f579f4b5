"""Measures of reconstructions, generated images and latent codes."""

from gamix_keras.metrics.aggregate import (
    Discrepancy,
    MutualInformation,
    maximum_mean_discrepancy,
    mutual_information,
    prior_discrepancy,
)
from gamix_keras.metrics.diagnosis import Finding, Thresholds, collapsed_dimensions, diagnose
from gamix_keras.metrics.extractors import EXTRACTORS, feature_extractor
from gamix_keras.metrics.feature_statistics import (
    IMAGES_PER_NEIGHBOUR,
    FeatureStatistics,
    cached_statistics,
    content_hash,
    extract_by_each,
    extract_statistics,
    generation_scores,
)
from gamix_keras.metrics.features import FeatureExtractor, to_pixels
from gamix_keras.metrics.generation import (
    KernelDistance,
    ManifoldScores,
    frechet_distance,
    frechet_distance_of,
    kernel_distance,
    polynomial_mmd,
    precision_recall_density_coverage,
)
from gamix_keras.metrics.images import (
    RECONSTRUCTION_MEASURES,
    PeakSignalToNoise,
    mean_absolute_error,
    mean_squared_error,
    multiscale_structural_similarity,
    peak_signal_to_noise,
    reconstruction_scores,
    similarity_scales,
    structural_similarity,
)
from gamix_keras.metrics.latent import ActiveUnits
from gamix_keras.metrics.latent_statistics import Correlation, LatentStatistics, effective_rank
from gamix_keras.metrics.map_distance import map_distance
from gamix_keras.metrics.moments import FeatureMoments, UniformSubset
from gamix_keras.metrics.sharpness import laplacian_power
from gamix_keras.metrics.stripes import nyquist_ratio

__all__ = [
    "EXTRACTORS",
    "IMAGES_PER_NEIGHBOUR",
    "RECONSTRUCTION_MEASURES",
    "ActiveUnits",
    "Correlation",
    "Discrepancy",
    "FeatureExtractor",
    "FeatureMoments",
    "FeatureStatistics",
    "Finding",
    "KernelDistance",
    "LatentStatistics",
    "ManifoldScores",
    "MutualInformation",
    "PeakSignalToNoise",
    "Thresholds",
    "UniformSubset",
    "cached_statistics",
    "collapsed_dimensions",
    "content_hash",
    "diagnose",
    "effective_rank",
    "extract_by_each",
    "extract_statistics",
    "feature_extractor",
    "frechet_distance",
    "frechet_distance_of",
    "generation_scores",
    "kernel_distance",
    "laplacian_power",
    "map_distance",
    "maximum_mean_discrepancy",
    "mean_absolute_error",
    "mean_squared_error",
    "multiscale_structural_similarity",
    "mutual_information",
    "nyquist_ratio",
    "peak_signal_to_noise",
    "polynomial_mmd",
    "precision_recall_density_coverage",
    "prior_discrepancy",
    "reconstruction_scores",
    "similarity_scales",
    "structural_similarity",
    "to_pixels",
]
