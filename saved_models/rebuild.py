"""Train the model `faces` of the package, measure it, and write its directory.

    python saved_models/rebuild.py --out saved_models/faces
    python saved_models/rebuild.py --out saved_models/faces --measure

    OUT/README.md, samples.jpg         what it is and how good
    OUT/config.json, history.jsonl, evaluation.json
    OUT/checkpoints/, OUT/samplers/    the model for Keras, and the samplers of its latents
    OUT/1/                             the same for TensorFlow Serving

OUT is a run directory that every command reads. It has no optimizers, which only training needs.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

PRESET = "gamix"
SETTINGS = (
    "data.count=8000",
    "model.critic_width=16",
    "loss.mae_weight=40000",
    "loss.adversarial_weight=60",
    "loss.adversarial_start=0.6",
    "loss.adversarial_ramp=0.2",
    "training.epochs=12",
    "training.batch_size=32",
    "training.ema_decay=0.998",
)
SHOWN = 24


def main(arguments: list[str] | None = None) -> None:
    """Train, release, measure, export, describe."""
    from gamix_keras import Run, load_preset, train
    from gamix_keras.config import parse_assignments

    args = _parser().parse_args(arguments)
    if args.measure:
        released = Run.open(args.out)
        measure(released, args.count)
        describe(released)
        return
    preset = load_preset(PRESET)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(args.run or Path(scratch, "run"))
        changes = parse_assignments([*SETTINGS, *args.set])
        run = Run.open(path) if path.exists() else Run.create(path, preset.config.updated(changes), preset.name)
        train(run, verbose=2)
        released = release(run, Path(args.out))
    measure(released, args.count)
    export(released)
    describe(released)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", metavar="DIR", required=True, help="directory of the model, which is replaced")
    parser.add_argument("--run", metavar="RUN", help="keep the training run here, or resume the one that is here")
    parser.add_argument("--set", metavar="KEY=VALUE", nargs="+", default=[], help="change settings of the training")
    parser.add_argument("--measure", action="store_true", help="measure and describe what is in DIR; train nothing")
    parser.add_argument("--count", type=int, help="images to measure with, at most (default: that of `evaluate`)")
    return parser


def release(run: Any, out: Path) -> Any:
    """Copy a finished run without its optimizers, its averages and facts about the machine that trained it."""
    from gamix_keras import Run, files
    from gamix_keras.runs import checkpoints

    shutil.rmtree(out, ignore_errors=True)
    written = json.loads((run.path / "config.json").read_text(encoding="utf-8"))
    private = ("command", "platform", "git")
    sessions = [{key: value for key, value in one.items() if key not in private} for one in written["sessions"]]
    epoch, _ = run.latest_checkpoint()
    checkpoints.write(checkpoints.path(out / "checkpoints", epoch), _bare(run.load_model()).save)
    shutil.copy(run.path / "history.jsonl", out)
    files.write_json(out / "config.json", {**written, "sessions": sessions})
    return Run.open(out)


def _bare(model: Any) -> Any:
    """Return the same model without an optimizer and without a second copy of its weights."""
    bare = type(model).from_config({**model.get_config(), "ema_decay": None})
    for name in ("encoder", "decoder", "critic"):
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
    """Draw `samples.jpg` with the best sampler, and write `README.md` from `card.md`."""
    from gamix_keras import load, show

    result = run.evaluation()
    distances = {name: scores["frechet"]["value"] for name, scores in result["samplers"].items()}
    best = min(distances, key=distances.get)
    (run.path / "samples.jpg").write_bytes(show(load(run.path, best).sample(SHOWN, seed=0), columns=8).jpeg)
    template = Path(__file__).with_name("card.md").read_text(encoding="utf-8")
    text = template.format(sampler=best, rows=_rows(result, distances), **_of_run(run), **_scores(result))
    (run.path / "README.md").write_text(text, encoding="utf-8")


def _of_run(run: Any) -> dict[str, Any]:
    config, (epoch, _) = run.config, run.latest_checkpoint()
    return {
        "name": run.path.resolve().name,
        "size": config.data.image_size,
        "training": config.data.count,
        "epoch": epoch,
        "backend": config.backend,
        "preset": PRESET,
        "settings": " ".join(SETTINGS),
    }


def _scores(result: dict[str, Any]) -> dict[str, Any]:
    scores, latents = result["reconstruction"], result["latents"]
    return {
        **{name: scores[name] for name in ("psnr", "ssim", "mae")},
        "images": result["protocol"]["real_images"],
        "distance": scores["frechet"]["name"],
        "latents": latents["latent_dim"],
        "active": latents["active_units"],
        "kl": latents["kl"],
        "floor": f"{result['real']['images']:,} held-out images against as many {result['real']['against']}",
    }


def _rows(result: dict[str, Any], distances: dict[str, float]) -> str:
    real, decoded = (result[name]["frechet"]["value"] for name in ("real", "reconstruction"))
    rows = {"(real images)": real, "(reconstructions)": decoded, **distances}
    return "\n".join(f"| {name} | {value:.2f} |" for name, value in rows.items())


if __name__ == "__main__":
    main()
