"""A stand-in for TensorFlow Serving: its wire protocols on the official stubs, TensorFlow's runtime underneath.

For tests and the benchmark only. It serves the newest version of one model, loads a new one before it drops the old,
and words its refusals as the server does. As a program: `python serving_double.py NAME BASE` prints both addresses.
"""

import base64
import json
import re
import sys
import threading
import time
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import tensorflow as tf
from google.protobuf import json_format
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

_PATH = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?(:predict|/metadata)?$")
_HTTP = {"NOT_FOUND": 404, "INVALID_ARGUMENT": 400, "UNAVAILABLE": 503}


class Refused(Exception):
    """A request that is answered with an error."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class Loaded:
    """One version of a model."""

    def __init__(self, folder):
        saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
        definitions = saved.meta_graphs[0].signature_def
        self.definitions = {name: d for name, d in definitions.items() if not name.startswith("__")}
        self.model = tf.saved_model.load(str(folder))

    def run(self, signature, arguments, batching):
        if signature not in self.definitions:
            raise Refused("INVALID_ARGUMENT", f'Serving signature name: "{signature}" not found in signature def')
        wanted = self.definitions[signature].inputs
        if set(wanted) != set(arguments):
            raise Refused("INVALID_ARGUMENT", f"input keys {sorted(arguments)} are not {sorted(wanted)}")
        try:
            tensors = {name: tf.constant(value, wanted[name].dtype) for name, value in arguments.items()}
            if batching:
                _refuse_unbatched(tensors)
            return {n: v.numpy() for n, v in self.model.signatures[signature](**tensors).items()}
        except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
            raise Refused("INVALID_ARGUMENT", str(error)) from error


def _refuse_unbatched(tensors):
    """The rules of the server's batching session."""
    if any(tensor.shape.rank == 0 for tensor in tensors.values()):
        message = "Batching session Run() input tensors must have at least one dimension."
        raise Refused("INVALID_ARGUMENT", message)
    if len({tensor.shape[0] for tensor in tensors.values()}) > 1:
        message = "Batching session Run() input tensors must have equal 0th-dimension size"
        raise Refused("INVALID_ARGUMENT", message)


class ServingDouble:
    """A context manager that serves `BASE/1`, `BASE/2`, ... as one model.

    `refusals` counts down requests that are answered as by a busy server; `delay` is slept before every answer.
    """

    def __init__(self, name, base, batching=False, poll=0.1):
        self.name, self.base, self.batching, self.poll = name, Path(base), batching, poll
        self.current, self.states, self.labels = {}, {}, {}
        self.refusals, self.delay, self.stopping = 0, 0.0, threading.Event()

    def scan(self):
        """Loads the newest version if it is new, and only then forgets the others."""
        newest = max((int(p.name) for p in self.base.iterdir() if p.name.isdecimal()), default=None)
        if newest is None or newest in self.states:
            return
        self.states[newest] = "LOADING"
        self.current = {newest: Loaded(self.base / str(newest))}
        self.states.update({version: "END" for version in self.states} | {newest: "AVAILABLE"})

    def find(self, name, version=None, label=None):
        current = self.current
        version = self.labels.get(label) if label else version
        if name != self.name or not current or (version or label) and version not in current:
            which = f"Specific({name}, {version})" if version or label else f"Latest({name})"
            raise Refused("NOT_FOUND", f"Servable not found for request: {which}")
        version = version or max(current)
        return version, current[version]

    def predict(self, name, version, label, signature, arguments):
        time.sleep(self.delay)
        if self.refusals > 0:
            self.refusals -= 1
            raise Refused("UNAVAILABLE", "The batch scheduling queue to which this task was submitted is full")
        version, model = self.find(name, version, label)
        return version, model.run(signature or "serving_default", arguments, self.batching)

    def __enter__(self):
        self.scan()
        self.server = grpc.server(futures.ThreadPoolExecutor(8))
        service = _Service(self)
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(service, self.server)
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(service, self.server)
        self.grpc = f"grpc://127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()
        self.web = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"double": self}))
        self.web.daemon_threads = True
        self.rest = f"http://127.0.0.1:{self.web.server_address[1]}"
        threading.Thread(target=self.web.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def _watch(self):
        while not self.stopping.wait(self.poll):
            self.scan()

    def __exit__(self, *_):
        self.stopping.set()
        self.server.stop(None)
        self.web.shutdown()
        self.web.server_close()


class _Service(prediction_service_pb2_grpc.PredictionServiceServicer, model_service_pb2_grpc.ModelServiceServicer):
    """gRPC."""

    def __init__(self, double):
        self.double = double

    def Predict(self, request, context):
        spec = request.model_spec
        arguments = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
        asked = (spec.name, spec.version.value, spec.version_label, spec.signature_name, arguments)
        version, outputs = _answered(context, self.double.predict, *asked)
        answer = predict_pb2.PredictResponse()
        answer.model_spec.version.value = version
        for name, value in outputs.items():
            answer.outputs[name].CopyFrom(tf.make_tensor_proto(value))
        return answer

    def GetModelMetadata(self, request, context):
        spec = request.model_spec
        _, model = _answered(context, self.double.find, spec.name, spec.version.value, spec.version_label)
        answer = get_model_metadata_pb2.GetModelMetadataResponse()
        answer.metadata["signature_def"].Pack(_definitions(model))
        return answer

    def GetModelStatus(self, request, context):
        _answered(context, self.double.find, request.model_spec.name)
        return _status(self.double)


def _answered(context, function, *arguments):
    try:
        return function(*arguments)
    except Refused as refusal:
        context.abort(getattr(grpc.StatusCode, refusal.code), str(refusal))


def _definitions(model):
    found = get_model_metadata_pb2.SignatureDefMap()
    for name, definition in model.definitions.items():
        found.signature_def[name].CopyFrom(definition)
    return found


def _status(double):
    answer = get_model_status_pb2.GetModelStatusResponse()
    for version, state in sorted(double.states.items(), reverse=True):
        answer.model_version_status.add(version=version, state=state)
    return answer


class _Handler(BaseHTTPRequestHandler):
    """REST."""

    protocol_version, disable_nagle_algorithm, wbufsize = "HTTP/1.1", True, 1 << 16
    double = None

    def log_message(self, *_):
        pass

    def do_GET(self):
        self._answer(b"")

    def do_POST(self):
        self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def _answer(self, body):
        try:
            status, answer = 200, self._asked(body)
        except Refused as refusal:
            status, answer = _HTTP[refusal.code], {"error": str(refusal)}
        data = json.dumps(answer, separators=(",", ":")).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _asked(self, body):
        path = _PATH.match(self.path)
        if path is None or (path[4] == ":predict") != bool(body):
            raise Refused("NOT_FOUND", f"Malformed request: {self.command} {self.path}")
        name, version, label = path[1], int(path[2] or 0), path[3]
        if path[4] == ":predict":
            return self._predict(name, version, label, body)
        _, model = self.double.find(name, version, label)
        if path[4] is None:
            return _plain(_status(self.double))
        return {"metadata": {"signature_def": _plain(_definitions(model))}}

    def _predict(self, name, version, label, body):
        try:
            asked = json.loads(body)
        except ValueError as error:
            raise Refused("INVALID_ARGUMENT", f"JSON Parse error: {error}") from error
        if not isinstance(asked.get("inputs"), dict):
            raise Refused("INVALID_ARGUMENT", "this stand-in wants 'inputs' by name")
        arguments = {key: _decoded(value) for key, value in asked["inputs"].items()}
        _, outputs = self.double.predict(name, version, label, asked.get("signature_name"), arguments)
        plain = {key: _encoded(key, value.tolist()) for key, value in outputs.items()}
        return {"outputs": next(iter(plain.values())) if len(plain) == 1 else plain}


def _plain(message):
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def _decoded(value):
    if isinstance(value, dict):
        return base64.b64decode(value["b64"])
    return [_decoded(entry) for entry in value] if isinstance(value, list) else value


def _encoded(name, value):
    if isinstance(value, list):
        return [_encoded(name, entry) for entry in value]
    if not isinstance(value, bytes):
        return value
    return {"b64": base64.b64encode(value).decode()} if name.endswith("_bytes") else value.decode()


if __name__ == "__main__":
    with ServingDouble(sys.argv[1], sys.argv[2]) as double:
        print(json.dumps({"rest": double.rest, "grpc": double.grpc}), flush=True)
        sys.stdin.read()
