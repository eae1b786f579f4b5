"""Put the pictures of several runs side by side: numbers by several judges, and the pictures themselves.

  python -m benchmarks.pictures runs/old runs/new --out build/pictures
  python -m benchmarks.pictures runs/* --judges efficientnet_lite0,onet,dlib --samplers mixture --count 1000

Each run is measured on its own held-out images. `--out FOLDER` gets table.md, pictures.json, a contact sheet of each
run (NAME.png: originals, their reconstructions, draws of the best fitted sampler, draws of N(0, I)), and
side-by-side.png with the same images and the same seed for every run.

PSNR            of reconstructions, dB
FD              Fréchet distance, of reconstructions / of each sampler's draws; its features stand in the title.
                A star marks features that the run was trained on
face            share of images in which O-Net finds a face
sharpness       power of the Laplacian over that of the held-out images; 1 is as sharp as they are
stripes         power at the Nyquist frequency of flat lines over its neighbours' (`metrics.nyquist_ratio`), of 500
                images at most; about 1 for real images, and above 2 if there is a lattice of period 2. A dash: no line
                is flat. Reconstructions are asked where their originals are flat
CPU s, s        processor seconds of training, a dash if the run did not record them, and seconds by the clock
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import identity, record
from gamix_keras.cli import environment
from gamix_keras.cli.options import name_list, whole_number
from gamix_keras.config import UserError, catalogue
from gamix_keras.config.protocol import DEFAULT_COUNT, DEFAULT_SAMPLERS, FEWEST_IMAGES, trained_extractors

JUDGES = ("efficientnet_lite0", "onet")
FACTORS = {"onet": 1000.0, identity.NAME: 1000.0}  # their features are small
REAL, RECONSTRUCTION = "real", "reconstruction"
COLUMNS, TILE = 8, 128
STRIPE_IMAGES = 500
DRAWN_ROWS = 3
Sets = dict[str, np.ndarray]  # 8-bit images (N, H, W, C) by what they are


class Measured(NamedTuple):
    """A run's row, and the images behind it."""

    row: record.Row
    sets: Sets
    best: str


def measure(run: Any, judges: Sequence[Any], samplers: Sequence[str], count: int, seed: int = 0) -> Measured:
    """Measure a run on its held-out images.

    Args:
        run: The run, at the checkpoint that is measured.
        judges: Feature extractors.
        samplers: Names of samplers, which are fitted if they were not.
        count: Held-out images, at most, and as many draws of each sampler.
        seed: Seed of the choice of images and of the draws.
    """
    model = run.load_model()
    with model.averaged():
        sets, psnr = _images(run, model, samplers, count, seed)
    floor = _other_real_images(run, count, seed)
    trained_on = trained_extractors(run.config)
    row = {"run": run.path.name, "preset": run.preset, "epoch": run.checkpoint().epoch, "psnr": psnr}
    row |= {"images": len(sets[REAL]), "samplers": list(samplers), "trained_on": sorted(trained_on)}
    row |= {"distances": {}, "faces": {}, **seconds(run.history())}
    for judge in judges:
        _judge(judge, sets, floor, row)
    power = {name: _mean_power(images) for name, images in sets.items()}
    row["sharpness"] = {name: value / power[REAL] for name, value in power.items() if name != REAL}
    row["stripes"] = stripes(sets)
    return Measured(row, sets, _best(row, samplers))


def _images(run: Any, model: Any, samplers: Sequence[str], count: int, seed: int) -> tuple[Sets, float]:
    """Return held-out images, their reconstructions and draws, and the mean PSNR."""
    import functools

    from gamix_keras import assembly, metrics
    from gamix_keras.evaluation import floor, measures
    from gamix_keras.models.compiled import CompiledVAE
    from gamix_keras.runs import sampling

    held_out, _ = floor.split(assembly.open_source(run.config, "validation"), count, seed)
    networks, psnr, parts = CompiledVAE(model), [], []
    for images in measures.read(held_out):
        decoded = networks.reconstruct(images)
        psnr.append(np.asarray(metrics.reconstruction_scores(images, decoded)["psnr"]))
        parts.append((metrics.to_pixels(images), metrics.to_pixels(decoded)))
    sets = dict(zip((REAL, RECONSTRUCTION), map(np.concatenate, zip(*parts, strict=True)), strict=True))
    posteriors = functools.cache(lambda: sampling.training_posteriors(run, model))
    for name in samplers:
        sampler = sampling.sampler_of(run, model, name, posteriors=posteriors)
        drawn = measures.generated(networks, sampler, len(held_out), seed)
        sets[name] = np.concatenate([metrics.to_pixels(batch) for batch in drawn])
    return sets, float(np.concatenate(psnr).mean(dtype="float64"))


def _other_real_images(run: Any, count: int, seed: int) -> np.ndarray | None:
    """Return as many real images again, for the distance that a perfect model would score."""
    from gamix_keras import assembly, metrics
    from gamix_keras.evaluation import floor, measures

    held_out, others = floor.split(assembly.open_source(run.config, "validation"), count, seed)
    second = floor.second_set(others, run, len(held_out), seed)
    return second and np.concatenate([metrics.to_pixels(batch) for batch in measures.read(second.source)])


def _judge(judge: Any, sets: Sets, floor: np.ndarray | None, row: record.Row) -> None:
    """Enter what a judge says of every set of images into a row."""
    from gamix_keras import evaluation, metrics

    cache = evaluation.cache_folder()
    real = metrics.cached_statistics(judge, lambda: [sets[REAL]], cache)
    found = {name: metrics.extract_statistics(judge, [images]) for name, images in sets.items() if name != REAL}
    if floor is not None:
        found[REAL] = metrics.cached_statistics(judge, lambda: [floor], cache)
    factor = FACTORS.get(judge.name, 1.0)
    row["distances"][judge.name] = {
        name: factor * float(metrics.frechet_distance_of(real.moments, statistics.moments))
        for name, statistics in found.items()
    }
    if judge.is_face is not None:
        row["faces"] = {name: statistics.face_share for name, statistics in {**found, REAL: real}.items()}


def seconds(history: Sequence[Mapping[str, float]]) -> dict[str, float | None]:
    """Return the processor seconds of a training, None if an epoch lacks them, and its seconds by the clock."""
    of_processor = [row.get("cpu_seconds") for row in history]
    cpu = None if None in of_processor else sum(of_processor)
    return {"cpu_seconds": cpu, "seconds": sum(row["seconds"] for row in history)}


def _mean_power(images: np.ndarray) -> float:
    from gamix_keras import metrics

    return float(np.mean([metrics.laplacian_power(images[i : i + 256]).mean() for i in range(0, len(images), 256)]))


def stripes(sets: Sets) -> dict[str, float | None]:
    """Return the ratio at the Nyquist frequency of each set of images, None if no line is flat."""
    from gamix_keras import metrics

    shown = {name: images[:STRIPE_IMAGES] / 127.5 - 1.0 for name, images in sets.items()}
    asked = {RECONSTRUCTION: shown[REAL]}
    found = {name: metrics.nyquist_ratio(images, reference=asked.get(name)) for name, images in shown.items()}
    return {name: None if np.isnan(ratio) else ratio for name, ratio in found.items()}


def _best(row: record.Row, samplers: Sequence[str]) -> str:
    """Return the fitted sampler with the lowest distance by the first judge on which the run was not trained."""
    judges = [name for name in row["distances"] if name not in row["trained_on"]] or list(row["distances"])
    fitted = [name for name in samplers if catalogue.SAMPLERS[name].fitted] or list(samplers)
    return min(fitted, key=row["distances"][judges[0]].__getitem__)


def table(rows: Sequence[record.Row], samplers: Sequence[str]) -> str:
    """Return the Markdown table of the rows, with those of real images of each run below."""
    judges = list(rows[0]["distances"])
    titles = {name: f"FD {name}{' x 1000' * (name in FACTORS)}" for name in judges}
    columns = {"run": "run", "psnr": "PSNR"} | titles
    columns |= {"faces": "face", "sharpness": "sharpness", "stripes": "stripes", "cpu_seconds": "CPU s", "seconds": "s"}
    shown = [_shown(row, judges, [RECONSTRUCTION, *samplers]) for row in rows]
    for row in rows:
        real = {name: _number(row["distances"][name].get(REAL)) for name in judges}
        real |= {"faces": _number(row["faces"].get(REAL), 3), "stripes": _number(row["stripes"][REAL], 2)}
        shown.append({"run": f"real images of {row['run']}", **real})
    order = " / ".join(["reconstructions", *samplers])
    return f"{record.table(shown, columns)}\n\n{order}; {rows[0]['images']:,} images of each, at most."


def _shown(row: record.Row, judges: Sequence[str], sets: Sequence[str]) -> dict[str, str]:
    def cells(values: Mapping[str, float], digits: int | None = None) -> str:
        return " / ".join(_number(values.get(name), digits) for name in sets)

    stars = {name: "*" * (name in row["trained_on"]) for name in judges}
    return {
        "run": row["run"],
        "psnr": f"{row['psnr']:.2f}",
        **{name: cells(row["distances"][name]) + stars[name] for name in judges},
        "faces": cells(row["faces"], 3) if row["faces"] else "",
        "sharpness": cells(row["sharpness"], 2),
        "stripes": cells(row["stripes"], 2),
        "cpu_seconds": _number(row["cpu_seconds"], 0),
        "seconds": _number(row["seconds"], 0),
    }


def _number(value: float | None, digits: int | None = None) -> str:
    from gamix_keras.evaluation import measures

    if value is None:
        return "-"
    return measures.rounded(value) if digits is None else f"{value:.{digits}f}"


def sheet(found: Measured, path: Path) -> None:
    """Write the contact sheet of a run."""
    from gamix_keras import plots

    sets, best = found.sets, found.best
    rows = {"original": sets[REAL][:COLUMNS], "reconstruction": sets[RECONSTRUCTION][:COLUMNS]}
    rows |= {f"{best} {i + 1}": sets[best][i * COLUMNS : (i + 1) * COLUMNS] for i in range(DRAWN_ROWS)}
    if "prior" in sets and best != "prior":
        rows["N(0, I)"] = sets["prior"][:COLUMNS]
    plots.save_rows({name: enlarged(images) for name, images in rows.items()}, path, title=path.stem)


def side_by_side(found: Sequence[Measured], path: Path) -> None:
    """Write the reconstructions of all runs below their originals, then the draws of all."""
    from gamix_keras import plots

    rows: dict[str, np.ndarray] = {}
    for run, sets, _ in found:
        same = any(np.array_equal(sets[REAL][:COLUMNS], shown) for shown in rows.values())
        rows |= {} if same else {f"original, {run['run']}": sets[REAL][:COLUMNS]}
        rows[f"{run['run']}"] = sets[RECONSTRUCTION][:COLUMNS]
    rows |= {f"{run['run']}, {best}": sets[best][:COLUMNS] for run, sets, best in found}
    sizes = {images.shape[1:] for images in rows.values()}
    if len(sizes) > 1:
        raise UserError(f"RUN: expected runs of one image size, got {', '.join(map(str, sorted(sizes)))}")
    plots.save_rows({name: enlarged(images) for name, images in rows.items()}, path)


def enlarged(images: np.ndarray) -> np.ndarray:
    """Return images at least 128 pixels high, each pixel repeated, in [-1, 1]."""
    factor = -(-TILE // images.shape[1])
    return images.repeat(factor, axis=1).repeat(factor, axis=2).astype("float32") / 127.5 - 1.0


def main(arguments: list[str] | None = None) -> None:
    """Measure, print and write."""
    parser = _parser()
    args = parser.parse_args(arguments)
    try:
        runs = [environment.open_run(path) for path in args.runs]
        print(_measure_all(runs, args))
    except (UserError, ValueError) as error:
        parser.error(str(error))


def _measure_all(runs: Sequence[Any], args: argparse.Namespace) -> str:
    from gamix_keras import metrics

    make = {identity.NAME: identity.extractor}
    judges = [make[name](4) if name in make else metrics.feature_extractor(name, batch_size=4) for name in args.judges]
    found = []
    for run in runs:
        found.append(measure(run, judges, args.samplers, args.count, args.seed))
        text = table([measured.row for measured in found], args.samplers)
        if args.out:
            _write(args, found, text)
    return text


def _write(args: argparse.Namespace, found: Sequence[Measured], text: str) -> None:
    """Write what is known so far."""
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "table.md").write_text(text + "\n", encoding="utf-8")
    record.save(str(out / "pictures.json"), "pictures", [measured.row for measured in found], args.seed)
    sheet(found[-1], out / f"{found[-1].row['run']}.png")
    side_by_side(found, out / "side-by-side.png")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.pictures",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("runs", metavar="RUN", nargs="+", help="directories of runs")
    text = f"feature extractors, and {identity.NAME} (default: {','.join(JUDGES)})"
    add("--judges", metavar="NAME,...", type=name_list, default=JUDGES, help=text)
    text = f"default: {','.join(DEFAULT_SAMPLERS)}"
    add("--samplers", metavar="NAME,...", type=name_list, default=DEFAULT_SAMPLERS, help=text)
    text = "held-out images, at most (default: %(default)s)"
    add("--count", metavar="N", type=whole_number(FEWEST_IMAGES), default=DEFAULT_COUNT, help=text)
    add("--seed", metavar="N", type=whole_number(0), default=0, help="default: 0")
    add("--out", metavar="FOLDER", help="also write the table, the numbers and the pictures")
    return parser


if __name__ == "__main__":
    main()
