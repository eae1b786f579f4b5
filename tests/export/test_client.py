"""The client against a stand-in for TensorFlow Serving, and against a real one where the environment names it.

TF_SERVING_REST=http://HOST:8501 TF_SERVING_GRPC=grpc://HOST:8500 TF_SERVING_MODEL=NAME pytest -m tf_serving
"""

import http.server
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from gamix_keras.export.client import Client, ServingError

pytest.importorskip("tensorflow_serving", reason="the stand-in is made of tensorflow-serving-api")
pytestmark = pytest.mark.backend_free
REAL = {"rest": os.environ.get("TF_SERVING_REST"), "grpc": os.environ.get("TF_SERVING_GRPC")}
SERVERS = [
    "rest",
    "grpc",
    *(pytest.param(f"real {kind}", marks=pytest.mark.tf_serving) for kind, address in REAL.items() if address),
]


@pytest.fixture(scope="module")
def double(exported):
    from serving_double import ServingDouble

    with ServingDouble("faces", exported.parent, batching=True) as double:
        yield double


@pytest.fixture
def server(double):
    """The stand-in, obliging again after each test."""
    yield double
    double.refusals, double.delay = 0, 0.0


@pytest.fixture(scope="module", params=SERVERS)
def client(request, double):
    kind = request.param.split()[-1]
    real = request.param.startswith("real")
    name = os.environ.get("TF_SERVING_MODEL", "faces") if real else "faces"
    with Client(REAL[kind] if real else getattr(double, kind), name, batch_size=4) as client:
        yield client


def test_samples(client):
    images = client.sample(70, seed=1)
    assert images.shape == (70, *client.image_shape)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images[:5], client.sample(5, seed=1))
    assert len(np.unique(images.reshape(70, -1), axis=0)) == 70, "parts of a long answer must not repeat"
    assert not np.array_equal(client.sample(1), client.sample(1))
    with pytest.raises(ValueError, match="sample: expected count >= 1"):
        client.sample(0)


def test_latents_there_and_back(client):
    z = np.random.default_rng(0).standard_normal((6, client.latent_dim))
    images = client.decode(z)
    assert images.shape == (6, *client.image_shape)
    mean, log_var = client.encode(images)
    assert mean.shape == log_var.shape == z.shape
    one = client.encode(list(map(Image.fromarray, images[3:4])))
    np.testing.assert_allclose(one[0], mean[3:4], atol=1e-5)
    np.testing.assert_array_equal(client.reconstruct(images)[:1], client.decode(mean[:1]))
    np.testing.assert_allclose(np.asarray(client.decode(mean, as_pil=True)[5], int), client.decode(mean)[5], atol=0)


def test_a_walk(client):
    first, second = client.sample(2, seed=0, as_pil=True)
    walk = client.interpolate(first, second, steps=5)
    np.testing.assert_array_equal(walk[[0, -1]], client.reconstruct([first, second]))
    assert walk.shape[0] == 5
    with pytest.raises(ValueError, match="steps: expected 2 to 64, got 1"):
        client.interpolate(first, second, steps=1)


def test_it_is_ready(client):
    assert client.is_ready()
    assert "AVAILABLE" in client.versions().values()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: c.decode(np.zeros((2, 4))), r"z: expected shape \(B, 3\), got \(2, 4\)"),
        (lambda c: c.decode(np.full((1, 3), np.nan)), "z: expected finite numbers"),
        (lambda c: c.encode(np.zeros((1, 8, 8, 3), "uint8")), r"images: expected uint8 \(B, 16, 16, 3\), got uint8"),
        (lambda c: c.encode(np.zeros((1, 16, 16, 3))), "got float64"),
    ],
)
def test_wrong_arguments_do_not_reach_the_server(server, call, message):
    for address in (server.rest, server.grpc):
        with pytest.raises(ValueError, match=message), Client(address, "faces") as client:
            call(client)


@pytest.mark.parametrize("kind", ["rest", "grpc"])
def test_what_the_server_refuses_is_told_in_one_line(server, kind):
    address = getattr(server, kind)
    with pytest.raises(ServingError, match=r"model dogs: .*NOT_FOUND|404.*Latest\(dogs\)"):
        Client(address, "dogs").sample(1)
    with pytest.raises(ServingError, match=r"Specific\(faces, 9\)"):
        Client(address, "faces", version=9).sample(1)
    with pytest.raises(ServingError, match="Unknown image file format") as caught:
        Client(address, "faces").reconstruct([b"no picture"])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["rest", "grpc"])
def test_versions_and_labels(server, kind):
    server.labels = {"stable": 1}
    wanted = Client(getattr(server, kind), "faces").sample(1, seed=0)
    for chosen in ({"version": 1}, {"label": "stable"}):
        np.testing.assert_array_equal(Client(getattr(server, kind), "faces", **chosen).sample(1, seed=0), wanted)


@pytest.mark.parametrize("kind", ["rest", "grpc"])
def test_a_busy_server_is_asked_again(server, kind):
    server.refusals = 2
    assert len(Client(getattr(server, kind), "faces", retries=2).sample(1)) == 1
    server.refusals = 2
    with pytest.raises(ServingError, match="queue"):
        Client(getattr(server, kind), "faces", retries=1).sample(1)


@pytest.mark.parametrize("kind", ["rest", "grpc"])
def test_a_slow_server_is_not_waited_for(server, kind):
    server.delay = 0.5
    with pytest.raises(ServingError, match="no answer within 0.1 s|DEADLINE_EXCEEDED"):
        Client(getattr(server, kind), "faces", timeout=0.1, retries=0).sample(1)


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_no_server_is_told(scheme):
    client = Client(f"{scheme}://127.0.0.1:9", "faces", retries=0, timeout=1.0)
    assert not client.is_ready()
    with pytest.raises(ServingError, match="127.0.0.1:9"):
        client.sample(1)


def test_another_kind_of_server_is_told():
    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>")

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Page) as web:
        threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        client = Client(f"http://127.0.0.1:{web.server_address[1]}", "faces")
        with pytest.raises(ServingError, match="expected an answer of TensorFlow Serving, got '<html>'"):
            client.versions()
        web.shutdown()


def test_a_connection_that_the_server_closed_is_opened_again(server):
    client = Client(server.rest, "faces", retries=0)
    client.sample(1)
    client._transport._local.connection.sock.shutdown(2)
    assert len(client.sample(1)) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("localhost:8501", "m"), "address: expected http://HOST:PORT or grpc://HOST:PORT, got 'localhost:8501'"),
        (("ftp://h:1", "m"), "address: expected"),
    ],
)
def test_wrong_addresses(arguments, message):
    with pytest.raises(ValueError, match=message):
        Client(*arguments)
    with pytest.raises(ValueError, match="label: expected none beside version 1"):
        Client("http://h:1", "m", version=1, label="stable")
    with pytest.raises(ValueError, match="batch_size from 1 to 64"):
        Client("http://h:1", "m", batch_size=65)


def test_a_new_version_takes_over_under_load_and_no_call_fails(exported, tmp_path):
    from serving_double import ServingDouble

    from gamix_keras.export.versions import publish

    base = tmp_path / "faces"
    fill = lambda folder: shutil.copytree(exported, folder, dirs_exist_ok=True)  # noqa: E731
    publish(base, fill)
    with ServingDouble("faces", base, poll=0.02) as server:
        clients = [Client(address, "faces", retries=0) for address in (server.rest, server.grpc)]
        watcher, after = Client(server.rest, "faces"), threading.Event()

        def call_until_replaced(client):
            calls = 0
            while not after.is_set() or calls < 3:
                assert client.sample(2, seed=1).shape == (2, 16, 16, 3)
                calls += 1
            return calls

        with ThreadPoolExecutor(4) as threads:
            running = [threads.submit(call_until_replaced, client) for client in clients]
            publish(base, fill)
            while watcher.versions().get(2) != "AVAILABLE":
                if any(future.done() for future in running):
                    break
            after.set()
            assert all(future.result() >= 3 for future in running)
        assert watcher.versions() == {1: "END", 2: "AVAILABLE"}


def test_a_batching_server_refuses_scalars(server):
    """Why the client sends vectors of length 1."""
    from gamix_keras.export.transports import RestTransport

    transport = RestTransport(server.rest, "faces", None, None, 5.0)
    scalars = {"count": np.int32(1), "seed": np.int64(0), "temperature": np.float32(1)}
    with pytest.raises(ServingError, match="at least one dimension"):
        transport.predict("sample_png", scalars)


def test_the_client_needs_neither_keras_nor_tensorflow():
    import subprocess
    import sys

    program = "import sys, gamix_keras.export.client as s; s.Client('http://h:1', 'm'); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not {"keras", "tensorflow", "torch", "jax"} & set(loaded)
