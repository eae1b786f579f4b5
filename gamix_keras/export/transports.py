"""TensorFlow Serving's interfaces, REST and gRPC, behind the same three methods: predict, shapes, states.

REST requests are in the columnar form, `{"signature_name": ..., "inputs": {name: value}}`, with bytes as base64.
"""

import base64
import http.client
import json
import threading
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np

Arrays = dict[str, Any]
_BUSY = (429, 502, 503, 504)
_LONGEST_MESSAGE = 400


class ServingError(RuntimeError):
    """Raised if the server cannot be reached or refuses a request."""


class Unavailable(ServingError):
    """Raised if the server is away or too busy, so a retry may succeed."""


class Transport:
    """The interface of both; see `Client` for the arguments."""

    def __init__(self, address: str, model: str, version: int | None, label: str | None, timeout: float) -> None:
        self.address, self.model, self.version, self.label, self.timeout = address, model, version, label, timeout

    def predict(self, signature: str, arguments: Arrays) -> Arrays:
        """Call a signature with arguments by name and return its outputs by name."""
        raise NotImplementedError

    def shapes(self) -> dict[str, dict[str, dict[str, list[int]]]]:
        """Return the shape of each input by signature, `"inputs"` and name; -1 is an open dimension."""
        raise NotImplementedError

    def states(self) -> dict[int, str]:
        """Return the state of each version."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the connection."""


class RestTransport(Transport):
    """HTTP with JSON, over one persistent connection per thread."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._url, self._local = urlsplit(self.address), threading.local()
        chosen = "" if self.version is None else f"/versions/{self.version}"
        chosen = chosen if self.label is None else f"/labels/{quote(self.label, safe='')}"
        self._model_path = f"{self._url.path.rstrip('/')}/v1/models/{quote(self.model, safe='')}"
        self._path = self._model_path + chosen

    def predict(self, signature: str, arguments: Arrays) -> Arrays:
        """Call a signature."""
        inputs = {name: _to_json(value) for name, value in arguments.items()}
        body = json.dumps({"signature_name": signature, "inputs": inputs}, separators=(",", ":"))
        outputs = self._ask("POST", f"{self._path}:predict", body)["outputs"]
        # A single output comes without its name. All signatures of one output that the client calls give files.
        named = outputs if isinstance(outputs, dict) and "b64" not in outputs else {"image_bytes": outputs}
        return {name: _from_json(value) for name, value in named.items()}

    def shapes(self) -> dict[str, dict[str, dict[str, list[int]]]]:
        """Return the shape of each input."""
        metadata = self._ask("GET", f"{self._path}/metadata")["metadata"]["signature_def"]["signature_def"]
        return {name: {"inputs": _json_shapes(signature.get("inputs", {}))} for name, signature in metadata.items()}

    def states(self) -> dict[int, str]:
        """Return the state of each version."""
        found = self._ask("GET", self._path)["model_version_status"]
        return {int(entry["version"]): entry["state"] for entry in found}

    def close(self) -> None:
        """Close this thread's connection."""
        connection = self._local.__dict__.pop("connection", None)
        if connection is not None:
            connection.close()

    def _ask(self, method: str, path: str, body: str | None = None) -> dict[str, Any]:
        try:
            status, text = self._exchange(method, path, body)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            reason = f"no answer within {self.timeout} s" if isinstance(error, TimeoutError) else repr(error)
            raise Unavailable(f"{self.address}: {reason}") from error
        if status != 200:
            kind = Unavailable if status in _BUSY else ServingError
            raise kind(f"{self.address}: model {self.model}: HTTP {status}: {_message(text)}")
        return _parsed(text, self.address)

    def _exchange(self, method: str, path: str, body: str | None) -> tuple[int, bytes]:
        kept = "connection" in self._local.__dict__
        try:
            return self._once(method, path, body)
        except (ConnectionError, http.client.BadStatusLine):
            # A server closes idle connections: a new one is tried before this counts as a failure.
            self.close()
            if not kept:
                raise
            return self._once(method, path, body)

    def _once(self, method: str, path: str, body: str | None) -> tuple[int, bytes]:
        if "connection" not in self._local.__dict__:
            secure = self._url.scheme == "https"
            kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
            self._local.connection = kind(self._url.hostname, self._url.port, timeout=self.timeout)
        self._local.connection.request(method, path, body, {"Content-Type": "application/json"})
        response = self._local.connection.getresponse()
        return response.status, response.read()


class GrpcTransport(Transport):
    """gRPC with the official stubs.

    Raises:
        ServingError: If the stubs are not installed.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        try:
            import grpc
            from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc
        except ImportError as error:
            raise ServingError(f'{self.address}: gRPC: pip install "gamix_keras[serving]" ({error})') from None
        unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self._channel = grpc.insecure_channel(self.address.removeprefix("grpc://"), options=unlimited)
        self._prediction = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def predict(self, signature: str, arguments: Arrays) -> Arrays:
        """Call a signature."""
        import tensorflow as tf
        from tensorflow_serving.apis.predict_pb2 import PredictRequest

        request = self._addressed(PredictRequest())
        request.model_spec.signature_name = signature
        for name, value in arguments.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        answer = self._ask(self._prediction.Predict, request)
        return {name: tf.make_ndarray(value) for name, value in answer.outputs.items()}

    def shapes(self) -> dict[str, dict[str, dict[str, list[int]]]]:
        """Return the shape of each input."""
        from tensorflow_serving.apis import get_model_metadata_pb2 as metadata

        request = self._addressed(metadata.GetModelMetadataRequest(metadata_field=["signature_def"]))
        found = metadata.SignatureDefMap()
        self._ask(self._prediction.GetModelMetadata, request).metadata["signature_def"].Unpack(found)
        return {
            key: {"inputs": {name: [d.size for d in info.tensor_shape.dim] for name, info in signature.inputs.items()}}
            for key, signature in found.signature_def.items()
        }

    def states(self) -> dict[int, str]:
        """Return the state of each version."""
        from tensorflow_serving.apis import get_model_status_pb2 as status

        answer = self._ask(self._models.GetModelStatus, self._addressed(status.GetModelStatusRequest()))
        name = status.ModelVersionStatus.State.Name
        return {entry.version: name(entry.state) for entry in answer.model_version_status}

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()

    def _addressed(self, request: Any) -> Any:
        request.model_spec.name = self.model
        if self.version is not None:
            request.model_spec.version.value = self.version
        if self.label is not None:
            request.model_spec.version_label = self.label
        return request

    def _ask(self, method: Any, request: Any) -> Any:
        import grpc

        busy = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED)
        try:
            return method(request, timeout=self.timeout)
        except grpc.RpcError as error:
            kind = Unavailable if error.code() in busy else ServingError
            message = " ".join(str(error.details()).split())[:_LONGEST_MESSAGE]
            raise kind(f"{self.address}: model {self.model}: {error.code().name}: {message}") from error


def _to_json(value: np.ndarray) -> Any:
    if value.dtype == object:
        return [{"b64": base64.b64encode(file).decode()} for file in value]
    return value.tolist()


def _from_json(value: Any) -> Any:
    entries = first = _with_bytes(value)
    while isinstance(first, list) and first:
        first = first[0]
    return np.array(entries, object if isinstance(first, bytes) else "float32")


def _with_bytes(value: Any) -> Any:
    if isinstance(value, dict):
        return base64.b64decode(value["b64"])
    return [_with_bytes(entry) for entry in value] if isinstance(value, list) else value


def _json_shapes(tensors: dict[str, Any]) -> dict[str, list[int]]:
    return {name: [int(dim["size"]) for dim in info["tensor_shape"].get("dim", [])] for name, info in tensors.items()}


def _message(text: bytes) -> str:
    """Return the server's error message in one line."""
    try:
        message = json.loads(text)["error"]
    except (ValueError, KeyError, TypeError):
        message = text.decode("utf-8", "replace")
    return " ".join(str(message).split())[:_LONGEST_MESSAGE]


def _parsed(text: bytes, address: str) -> dict[str, Any]:
    try:
        answer = json.loads(text)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        shown = text[:80].decode("utf-8", "replace")
        raise ServingError(f"{address}: expected an answer of TensorFlow Serving, got {shown!r}")
    return answer
