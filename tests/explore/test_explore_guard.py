"""Pages of other sites in the same browser: refused, told nothing, and nothing of theirs is stored."""

import asyncio
import json
import urllib.error
import urllib.request
from types import SimpleNamespace

import pytest

from gamix_keras.explore import guard, picker

pytestmark = pytest.mark.backend_free
FOREIGN = "http://foreign.example"


def answer(headers, method="GET", path="/", host="127.0.0.1", kind="http"):
    """Status and headers of the answer; status 200 if the application behind was asked."""
    sent = []

    async def app(scope, receive, send):
        allow = [(b"Access-Control-Allow-Origin", b"*"), (b"access-control-allow-credentials", b"true")]
        await send({"type": "http.response.start", "status": 200, "headers": [*allow, (b"x-frame-options", b"ALLOW")]})
        await send({"type": "http.response.body", "body": b"shown"})

    async def send(message):
        sent.append(message)

    raw = [(name.lower().encode(), value.encode()) for name, value in headers]
    scope = {"type": kind, "scheme": "http", "method": method, "path": path, "headers": raw}
    asyncio.run(guard.Guard(app, host)(scope, None, send))
    return sent[0].get("status", sent[0].get("code")), sent[0].get("headers", [])


OWN = ("Host", "127.0.0.1:7860")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([OWN], 200),
        ([("Host", "localhost:7860")], 200),
        ([("Host", "[::1]:7860")], 200),
        ([OWN, ("Origin", "http://127.0.0.1:7860"), ("Sec-Fetch-Site", "same-origin")], 200),
        ([OWN, ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate")], 200),  # somebody followed a link
        ([], 403),
        ([OWN, OWN], 403),
        ([("Host", "foreign.example")], 403),
        ([("Host", "foreign.example:7860")], 403),
        ([("Host", "127.0.0.1.foreign.example:7860")], 403),
        ([OWN, ("Origin", FOREIGN)], 403),
        ([OWN, ("Origin", "null")], 403),
        ([OWN, ("Origin", "http://127.0.0.1:9999")], 403),
        ([OWN, ("Origin", "https://127.0.0.1:7860")], 403),
        ([OWN, ("Origin", "http://localhost:7860")], 403),
        ([OWN, ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "no-cors")], 403),
        ([OWN, ("Sec-Fetch-Site", "same-site")], 403),
    ],
)
def test_who_is_answered(headers, status):
    found, sent = answer(headers)
    assert found == status
    assert dict(guard.HEADERS).items() <= dict(sent).items()
    assert not [name for name, _ in sent if name.lower().startswith(b"access-control")]


@pytest.mark.parametrize(
    ("host", "name", "known"),
    [
        ("0.0.0.0", "192.0.2.7:80", True),
        ("0.0.0.0", "[2001:db8::1]", True),
        ("::", "localhost", True),
        ("0.0.0.0", "foreign.example:7860", False),
        ("192.0.2.7", "192.0.2.7:7860", True),
        ("192.0.2.7", "127.0.0.1:7860", False),
        ("my-machine", "My-Machine:7860", True),
        ("127.0.0.1", "192.0.2.7:7860", False),
        ("::1", "localhost", True),
    ],
)
def test_the_names_of_the_address_that_is_listened_on(host, name, known):
    assert guard.is_known(name, host) == known


@pytest.mark.parametrize(
    ("path", "length", "status"),
    [
        ("/gradio_api/upload", guard.MAX_UPLOAD_BYTES, 200),
        ("/gradio_api/upload", 2 * guard.MAX_UPLOAD_BYTES, 413),
        ("/gradio_api/upload/", 2 * guard.MAX_UPLOAD_BYTES, 413),
        ("/gradio_api/run/predict", 1000, 200),
        ("/gradio_api/run/predict", guard.MAX_UPLOAD_BYTES, 413),
        ("/gradio_api/upload", None, 411),
        ("/gradio_api/upload", "-1", 411),
    ],
)
def test_a_body_is_bounded_before_it_is_read(path, length, status):
    headers = [OWN] if length is None else [OWN, ("Content-Length", str(length))]
    assert answer(headers, "POST", path)[0] == status
    assert answer([*headers, ("Transfer-Encoding", "chunked")], "POST", path)[0] == 411
    assert answer([*headers, ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate")], "POST", path)[0] == 403


def test_no_web_socket_is_opened():
    assert answer([OWN], kind="websocket")[0] == 1008


def ask(url, data=None, **headers):
    """Ask the page that is served; return status, headers and body."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, names)) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


FORM = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\nno picture\r\n--b--\r\n'
FORM_TYPE = "multipart/form-data; boundary=b"


def test_the_page_itself_refuses_foreign_posts_and_stores_nothing(address, uploads):
    before = stored(uploads)
    for headers in ({"Origin": FOREIGN}, {"Host": "foreign.example"}, {"Sec_Fetch_Site": "cross-site"}):
        status, sent, _ = ask(f"{address}gradio_api/upload", FORM, Content_Type=FORM_TYPE, **headers)
        assert status == 403 and "Access-Control-Allow-Origin" not in sent
    assert stored(uploads) == before
    assert ask(address, Origin=FOREIGN)[0] == ask(f"{address}config", Origin=FOREIGN)[0] == 403
    status, sent, _ = ask(address)
    assert status == 200 and sent["X-Frame-Options"] == "DENY" and sent["X-Content-Type-Options"] == "nosniff"
    assert "frame-ancestors 'none'" in sent["Content-Security-Policy"]
    origin = address.rstrip("/")
    assert json.loads(ask(f"{address}gradio_api/upload", FORM, Content_Type=FORM_TYPE, Origin=origin)[2])


def stored(folder):
    return sorted(file for file in folder.rglob("*") if file.is_file())


@pytest.mark.parametrize("values", [["prior", float("nan"), 0], ["prior", 1.0, 10**30], [{}, [], None]])
def test_bad_values_are_a_sentence_on_the_page(address, values, console):
    config = json.loads(ask(f"{address}config")[2])
    draws = next(
        event["id"] for event in config["dependencies"] if len(event["inputs"]) == 3 and len(event["outputs"]) == 1
        and kinds(config, event) == ["radio", "slider", "number"]
    )  # fmt: skip
    body = json.dumps({"data": values, "fn_index": draws, "session_hash": "test"}).encode()
    status, _, answered = ask(f"{address}gradio_api/run/predict", body, Content_Type="application/json")
    assert status == 200 and "expected" in json.loads(answered)["data"][0]
    assert "Traceback" not in console.read_text()


def kinds(config, event):
    types = {component["id"]: component["type"] for component in config["components"]}
    return [types[number] for number in event["inputs"]]


def test_an_upload_is_deleted_once_it_is_read(tmp_path):
    file = tmp_path / "mine.png"
    file.write_bytes(b"content")
    assert picker._taken_away(SimpleNamespace(path=str(file))) == b"content"
    assert not file.exists() and picker._taken_away(SimpleNamespace(path=str(file))) is None
    assert picker._taken_away(None) is None and tmp_path.is_dir()
