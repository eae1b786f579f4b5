"""The README.md of an exported version: what the model is, its signatures, and example requests."""

import base64
import json
from collections.abc import Mapping

import tensorflow as tf

from gamix_keras.export import MOST_IMAGES
from gamix_keras.export.signatures import Signature

_SHOWN_NUMBERS = 3
_SHOWN_CHARACTERS = 24


def model_card(
    name: str,
    origin: Mapping[str, object],
    signatures: Mapping[str, Signature],
    outputs: Mapping[str, Mapping[str, tf.TensorSpec]],
    difference: float,
) -> str:
    """Return the text of a model card.

    Args:
        name: The model's name on the server.
        origin: Facts about the model's origin, by name.
        signatures: The signatures of the model.
        outputs: The outputs of each signature.
        difference: The largest measured difference from Keras.
    """
    lines = [f"# {name}", "", "An image VAE as a TensorFlow SavedModel, for TensorFlow Serving.", ""]
    lines += [f"- {key}: {value}" for key, value in origin.items()]
    lines += [f"- largest difference from Keras: {difference:.1e}", "", "## Signatures", ""]
    lines += ["| signature | takes | gives | |", "| --- | --- | --- | --- |"]
    for key, signature in signatures.items():
        takes = "<br>".join(map(_described, signature.inputs))
        gives = "<br>".join(_described(spec, output) for output, spec in outputs[key].items())
        lines.append(f"| `{key}` | {takes} | {gives} | {signature.meaning} |")
    return "\n".join([*lines, "", *_notes(), *_examples(name, signatures)])


def _described(spec: tf.TensorSpec, name: str | None = None) -> str:
    return f"`{name or spec.name}` {spec.dtype.name} {_shape(spec.shape)}"


def _shape(shape: tf.TensorShape) -> str:
    if shape.rank is None:
        return "any shape"
    sizes = ["B" if size is None else str(size) for size in shape]
    return f"({sizes[0]},)" if len(sizes) == 1 else f"({', '.join(sizes)})"


def _notes() -> list[str]:
    return [
        "`count`, `seed`, `temperature` and `steps` are scalars, or vectors with an entry for each of several",
        "requests; the answer to a vector has a row for each, padded with empty strings to the longest. Send vectors,",
        "of length 1 for a single request, to a server that batches requests. A request gets at most",
        f"{MOST_IMAGES} images.",
        "",
    ]


def _examples(name: str, signatures: Mapping[str, Signature]) -> list[str]:
    lines = ["## Example calls", "", "From Python, over REST (`grpc://HOST:8500` for gRPC):", ""]
    lines += ["    from gamix_keras.export.client import Client", ""]
    lines += [f'    client = Client("http://HOST:8501", "{name}")']
    lines += ["    images = client.sample(4, seed=0)          # uint8 (4, H, W, C)", ""]
    lines += [f"By hand, the body of a POST to `http://HOST:8501/v1/models/{name}:predict` (numbers shortened):", ""]
    for key, signature in signatures.items():
        arguments = {argument: _json(value.tolist()) for argument, value in signature.example.items()}
        lines.append(f"    {_shortened(json.dumps({'signature_name': key, 'inputs': arguments}))}")
    return [*lines, ""]


def _json(value: object) -> object:
    """Return a value for JSON: lists cut after a few numbers, bytes as base64."""
    if isinstance(value, list):
        shown = [_json(entry) for entry in value[:_SHOWN_NUMBERS]]
        return [*shown, "..."] if len(value) > _SHOWN_NUMBERS else shown
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()[:_SHOWN_CHARACTERS] + "..."}
    return value


def _shortened(text: str) -> str:
    return text.replace('"..."', "...")
