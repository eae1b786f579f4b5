"""The page's server: on this computer only by default, and nothing is loaded from elsewhere."""

import socket
from importlib.util import find_spec
from typing import TYPE_CHECKING

from gamix_keras.config import UserError

if TYPE_CHECKING:
    import gradio as gr

LOCAL = ("127.0.0.1", "localhost", "::1")
MAX_UPLOAD = "64mb"


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


def serve(page: "gr.Blocks", host: str, port: int | None, open_browser: bool) -> None:
    """Serve a page until Ctrl-C, and print its address; the arguments are those of `launch`."""
    print(f"{launch(page, host, port, open_browser)} (Ctrl-C ends it)", flush=True)
    if host not in LOCAL:
        print("anyone who can reach this address can use the page: it has no password", flush=True)
    page.block_thread()


def launch(page: "gr.Blocks", host: str = LOCAL[0], port: int | None = None, open_browser: bool = False) -> str:
    """Start to serve a page and return its address.

    Args:
        page: The page from `build_page`.
        host: The address to listen at. Any address but a local one shows the page to the network, without a password.
        port: The port; None takes the first free one from 7860 on.
        open_browser: Whether to open the page in the default browser.
    """
    from gamix_keras.explore import style

    name = f"[{host}]" if ":" in host else host
    off = dict.fromkeys(("share", "run_history", "enable_monitoring", "ssr_mode", "pwa", "mcp_server"), False)
    page.launch(
        server_name=name,
        server_port=port,
        inbrowser=open_browser,
        prevent_thread_lock=True,
        quiet=True,
        theme=style.theme(),
        head=style.HEAD,
        footer_links=[],
        max_file_size=MAX_UPLOAD,
        **off,
    )
    return f"http://{name}:{page.server_port}/"
