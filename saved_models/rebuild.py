"""Train the model `faces` of the package, measure it, and write its directory.

    python saved_models/rebuild.py --out saved_models/faces
    python saved_models/rebuild.py --out saved_models/faces --measure

    OUT/README.md, *.jpg               what it is and how good, with pictures
    OUT/config.json, history.jsonl, evaluation.json
    OUT/checkpoints/, OUT/samplers/    the model for Keras, and the samplers of its latents
    OUT/1/                             the same for TensorFlow Serving

OUT is a run directory that every command reads. It has no optimizers, which only training needs.
"""

import argparse
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PRESET = "faces-quick"
SETTINGS = (
    "data.image_size=128",
    "data.count=12000",
    "model.stages=5",
    "model.latent_dim=96",
    "loss.mae_weight=80000",
    "loss.perceptual_weight=16000",
    "training.epochs=15",
    "training.learning_rate=0.001",
)
SHOWN, COLUMNS = 24, 8
WALKS, STEPS, REACH = 5, 7, 2.5  # principal axes, images of a walk, standard deviations to each side


def main(arguments: list[str] | None = None) -> None:
    """Train, release, measure, export, describe."""
    from gamix_keras import Run, load_preset, train
    from gamix_keras.config import parse_assignments
    from gamix_keras.runs import duration

    args = _parser().parse_args(arguments)
    if args.measure:
        released = Run.open(args.out)
        measure(released, args.count)
        describe(released)
        return
    preset = load_preset(PRESET)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(args.run or Path(scratch, "run"))
        config = preset.config.updated(parse_assignments([*SETTINGS, *args.set]))
        if args.minutes is not None and not path.exists():
            config = config.updated({"training.epochs": duration.epochs_in(args.minutes, config)})
        run = Run.open(path) if path.exists() else Run.create(path, config, preset.name)
        train(run, verbose=2)
        released = release(run, Path(args.out))
    measure(released, args.count)
    export(released)
    describe(released)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", metavar="DIR", required=True, help="directory of the model, which is replaced")
    parser.add_argument("--run", metavar="RUN", help="keep the training run here, or resume the one that is here")
    parser.add_argument("--minutes", type=float, help="train a new run for about so many minutes on this machine")
    parser.add_argument("--set", metavar="KEY=VALUE", nargs="+", default=[], help="change settings of the training")
    parser.add_argument("--measure", action="store_true", help="measure and describe what is in DIR; train nothing")
    parser.add_argument("--count", type=int, help="images to measure with, at most (default: that of `evaluate`)")
    return parser


def release(run: Any, out: Path) -> Any:
    """Copy a finished run without its optimizers, its averages and facts about the machine that trained it."""
    from gamix_keras import Run, files
    from gamix_keras.runs import checkpoints

    bare = _bare(run.load_model())
    shutil.rmtree(out, ignore_errors=True)
    written = json.loads((run.path / "config.json").read_text(encoding="utf-8"))
    private = ("command", "platform", "git")
    sessions = [{key: value for key, value in one.items() if key not in private} for one in written["sessions"]]
    epoch, _ = run.latest_checkpoint()
    checkpoints.write(checkpoints.path(out / "checkpoints", epoch), bare.save)
    shutil.copy(run.path / "history.jsonl", out)
    files.write_json(out / "config.json", {**written, "sessions": sessions})
    return Run.open(out)


def _bare(model: Any) -> Any:
    """Return the same model without an optimizer and without a second copy of its weights."""
    bare = type(model).from_config({**model.get_config(), "ema_decay": None})
    for name in ("encoder", "decoder", *(["critic"] if model.critic is not None else [])):
        getattr(bare, name).set_weights(getattr(model, name).get_weights())
    return bare


def measure(run: Any, count: int | None) -> None:
    """Fit the samplers, and write `evaluation.json`."""
    from gamix_keras.evaluation import Settings, evaluate

    evaluate(run, Settings() if count is None else Settings(count=count), print)
    shutil.rmtree(run.path / "evaluation")


def export(run: Any) -> None:
    """Write the SavedModel."""
    from gamix_keras.export.run import export_run

    export_run(run.path, out=run.path, version=1)


def describe(run: Any) -> None:
    """Draw the pictures, and write `README.md` from `card.md`."""
    from gamix_keras.runs import measured

    result = run.evaluation()
    distances = {name: scores["frechet"]["value"] for name, scores in result["samplers"].items()}
    best = min(distances, key=distances.get)
    _draw(run, best)
    template = Path(__file__).with_name("card.md").read_text(encoding="utf-8")
    judges = measured.by_extractor(result)
    text = template.format(sampler=best, table=_table(judges, distances), **_of_run(run), **_scores(result))
    (run.path / "README.md").write_text(text, encoding="utf-8")


def _draw(run: Any, best: str) -> None:
    """Write `samples.jpg`, draws of the best sampler, and `walks.jpg`, along the principal axes of q(z)."""
    import numpy as np

    from gamix_keras import latent_space, load, show

    model = load(run.path, best)
    show(model.sample(SHOWN, seed=0), columns=COLUMNS).save(run.path / "samples.jpg")
    axes = load(run.path, "gaussian").sampler.principal_axes()
    deltas = np.linspace(-REACH, REACH, STEPS).tolist()
    walks = latent_space.traverse_axes(model, None, axes, range(_walks(model.config)), deltas)
    show(np.concatenate(list(walks)), columns=STEPS).save(run.path / "walks.jpg")


def _walks(config: Any) -> int:
    return min(WALKS, config.model.latent_dim)


def _of_run(run: Any) -> dict[str, Any]:
    config, (epoch, _) = run.config, run.latest_checkpoint()
    return {
        "name": run.path.resolve().name,
        "size": config.data.image_size,
        "training": config.data.count,
        "epoch": epoch,
        "backend": config.backend,
        "preset": PRESET,
        "settings": " ".join(_changes(config)),
        "walks": _walks(config),
        "reach": REACH,
    }


def _changes(config: Any) -> list[str]:
    """Return the settings that differ from the preset's."""
    from gamix_keras import load_preset
    from gamix_keras.config import settings, shown

    preset = load_preset(PRESET).config
    return [f"{key}={shown(config.get(key))}" for key in settings() if config.get(key) != preset.get(key)]


def _scores(result: dict[str, Any]) -> dict[str, Any]:
    scores, latents = result["reconstruction"], result["latents"]
    return {
        **{name: scores[name] for name in ("psnr", "ssim", "mae")},
        "images": result["protocol"]["real_images"],
        "latents": latents["latent_dim"],
        "active": latents["active_units"],
        "kl": latents["kl"],
        "floor": f"{result['real']['images']:,} held-out images against as many {result['real']['against']}",
    }


def _table(judges: Mapping[str, Any], samplers: Sequence[str]) -> str:
    """Return the distances by every extractor, and the share of faces if one looked for them."""
    from gamix_keras.runs import measured

    names = {"real": "(real images)", "reconstruction": "(reconstructions)", **{name: name for name in samplers}}
    columns = {"images": list(names.values())}
    for scores in judges.values():
        sets = {**scores, **scores["samplers"]}
        star = "\\*" if measured.is_trained_on(scores) else ""
        columns[scores["real"]["frechet"]["name"] + star] = [f"{sets[name]['frechet']['value']:.4g}" for name in names]
        shares = measured.face_shares(scores)
        if shares:
            columns["share of faces"] = [f"{shares[name]:.2f}" for name in names]
    rows = [list(columns), ["---"] * len(columns), *zip(*columns.values(), strict=True)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    main()
