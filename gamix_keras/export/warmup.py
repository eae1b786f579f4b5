"""Warm-up requests, which TensorFlow Serving runs before a version takes its first real request.

The file is a TFRecord of `PredictionLog` messages. Their few fields are written by hand, because an export should not
need the serving stubs. In the wire format of Protocol Buffers, field << 3 | 2 and a length come before each value.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"

# Field numbers in prediction_log.proto, predict.proto and model.proto.
_PREDICT_LOG, _REQUEST, _SPEC, _INPUTS, _NAME, _SIGNATURE, _KEY, _VALUE = 6, 1, 1, 2, 1, 3, 1, 2


def write_warmup(folder: Path, model: str, requests: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Write one request for each signature.

    Args:
        folder: The version directory.
        model: The model's name on the server.
        requests: The arguments of a request by signature and input.
    """
    path = folder / WARMUP_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, arguments in requests.items():
            writer.write(prediction_log(model, signature, arguments))


def prediction_log(model: str, signature: str, arguments: Mapping[str, np.ndarray]) -> bytes:
    """Return a serialised `PredictionLog` of one prediction request."""
    spec = _field(_NAME, model.encode()) + _field(_SIGNATURE, signature.encode())
    request = _field(_SPEC, spec)
    for name, value in arguments.items():
        tensor = tf.make_tensor_proto(value).SerializeToString()
        request += _field(_INPUTS, _field(_KEY, name.encode()) + _field(_VALUE, tensor))
    return _field(_PREDICT_LOG, _field(_REQUEST, request))


def _field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])
