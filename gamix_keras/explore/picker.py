"""The control to choose an image: upload one, or pick one that the model has not seen."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from gamix_keras.config import UserError
from gamix_keras.explore import figures

# No event can be called from outside the page; of events in quick succession only the last counts.
EVENT = {"trigger_mode": "always_last", "api_visibility": "private"}
COLUMNS = 6


class Picker:
    """An upload button, the held-out images, and a preview, which also shows that a file is not an image.

    Args:
        name: The name on the page, such as `image A`.
        read: A function from a file's bytes to an image, which may raise `UserError`.
        held_out: Images to pick from, bytes (N, H, W, C), N = 0 for none.
        take: A function from an image to what `state` keeps of it.
        first: The index of the held-out image that is selected at first; None for none.
        value: The value of `state` if no image is chosen.

    Attributes:
        state: What `take` returned for the image that was chosen last.
    """

    def __init__(
        self,
        name: str,
        read: Callable[[bytes], np.ndarray],
        held_out: np.ndarray,
        take: Callable[[np.ndarray], Any],
        first: int | None = None,
        value: Any = None,
    ) -> None:
        self.name, self.read, self.held_out, self.take = name, read, held_out, take
        preview = ""
        if first is not None and first < len(held_out):
            value, preview = self._taken(held_out[first], f"held-out {first}")
        self.state, self._chosen = gr.State(value), gr.State(False)
        with gr.Column(min_width=260):
            self.preview = gr.HTML(preview, elem_classes="small")
            self.upload = gr.UploadButton(f"Upload {name}", file_types=["image"], size="md")
            self.upload.preprocess = _taken_away
            self.gallery = self._gallery() if len(held_out) else None

    def _gallery(self) -> gr.Gallery:
        pictures = [(figures.displayable(image), f"Held-out image {i}") for i, image in enumerate(self.held_out)]
        return gr.Gallery(
            pictures,
            label=f"or pick a held-out {self.name}",
            columns=COLUMNS,
            height="auto",
            format="png",
            allow_preview=False,
            interactive=False,
            buttons=[],
            elem_classes="picker",
        )

    def on_choice(self, act: Callable[..., Any], inputs: Sequence[Any], outputs: Sequence[Any] | Any) -> None:
        """Call `act` after every choice of an image, but not after a file that is not one."""
        own = [self.state, self.preview, self._chosen]
        events = [self.upload.upload(self._uploaded, self.upload, own, **EVENT)]
        if self.gallery is not None:
            events.append(self.gallery.select(self._picked, None, own, **EVENT))
        for event in events:
            event.then(
                lambda chosen, *values: act(*values) if chosen else gr.skip(), [self._chosen, *inputs], outputs, **EVENT
            )

    def _uploaded(self, data: bytes | None) -> tuple[Any, str, bool]:
        try:
            if data is None:
                raise UserError("The file was not stored; choose it again.")
            return *self._taken(self.read(data), "uploaded"), True
        except UserError as error:
            return gr.skip(), figures.problem(str(error)), False

    def _picked(self, event: gr.SelectData) -> tuple[Any, str, bool]:
        return *self._taken(self.held_out[event.index], f"held-out {event.index}"), True

    def _taken(self, image: np.ndarray, origin: str) -> tuple[Any, str]:
        return self.take(image), figures.figure(image, f"{self.name[:1].upper()}{self.name[1:]}: {origin}")


def _taken_away(file: Any) -> bytes | None:
    """Return what a file holds that Gradio stored as an upload, and delete it; None if it is not there."""
    path = Path(getattr(file, "path", None) or "")
    try:
        return path.read_bytes()
    except OSError:
        return None
    finally:
        if path.is_file():
            path.unlink(missing_ok=True)
