"""One self-contained page on a run: what was trained, how it went, how good it is, and what is wrong with it.

What `gamix-keras evaluate` measured is taken from `RUN/evaluation.json` and `RUN/evaluation/`; without it the
page has the curves and the pictures only.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from gamix_keras import assembly, data, files, latent_space, plots
from gamix_keras.config import UserError
from gamix_keras.evaluation import floor, html, measures
from gamix_keras.runs import Run, measured, sampling
from gamix_keras.samplers import Sampler, principal_axes

_LOOKED_AT = 64  # held-out images behind the axes, if no Gaussian is fitted
_ROWS, _WALKS = 6, 4
_COLUMNS, _STEPS = 7, 5  # as many tiles as the page is wide, both ends of a walk included
_DEVIATIONS = (-3.0, -1.5, 0.0, 1.5, 3.0)  # of q(z) along an axis
_NOT_A_TERM = ("epoch", "seconds", "cpu_seconds")
_TERMS = {
    "loss": "what is minimised",
    "reconstruction": "-log p(x|z)",
    "kl": "KL(q(z|x) || N(0, I))",
    "elbo": "lower bound on log p(x), higher is better",
    "psnr": "dB, higher is better",
    "active_units": "latents whose mean moves from image to image",
    "global": "KL of the moments of q(z) to N(0, I)",
    "variance": "keeps sigma away from 0",
    "adversarial": "how well the critic tells reconstructions from images, per patch",
    "critic": "the critic's loss per patch, real and fake together",
    "critic_real": "the critic's loss per patch on images",
    "critic_fake": "the critic's loss per patch on reconstructions",
}
_PROTOCOL_TEXT = (
    "Numbers compare only under the same protocol. Distances on features other than those of the 2015 Inception graph "
    "are not FIDs, whatever their size."
)


def write_report(run: Run) -> Path:
    """Write `RUN/report.html` and return its path; to another directory than RUN if `Run.beside` named one.

    Raises:
        UserError: If the run has no checkpoint yet, its evaluation cannot be read, or the directory not be written to.
    """
    run.require_writable()
    model, result = run.load_model(), run.evaluation()
    with model.averaged():
        pictures = list(_pictures(run, model))
    parts = [
        html.paragraph(_what(run, model)),
        html.section("Diagnosis", *_diagnosis(run, result)),
        *_samplers(run, result),
        *pictures,
        *_latents(result),
        _curves(run),
        *_protocol(result),
        html.folded("Configuration", json.dumps(run.config.to_dict(), indent=2)),
    ]
    path = run.derived / "report.html"
    files.write_text(path, html.page(f"Run {run.path.resolve().name}", parts))
    return path


def _what(run: Run, model: keras.Model) -> str:
    config, (epoch, _) = run.config, run.checkpoint()
    height, width, channels = model.image_shape
    return (
        f"{type(model).__name__} with {config.model.network} networks and {model.latent_dim} latents, trained on "
        f"{config.data.source} at {height} x {width} x {channels} for {epoch} epochs"
        + (f" (recipe {run.preset})." if run.preset else ".")
    )


def _diagnosis(run: Run, result: dict[str, Any] | None) -> Iterator[str]:
    if result is None:
        yield html.finding("Not evaluated yet.", f"`gamix-keras evaluate {run.path}` measures the model.")
        return
    evaluated, newest = result["protocol"]["checkpoint_epoch"], run.checkpoint().epoch
    if evaluated != newest:
        yield html.finding("Out of date.", f"Evaluated after epoch {evaluated}, the newest checkpoint is {newest}.")
    for found in result["diagnosis"]:
        yield html.finding(f"{found['kind']}:", f"{found['message']}. Try: {found['advice']}")
    for line in result.get("warnings", ()):
        yield html.finding("Warning:", f"{line}.")
    if not result["diagnosis"]:
        yield html.finding("Latents, sigma and critic are within their thresholds.", "", True)
    yield html.notes(_in_words(result))


def _in_words(result: dict[str, Any]) -> Iterator[str]:
    scores, latents = result["reconstruction"], result["latents"]
    low, kinds = scores["quantiles"]["psnr"]["low"], latents["dimensions"]
    yield (
        f"Held-out images come back at {scores['psnr']:.2f} dB (PSNR; SSIM {scores['ssim']:.3f}, "
        f"MAE {scores['mae']:.4f} on the [0, 1] scale); one in twenty is below {low:.2f} dB."
    )
    yield (
        f"{latents['active_units']} of {latents['latent_dim']} latents move from image to image; by their posterior "
        "variance {informative} are informative, {partial} in between, {superfluous} superfluous.".format(**kinds)
    )
    distances = {name: entry["frechet"]["value"] for name, entry in result["samplers"].items()}
    best = min(distances, key=distances.get)
    yield (
        f"New images are closest to real ones with the sampler {best} ({scores['frechet']['name']} "
        f"{measures.rounded(distances[best])}; reconstructions {measures.rounded(scores['frechet']['value'])})."
    )
    yield from _judges_in_words(result, best)


def _judges_in_words(result: dict[str, Any], best: str) -> Iterator[str]:
    """Say what the other extractors hold of that sampler, and in how many of its images there is a face."""
    for name, scores in measured.by_extractor(result).items():
        if name in result.get("further_extractors", {}):
            values = (scores["samplers"][best], scores["reconstruction"])
            drawn, back = (measures.rounded(value["frechet"]["value"]) for value in values)
            mark = f", {measures.TRAINED_ON}" if measured.is_trained_on(scores) else ""
            yield f"{name} measures {drawn} for that sampler, {back} for reconstructions{mark}."
        shares = measured.face_shares(scores)
        if best in shares:
            yield (
                f"{name} finds a face in {shares[best]:.1%} of the images of that sampler, in "
                f"{shares['reconstruction']:.1%} of the reconstructions and in {shares['real']:.1%} of the held-out "
                "images."
            )


def _samplers(run: Run, result: dict[str, Any] | None) -> Iterator[str]:
    if result is None:
        return
    captions = {"originals": "Held-out images", "reconstructions": "Their reconstructions"}
    captions |= {name: f"Sampler {name}: new images, not chosen" for name in result["samplers"]}
    sheets = {
        caption: run.evaluation_file.with_name("evaluation") / f"{name}.png" for name, caption in captions.items()
    }
    shown = [html.picture(file.read_bytes(), caption) for caption, file in sheets.items() if file.exists()]
    text = "Smaller distances are better; precision and density tell fidelity, recall and coverage variety."
    lines = [text, f"{floor.in_words(result)}."] if "real" in result else [text]
    tables = map(html.table, measures.score_tables(result))
    yield html.section("Samplers compared", *tables, *map(html.paragraph, lines), *shown)


def _pictures(run: Run, model: keras.Model) -> Iterator[str]:
    """Show reconstructions, variants and transitions of held-out images."""
    try:
        source = assembly.open_source(run.config, "validation")
        images = data.to_unit_range(source.draw(_LOOKED_AT, run.config.seed))
    except UserError as error:
        yield html.section("Pictures", html.paragraph(f"The run's held-out images could not be read: {error}"))
        return
    shown, (name, sampler) = images[:_COLUMNS], _best_sampler(run, model)
    rows = {
        "original": shown,
        "reconstruction": keras.ops.convert_to_numpy(model.reconstruct(shown)),
        f"draws, {name}": latent_space.draw(model, len(shown), run.config.seed, sampler=sampler),
    }
    if name != "prior":
        rows["draws, N(0, I)"] = latent_space.draw(model, len(shown), run.config.seed)
    fitted = {"prior": "N(0, I)"}.get(name, f"the sampler {name}, below them from N(0, I)")
    caption = f"Held-out images, the same decoded from their posterior means, and new images: from {fitted}."
    yield html.section("Reconstructions", html.picture(plots.rows_png(rows), caption))
    yield _variants(run, model, images)
    if len(images) > 1:
        yield _transitions(model, images)


def _best_sampler(run: Run, model: keras.Model) -> tuple[str, Sampler]:
    """Return the sampler that measured best, or the prior if that one is not fitted to this checkpoint."""
    name = sampling.choose(run).name
    if name in sampling.FITTED and not sampling.is_fitted(run, name):
        name = "prior"
    return name, sampling.sampler_of(run, model, name)


def _variants(run: Run, model: keras.Model, images: np.ndarray) -> str:
    """Move one image along the axes in which q(z) is widest, so that each row shows what the data vary in."""
    if sampling.is_fitted(run, "gaussian"):
        axes, fitted_to = sampling.sampler_of(run, model, "gaussian").principal_axes(), "the training images"
    else:
        posteriors = (keras.ops.convert_to_numpy(part) for part in model.encode(images))
        axes, fitted_to = principal_axes(*posteriors), f"{len(images)} held-out images"
    numbers = range(min(_ROWS, model.latent_dim))
    variants = latent_space.traverse_axes(model, images[0], axes, list(numbers), _DEVIATIONS)
    rows = {f"axis {i + 1}, sd {axes.std[i]:.2g}": variants[i] for i in numbers}
    caption = (
        f"One held-out image moved along the principal axes of q(z) of {fitted_to}, the widest first, by multiples "
    )
    caption += "of q(z)'s standard deviation along each."
    labels = [f"{deviation:+g} sd" if deviation else "0" for deviation in _DEVIATIONS]
    return html.section("Variants", html.picture(plots.rows_png(rows, labels), caption))


def _transitions(model: keras.Model, images: np.ndarray) -> str:
    pairs = min(_WALKS, len(images) // 2)
    rows = {}
    for i in range(pairs):
        first, last = images[2 * i], images[2 * i + 1]
        rows[str(i + 1)] = np.stack([first, *latent_space.interpolate(model, first, last, _STEPS), last])
    labels = ["A", *(f"{step / (_STEPS - 1):.2f}" for step in range(_STEPS)), "B"]
    caption = "Straight walks between the codes of two held-out images, A and B."
    return html.section("Transitions", html.picture(plots.rows_png(rows, labels), caption))


def _latents(result: dict[str, Any] | None) -> Iterator[str]:
    if result is None:
        return
    latents = result["latents"]
    place = range(1, latents["latent_dim"] + 1)
    spectrum = {f"of {name}": (place, values) for name, values in latents["singular_values"].items()}
    kl = {"KL": (place, sorted(latents["kl_per_dimension"], reverse=True))}
    variance = {"sigma^2": (place, sorted(latents["posterior_variance"]))}
    charts = {
        "Singular values of z ~ q(z) and of the posterior means; all 1 for the prior.": plots.lines_png(
            spectrum, "Spectrum of q(z)", "direction", log=min(min(y) for _, y in spectrum.values()) > 0
        ),
        "KL to the prior of each latent, the largest first.": plots.lines_png(
            kl, "KL per latent, nats", "latent, sorted"
        ),
        "Mean posterior variance of each latent: near 0 informative, near 1 superfluous.": plots.lines_png(
            variance, "Posterior variance per latent", "latent, sorted", log=True
        ),
    }
    yield html.section(
        "Latents",
        html.tiles(html.picture(png, caption) for caption, png in charts.items()),
        html.definitions(_latent_numbers(latents)),
    )


def _latent_numbers(latents: dict[str, Any]) -> dict[str, str]:
    information, discrepancy, rank = (latents[name] for name in ("mutual_information", "mmd", "effective_rank"))
    walk, bound, aggregate = (latents[name] for name in ("interpolation", "log_likelihood", "aggregate_kl"))
    numbers = {
        "KL to the prior": f"{latents['kl']:.2f} nats per image",
        "Information between image and z": "{value:.2f} nats (estimates end at {bound:.2f})".format(**information),
        "KL of q(z) to the prior": ", ".join(f"{name} {value:.2f}" for name, value in aggregate.items()),
        "MMD of q(z) to the prior": f"{discrepancy['value']:.5f}, permutation p = {discrepancy['p_value']:.3f}",
        "Effective rank": f"{rank['samples']:.1f} of z, {rank['means']:.1f} of the means",
        "Correlation of latents": "mean {mean:.3f}, largest {maximum:.3f}".format(**latents["correlation"]),
    }
    if walk["ratio"] is not None:
        numbers["Walks, length over distance"] = f"{walk['ratio']:.2f} (1 is straight), {walk['steps']} steps"
    if bound is not None:
        numbers["log p(x), lower bound"] = (
            f"{bound['value']:.1f} ± {bound['standard_error']:.1f} nats per image ({bound['draws']} draws, effective "
            f"{bound['effective_draws']:.1f}; ELBO {bound['elbo']:.1f})"
        )
    return numbers


def _curves(run: Run) -> str:
    """Return a chart of every logged term, for training and held-out images."""
    rows = run.history()
    names = [name for name in (rows[-1] if rows else {}) if name not in _NOT_A_TERM]
    terms = list(dict.fromkeys(name.removeprefix("val_") for name in names))
    charts = []
    for term in terms:
        logged = {"training": term, "held-out": f"val_{term}"}
        lines = {label: _series(rows, name) for label, name in logged.items() if name in names}
        charts.append(html.picture(plots.lines_png(lines, term, "epoch"), _TERMS.get(term, term)))
    text = "Every logged term; nats per image unless said."
    return html.section("Curves", html.paragraph(text), html.tiles(charts))


def _series(rows: list[dict[str, float]], name: str) -> tuple[list[float], list[float]]:
    points = [(row["epoch"], row[name]) for row in rows if np.isfinite(row.get(name, np.nan))]
    return [x for x, _ in points], [y for _, y in points]


def _protocol(result: dict[str, Any] | None) -> Iterator[str]:
    if result is not None:
        values = {name.replace("_", " "): _plain(value) for name, value in result["protocol"].items()}
        yield html.section("Protocol", html.paragraph(_PROTOCOL_TEXT), html.definitions(values))


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {part}" for name, part in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else "none" if value is None else str(value)
