"""The page's server: on this computer only by default, and nothing is loaded from elsewhere."""

import logging
import socket
import threading
import time
import webbrowser
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

from gamix_keras.config import UserError
from gamix_keras.explore import guard

if TYPE_CHECKING:
    import gradio as gr
    import uvicorn

PORTS = range(7860, 7960)
CLOSE_SECONDS = 5


def require_gradio() -> None:
    """Check that the extra is installed.

    Raises:
        UserError: If it is not, with its name.
    """
    if find_spec("gradio") is None:
        raise UserError('explore: expected Gradio, which is not installed; pip install "gamix_keras[explore]"')


def require_free(host: str, port: int) -> None:
    """Check that a server can listen at an address.

    Raises:
        UserError: If the port is in use or does not exist, or the host is not an address of this computer.
    """
    try:
        # With the options of a server, so that a port that was just closed counts as free.
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            pass
    except (OSError, OverflowError) as error:
        raise UserError(f"--port: expected a free port of this computer, got {host}:{port}: {error}") from None


class Served(NamedTuple):
    """A page that is being served.

    Attributes:
        address: Where.
        server: The server, which runs in a thread of its own.
        thread: That thread.
    """

    address: str
    server: "uvicorn.Server"
    thread: threading.Thread

    def close(self) -> None:
        """End the server; uploads are deleted."""
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # that pages were open is no error
        self.server.should_exit = True
        self.thread.join(CLOSE_SECONDS)


def serve(page: "gr.Blocks", host: str, port: int | None, open_browser: bool) -> None:
    """Serve a page until Ctrl-C, and print its address; the arguments are those of `launch`."""
    served = launch(page, host, port)
    print(f"{served.address} (Ctrl-C ends it)", flush=True)
    if host not in guard.LOCAL:
        print("anyone who can reach this address can use the page: it has no password", flush=True)
    if open_browser:
        webbrowser.open(served.address)
    try:
        served.thread.join()
    finally:
        served.close()


def launch(page: "gr.Blocks", host: str = guard.LOCAL[0], port: int | None = None) -> Served:
    """Start to serve a page.

    Gradio's own server answers pages of other sites; this one has a `Guard` in front.

    Args:
        page: The page from `build_page`.
        host: The address to listen at. Any address but a local one shows the page to the network, without a password.
        port: The port; None takes the first free one from 7860 on.

    Raises:
        UserError: If no port is free.
    """
    import uvicorn

    port = free_port(host) if port is None else port
    config = uvicorn.Config(
        _application(page, host, port), host=host, port=port, log_level="warning", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    if not thread.is_alive():
        raise UserError(f"--port: expected a free port of this computer, got {host}:{port}")
    name = f"[{host}]" if ":" in host else host
    return Served(f"http://{name}:{port}/", server, thread)


def free_port(host: str) -> int:
    """Return the first free port of a host from 7860 on.

    Raises:
        UserError: If there is none among a hundred.
    """
    for port in PORTS:
        try:
            require_free(host, port)
        except UserError:
            continue
        return port
    raise UserError(f"--port: expected a free port from {PORTS[0]} to {PORTS[-1]} at {host}, found none")


def _application(page: "gr.Blocks", host: str, port: int) -> guard.Guard:
    import fastapi
    import gradio as gr

    from gamix_keras.explore import style

    off = dict.fromkeys(("run_history", "enable_monitoring", "ssr_mode", "pwa", "mcp_server"), False)
    app = gr.mount_gradio_app(
        fastapi.FastAPI(openapi_url=None),
        page,
        "/",
        server_name=host,
        server_port=port,
        theme=style.theme(),
        head=style.HEAD,
        footer_links=[],
        show_error=False,
        max_file_size=guard.MAX_UPLOAD_BYTES,
        **off,
    )
    return guard.Guard(app, host)
