"""What evaluation asks of a trained model, one function per question; images pass by in batches.

`networks` are a VAE's, compiled; images are float32 (N, H, W, C) in [-1, 1], results are plain
values ready for JSON.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from gamix_keras import data, latent_space, metrics
from gamix_keras.config import UserError
from gamix_keras.metrics.diagnosis import Finding, collapsed_dimensions, diagnose
from gamix_keras.metrics.importance import importance_bound, log_weights
from gamix_keras.metrics.latent_statistics import LatentStatistics
from gamix_keras.metrics.smoothness import path_smoothness
from gamix_keras.models.compiled import CompiledVAE
from gamix_keras.runs import measured
from gamix_keras.samplers import Sampler

NEIGHBOURS = 5  # of the nearest-neighbour scores (Naeem et al. 2020)

_BATCH = 64
# A sampler is reported as better if its distance is at most this share of the prior's; the threshold is ours.
_BETTER_SHARE = 0.9
SHARES = metrics.ManifoldScores._fields
TRAINED_ON = "trained on these features"
NO_NEIGHBOURS = (
    "precision, recall, density and coverage were not computed: they need "
    f"{metrics.IMAGES_PER_NEIGHBOUR * NEIGHBOURS} different images or more on either side"
)


def read(source: data.Source) -> Iterator[np.ndarray]:
    """Yield batches of the images of a source, in its order, the last one smaller."""
    reader = data.BatchReader(source, _BATCH, training=False, cache="none")
    return (data.to_unit_range(reader.batch(0, step)) for step in range(reader.steps))


def generated(networks: CompiledVAE, sampler: Sampler, count: int, seed: int) -> Iterator[np.ndarray]:
    """Yield batches of new images; more of them begin with fewer."""
    seeds = np.random.SeedSequence([seed, 1]).generate_state(-(-count // _BATCH))
    for start, own_seed in zip(range(0, count, _BATCH), seeds, strict=True):
        # Always a whole batch, so that nothing is compiled for the last one.
        yield networks.decode(sampler.sample(_BATCH, seed=int(own_seed)))[: count - start]


class OnePass:
    """One pass of a source through encoder and decoder: iterate over it, once, for the batches of reconstructions.

    Args:
        networks: Of the model.
        source: Of the images.
        seed: Of what `statistics` keeps.
        maps: From images to maps of a network, on which reconstructions are compared with their images too.

    Attributes:
        statistics: Statistics of the posteriors seen so far.

    Raises:
        UserError: If a posterior is not finite.
    """

    def __init__(
        self,
        networks: CompiledVAE,
        source: data.Source,
        seed: int = 0,
        maps: Callable[[np.ndarray], list[np.ndarray]] | None = None,
    ) -> None:
        self.networks, self.source, self.maps = networks, source, maps
        self.statistics = LatentStatistics(networks.latent_dim, seed=seed)
        self._scores: list[dict[str, np.ndarray]] = []

    def __iter__(self) -> Iterator[np.ndarray]:
        for images in read(self.source):
            mean, log_var = self.networks.encode(images)
            broken = diagnose({"posterior mean": mean, "posterior log-variance": log_var})
            if broken:
                raise UserError(f"RUN: expected a model of finite numbers, got {broken[0].message}; {broken[0].advice}")
            self.statistics.update(mean, log_var)
            decoded = self.networks.decode(mean)
            scores = metrics.reconstruction_scores(images, decoded)
            if self.maps is not None:
                scores["map_distance"] = metrics.map_distance(self.maps(images), self.maps(decoded))
            self._scores.append(scores)
            yield decoded

    def scores(self) -> dict[str, np.ndarray]:
        """Each measure of `metrics.reconstruction_scores`, and `map_distance`, for every image seen so far, (N,)."""
        return {name: np.concatenate([part[name] for part in self._scores]) for name in self._scores[0]}


def reconstruction(scores: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return the mean of each measure over images, and what 5, 50 and 95 percent of the images stay below."""
    levels = {"low": 0.05, "median": 0.5, "high": 0.95}
    spread = {n: {k: float(np.quantile(v, level)) for k, level in levels.items()} for n, v in scores.items()}
    return {**{name: float(values.mean(dtype="float64")) for name, values in scores.items()}, "quantiles": spread}


def latents(statistics: LatentStatistics) -> dict[str, Any]:
    """All of `LatentStatistics`, with the KL of the real mixture by ELBO surgery: mean KL less the information.

    The information is never overestimated on average, so that KL is never underestimated (Hoffman & Johnson 2016).
    """
    summary = {"latent_dim": statistics.latent_dim, **statistics.summary()}
    summary["aggregate_kl"]["mixture"] = summary["kl"] - summary["mutual_information"]["value"]
    return summary


def log_likelihood(networks: CompiledVAE, images: np.ndarray, draws: int, seed: int) -> dict[str, Any] | None:
    """Importance-weighted bound on log p(x), without the critic; see `importance_bound`.

    It is None if the likelihood's scale is `optimal`, which is fitted to the images whose density it would be.
    """
    model = networks.model
    if model.likelihood.scale == "optimal":
        return None
    target = keras.ops.convert_to_tensor(images)

    def of_latents(z: np.ndarray) -> np.ndarray:
        output = keras.ops.convert_to_tensor(networks.decode_parameters(z))
        output = output if model.log_scale is None else (output, model.log_scale(output))
        return -keras.ops.convert_to_numpy(model.likelihood.call(target, output))

    weights = log_weights(*networks.encode(images), of_latents, draws, seed)
    return importance_bound(weights)._asdict()


def smoothness(
    networks: CompiledVAE, images: np.ndarray, steps: int, extractor: metrics.FeatureExtractor
) -> dict[str, Any]:
    """Straight walks from the codes of the first half of the images to those of the second; see `path_smoothness`."""
    pairs = zip(*np.split(images, 2), strict=True)
    walks = [latent_space.interpolate(networks, first, last, steps + 1) for first, last in pairs]
    return path_smoothness(extractor(np.concatenate(walks)).reshape(len(walks), steps + 1, -1))._asdict()


def generation(
    extractor: metrics.FeatureExtractor, real: metrics.FeatureStatistics, made: metrics.FeatureStatistics, seed: int
) -> dict[str, Any]:
    """Measure the distances of generated images from real ones, and nearest-neighbour scores.

    Only the features of `inception` make the distances `FID` and `KID`; others name their extractor.
    """
    scores = metrics.generation_scores(extractor, real, made, NEIGHBOURS, seed=seed)["scores"]
    frechet, kernel = scores.pop(extractor.frechet_name), scores.pop(extractor.kernel_name)
    published = extractor.name == "inception"
    names = ("FID", "KID") if published else (f"FD-{extractor.label}", f"KD-{extractor.label}")
    interval = [kernel.pop("low"), kernel.pop("high")] if kernel else None
    return {
        "frechet": {"name": names[0], "value": frechet},
        "kid": {"name": names[1], "value": None, "interval": interval, **(kernel or {})},
        **scores,
        **({} if made.face_share is None else {"face_share": made.face_share}),
    }


def findings(statistics: LatentStatistics, row: dict[str, float], objective: str | None = None) -> list[Finding]:
    """Diagnose the latents, and the critic by the last row of the training's history; see `metrics.diagnose`."""
    critic = {name: row.get(f"val_{name}", row.get(name)) for name in ("critic_real", "critic_fake")}
    kl = statistics.kl_per_dimension()
    squares = statistics.mean_variance() + statistics.means.mean**2
    seen = {
        "latent_dim": statistics.latent_dim,
        "active_units": statistics.active_units(),
        "kl_per_dimension": kl,
        "posterior_variance": statistics.posterior_variance(),
        "collapsed_dimensions": collapsed_dimensions(*statistics.kept()),
        "variance": float((2.0 * kl - squares).sum()),  # sum of sigma^2 - 1 - log sigma^2
    }
    seen |= {name: value for name, value in critic.items() if value is not None}
    return diagnose(seen, objective=objective)


def prior_mismatch(samplers: dict[str, Any], aggregate_kl: float) -> list[Finding]:
    """Return a finding if the prior samples worse than a sampler that is fitted to q(z)."""
    distances = {name: entry["frechet"]["value"] for name, entry in samplers.items()}
    best = min(distances, key=distances.get)
    if "prior" not in distances or distances[best] > _BETTER_SHARE * distances["prior"]:
        return []
    label = samplers[best]["frechet"]["name"]
    message = (
        f"sampling N(0, I) gives {label} {distances['prior']:.4g}, the sampler {best} {distances[best]:.4g}: q(z) is "
        f"not the prior (KL by total moments {aggregate_kl:.3g} nats)"
    )
    return [Finding("prior-mismatch", message, f"draw from the sampler {best}; the model itself need not change.")]


def score_tables(result: dict[str, Any]) -> list[list[list[str]]]:
    """Return the table of each extractor, see `score_rows`, that of the deciding one first."""
    return [score_rows(scores) for scores in measured.by_extractor(result).values()]


def score_rows(scores: measured.Scores) -> list[list[str]]:
    """Return distances and scores of real images, reconstructions and each sampler as text, below a row of names.

    Args:
        scores: Of one extractor, see `measured.by_extractor`.
    """
    # Older evaluations have no row of real images.
    floor = {"real images": scores["real"]} if scores["real"] else {}
    rows = {**floor, "reconstruction": scores["reconstruction"], **scores["samplers"]}
    first = scores["reconstruction"]
    names = first["frechet"]["name"], f"{first['kid']['name']} x 1000"
    mark = TRAINED_ON if measured.is_trained_on(scores) else ""
    faces = [name for name in ("face_share",) if name in first]
    head = [mark, *names, "95 %", *SHARES, *(name.replace("_", " ") for name in faces)]
    return [head, *([name, *_as_text(values, [*SHARES, *faces])] for name, values in rows.items())]


def _as_text(scores: dict[str, Any], names: Sequence[str]) -> list[str]:
    kernel = scores["kid"]
    interval = "-" if kernel["interval"] is None else " to ".join(f"{1000 * end:.1f}" for end in kernel["interval"])
    value = "-" if kernel["value"] is None else f"{1000 * kernel['value']:.1f}"
    shares = ["-" if scores[name] is None else f"{scores[name]:.3f}" for name in names]
    return [rounded(scores["frechet"]["value"]), value, interval, *shares]


def rounded(distance: float) -> str:
    """Return three digits of a distance: more would be noise."""
    return f"{distance:.{max(0, 2 - math.floor(math.log10(max(distance, 0.1))))}f}"
