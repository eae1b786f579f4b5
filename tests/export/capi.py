"""Runs signatures of a SavedModel by TensorFlow's C library alone: no Python TensorFlow, no NumPy, as a server does.

    python capi.py LIBRARIES MODEL < calls.json > answers.json

A call is {"inputs": [[tensor name, type number, shape, values], ...], "outputs": [tensor name, ...]}, its answer a
list of [type number, shape, values] or a string with the library's complaint. Values are base64: of the numbers'
bytes, or of each string.
"""

import base64
import ctypes as c
import json
import math
import sys
from pathlib import Path

STRING, STRING_SIZE = 7, 24
P = c.c_void_p


class Output(c.Structure):
    _fields_ = [("operation", P), ("index", c.c_int)]


class Library:
    """The functions of the C interface that are needed."""

    RESULTS = {"Dim": c.c_int64, "NumDims": c.c_int, "TensorType": c.c_int, "GetCode": c.c_int, "Message": c.c_char_p}
    RESULTS |= {"TensorByteSize": c.c_size_t, "StringGetSize": c.c_size_t, "Version": c.c_char_p}
    NOTHING = ("SessionRun", "StringInit", "StringCopy")

    def __init__(self, folder):
        names = ("libtensorflow_framework.so.2", "libtensorflow_cc.so.2")
        self.parts = [c.CDLL(str(Path(folder, name)), c.RTLD_GLOBAL) for name in names]

    def __getattr__(self, name):
        found = next(getattr(part, f"TF_{name}") for part in self.parts if hasattr(part, f"TF_{name}"))
        found.restype = None if name in self.NOTHING else self.RESULTS.get(name, P)
        return found


class Session:
    """A model, loaded by the C++ loader that TensorFlow Serving uses."""

    def __init__(self, library, model):
        self.tf, self.status, self.graph = library, P(library.NewStatus()), P(library.NewGraph())
        tags = (c.c_char_p * 1)(b"serve")
        options = P(library.NewSessionOptions())
        load = (options, None, str(model).encode(), tags, 1, self.graph, None, self.status)
        self.session = P(library.LoadSessionFromSavedModel(*load))
        self.check()

    def check(self):
        if self.tf.GetCode(self.status):
            raise RuntimeError(self.tf.Message(self.status).decode())

    def run(self, call):
        places = [self.place(name) for name, *_ in call["inputs"]]
        tensors = [self.tensor(*given[1:]) for given in call["inputs"]]
        wanted = [self.place(name) for name in call["outputs"]]
        got = (P * len(wanted))()
        given = ((Output * len(places))(*places), (P * len(tensors))(*tensors), len(places))
        taken = ((Output * len(wanted))(*wanted), got, len(wanted))
        self.tf.SessionRun(self.session, None, *given, *taken, None, 0, None, self.status)
        self.check()
        return [self.value(P(tensor)) for tensor in got]

    def place(self, name):
        operation, _, index = name.partition(":")
        return Output(self.tf.GraphOperationByName(self.graph, operation.encode()), int(index))

    def tensor(self, kind, shape, values):
        dims = (c.c_int64 * max(1, len(shape)))(*shape)
        data = [base64.b64decode(value) for value in values] if kind == STRING else base64.b64decode(values)
        size = STRING_SIZE * len(data) if kind == STRING else len(data)
        tensor = P(self.tf.AllocateTensor(kind, dims, len(shape), c.c_size_t(size)))
        start = self.tf.TensorData(tensor)
        if kind != STRING:
            c.memmove(start, data, size)
            return tensor
        for i, value in enumerate(data):
            self.tf.StringInit(P(start + i * STRING_SIZE))
            self.tf.StringCopy(P(start + i * STRING_SIZE), value, c.c_size_t(len(value)))
        return tensor

    def value(self, tensor):
        kind = self.tf.TensorType(tensor)
        shape = [self.tf.Dim(tensor, i) for i in range(self.tf.NumDims(tensor))]
        start = self.tf.TensorData(tensor)
        if kind != STRING:
            data = c.string_at(start, self.tf.TensorByteSize(tensor)) if math.prod(shape) else b""
            return [kind, shape, base64.b64encode(data).decode()]
        places = [P(start + i * STRING_SIZE) for i in range(math.prod(shape))]
        texts = [c.string_at(self.tf.StringGetDataPointer(p), self.tf.StringGetSize(p)) for p in places]
        return [kind, shape, [base64.b64encode(text).decode() for text in texts]]


def answer(session, call):
    try:
        return session.run(call)
    except RuntimeError as error:
        return str(error)


if __name__ == "__main__":
    library = Library(sys.argv[1])
    session = Session(library, sys.argv[2])
    answers = [answer(session, call) for call in json.load(sys.stdin)]
    if "tensorflow" in sys.modules or "numpy" in sys.modules:
        raise SystemExit("Python TensorFlow or NumPy got in")
    print(json.dumps({"version": library.Version().decode(), "answers": answers}))
