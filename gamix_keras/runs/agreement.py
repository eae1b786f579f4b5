"""Whether a checkpoint is of the model that its run's configuration describes. Imports no Keras, builds nothing.

Networks are saved as the arguments of their constructors, and the catalogue says which setting each argument takes, so
the two are compared value by value.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gamix_keras import files
from gamix_keras.config import Config, UserError
from gamix_keras.config.catalogue import LIKELIHOODS, NETWORKS, OBJECTIVES

Pair = tuple[str, Any, Any]
# In place of a value that a checkpoint does not hold, because it was written before the setting existed.
ABSENT = object()


def check(config: Config, file: Path, second: bool = False) -> None:
    """Check that a checkpoint is of the model that a configuration describes.

    Args:
        config: The configuration of the run.
        file: The checkpoint.
        second: Whether it is one of the second stage.

    Raises:
        UserError: If a setting is another one in the checkpoint, or the file cannot be read.
    """
    try:
        written = files.archived_json(file, "config.json")
    except (ValueError, OSError) as error:
        raise UserError(f"expected a file of a model, got {file}, which cannot be read: {error}") from None
    for key, ours, theirs in _second(config, written) if second else _first(config, written):
        if theirs is not ABSENT and ours != theirs:
            remedy = "put config.json back, or train anew with `gamix-keras train --restart RUN --out NEW`"
            trained = f"expected {_shown(theirs)}, which {file} was trained with"
            raise UserError(f"{key}: {trained}, got {_shown(ours)} in config.json; {remedy}")


def _first(config: Config, written: Mapping[str, Any]) -> Iterator[Pair]:
    """Yield each setting with its value in the configuration and in the checkpoint, which may be `ABSENT`."""
    parts = _inner(written)
    row = NETWORKS[config.model.network]
    yield "model.name", OBJECTIVES[config.model.name].model, _class(written)
    for part, own in (("encoder", row.encoder_settings), ("decoder", row.decoder_settings)):
        yield "model.network", getattr(row, part).rpartition(".")[2], _class(parts.get(part))
        arguments = _inner(parts.get(part))
        yield "data.image_size and data.channels", list(config.data.image_shape), arguments.get("image_shape", ABSENT)
        yield "training.precision", config.training.precision, _inner(arguments.get("dtype")).get("name", ABSENT)
        taken = {"latent_dim": "latent_dim"} | {name: name for name in row.settings} | dict(own)
        for name, argument in taken.items():
            yield f"model.{name}", getattr(config.model, name), arguments.get(argument, ABSENT)
        for argument, value in row.fixed.items():
            yield "model.network", value, arguments.get(argument, ABSENT)
    yield "loss.likelihood", LIKELIHOODS[config.loss.likelihood].loss, _class(parts.get("likelihood"))
    if "critic" in parts:
        yield "model.critic", config.has_critic, parts["critic"] is not None


def _second(config: Config, written: Mapping[str, Any]) -> Iterator[Pair]:
    for part in ("encoder", "decoder"):
        arguments = _inner(_inner(written).get(part))
        yield "model.latent_dim", config.model.latent_dim, arguments.get("latent_dim", ABSENT)
        for name in ("width", "depth"):
            yield f"second_stage.{name}", getattr(config.second_stage, name), arguments.get(name, ABSENT)


def _inner(part: Any) -> Mapping[str, Any]:
    inner = part.get("config") if isinstance(part, Mapping) else None
    return inner if isinstance(inner, Mapping) else {}


def _class(part: Any) -> Any:
    return part.get("class_name", ABSENT) if isinstance(part, Mapping) else ABSENT


def _shown(value: Any) -> str:
    return " x ".join(map(str, value)) if isinstance(value, list) else str(value)
