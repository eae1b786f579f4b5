"""Who may talk to the page: the browser that shows it, and no page of another site.

A browser sends the cookies of no login here, for there is none; what protects a page on this computer from the other
pages in the same browser are the headers `Host` (a foreign name that was made to point here, DNS rebinding), `Origin`
and `Sec-Fetch-Site` (a foreign page that posts here or reads from here). https://fetch.spec.whatwg.org, and
https://www.w3.org/TR/fetch-metadata.
"""

import ipaddress
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

LOCAL = ("127.0.0.1", "localhost", "::1")
EVERYWHERE = ("0.0.0.0", "::")
MAX_UPLOAD_BYTES = 64 << 20
# Beside the file there are the boundaries of the form; every other request is a few numbers.
_FORM_BYTES, _OTHER_BYTES = 1 << 16, 1 << 20
_UPLOAD_PATH = "/gradio_api/upload"

# Gradio fills the templates of its HTML components by evaluating text.
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    b"content-security-policy": POLICY.encode(),
    b"x-frame-options": b"DENY",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
}

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]


class Guard:
    """An ASGI application in front of another one, which it lets answer the page's own requests alone.

    Args:
        app: The application.
        host: The address that the server listens on.
    """

    def __init__(self, app: Application, host: str) -> None:
        self.app, self.host = app, host

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":  # the page opens no web sockets
            return await send({"type": "websocket.close", "code": 1008})
        refusal = self._refusal(scope)
        if refusal is not None:
            return await _refuse(*refusal, _with_headers(send))
        return await self.app(scope, receive, _with_headers(send))

    def _refusal(self, scope: Message) -> tuple[int, str] | None:
        """Return status and reason if a request is not to be answered."""
        found: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            found.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        hosts, origins, sites = (found.get(name, []) for name in ("host", "origin", "sec-fetch-site"))
        if len(hosts) != 1 or not is_known(hosts[0], self.host):
            return 403, "Host: expected the address that this page is served at"
        if any(origin != f"{scope['scheme']}://{hosts[0]}" for origin in origins):
            return 403, "Origin: expected this page"
        arrives = scope["method"] == "GET" and found.get("sec-fetch-mode") == ["navigate"]
        if any(site not in ("same-origin", "none") for site in sites) and not arrives:
            return 403, "Sec-Fetch-Site: expected same-origin"
        return None if scope["method"] in ("GET", "HEAD") else _body_refusal(scope["path"], found)


def _body_refusal(path: str, headers: dict[str, list[str]]) -> tuple[int, str] | None:
    length = headers.get("content-length", [])
    if len(length) != 1 or not length[0].isdecimal() or "transfer-encoding" in headers:
        return 411, "Content-Length: expected one"
    largest = MAX_UPLOAD_BYTES + _FORM_BYTES if path.rstrip("/") == _UPLOAD_PATH else _OTHER_BYTES
    return (413, f"Content-Length: expected at most {largest} bytes") if int(length[0]) > largest else None


def is_known(name: str, host: str) -> bool:
    """Return whether a request's `Host` is an address of a server that listens on `host`, at whatever port.

    The port is the one that the browser connects to, which a tunnel may change. A server that listens everywhere is
    known by any number and by this computer's name: only other names can be made to point here.
    """
    bare = _without_port(name)
    if host in LOCAL:
        return bare in LOCAL
    return bare == host.lower() or (host in EVERYWHERE and (_is_number(bare) or bare in _own_names()))


def _without_port(name: str) -> str:
    bare, colon, port = name.lower().rpartition(":")
    bare = bare if colon and port.isdecimal() and (":" not in bare or bare.endswith("]")) else name.lower()
    return bare[1:-1] if bare.startswith("[") and bare.endswith("]") else bare


def _is_number(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _own_names() -> tuple[str, ...]:
    return "localhost", socket.gethostname().lower(), socket.getfqdn().lower()


async def _refuse(status: int, reason: str, send: Send) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": f"{reason}\n".encode()})


def _with_headers(send: Send) -> Send:
    """Return `send` with the headers of this module in every answer, and with none that lets other sites read it."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [
                (name, value)
                for name, value in message.get("headers", [])
                if name.lower() not in HEADERS and not name.lower().startswith(b"access-control-")
            ]
            message["headers"] = [*kept, *HEADERS.items()]
        await send(message)

    return sent
