"""The page of `gamix-keras explore`, in Gradio: four tabs, each with its controls and its picture.

`Explorer` computes the pictures; Gradio's session state keeps a visitor's choices. Pictures that follow a slider bypass
Gradio's queue, and of the moves that arrive during a computation only the last counts.
"""

import functools
from collections.abc import Callable

import gradio as gr
import numpy as np

from gamix_keras.config import UserError
from gamix_keras.explore import figures
from gamix_keras.explore.explorer import MAX_SEED, MAX_TEMPERATURE, REACH, Explorer, number
from gamix_keras.explore.picker import EVENT, Picker

FOLLOWS = {**EVENT, "show_progress": "hidden", "queue": False}
WAITS = {**EVENT, "show_progress": "minimal"}
# Uploads are deleted after this time, and when the server ends.
KEPT_SECONDS = 3600
SAMPLERS = {
    "prior": "prior: N(0, I), nothing fitted",
    "gaussian": "gaussian: one Gaussian fitted to q(z)",
    "mixture": "mixture: several Gaussians fitted to q(z)",
    "second_stage": "second_stage: a second VAE of the latents",
}
PATHS = {"linear": "straight line", "spherical": "great arc", "norm": "straight line, length corrected"}

INTRODUCTION = (
    "The model keeps an image as a short list of numbers, its latent z; q(z) is how the latents of the training images "
    "are distributed. Everything runs on this computer."
)
SLIDING = (
    "Each slider moves the image along a principal axis of q(z), the one with the most variety first. The unit is a "
    "standard deviation (sd) of q(z): 0 is the start, and few images lie beyond 2 sd. Arrow keys move a slider, too."
)
BETWEEN = "Choose two images and slide from one to the other. 0 % and 100 % are the reconstructions of the two."
SAMPLING = (
    "Latents are drawn from the sampler and decoded. Temperature scales the noise: 0 gives the most typical image, "
    "1 the fitted variety, more than 1 exaggerates it. The same seed gives the same images."
)
RECONSTRUCTING = "The model encodes an image and decodes it again. The difference is what the latents do not hold."


def build_page(explorer: Explorer, title: str, held_out: np.ndarray, sampler: str = "prior") -> gr.Blocks:
    """Lay out the page.

    Args:
        explorer: The explorer that computes the pictures.
        title: The heading.
        held_out: Images to pick from, bytes (N, H, W, C), N = 0 for none.
        sampler: The name of the sampler that is selected at first.
    """
    with gr.Blocks(title=title, analytics_enabled=False, delete_cache=(KEPT_SECONDS, KEPT_SECONDS)) as page:
        gr.HTML(figures.heading(title))
        gr.Markdown(INTRODUCTION)
        with gr.Tab("Change"):
            _change(explorer, held_out)
        with gr.Tab("Between"):
            _between(explorer, held_out)
        with gr.Tab("Sample"):
            _sample(explorer, sampler)
        with gr.Tab("Reconstruct"):
            _reconstruct(explorer, held_out)
    return page


def _change(explorer: Explorer, held_out: np.ndarray) -> None:
    show = _safely(functools.partial(_moved, explorer))
    zeros = [0.0] * explorer.sliders
    with gr.Row():
        with gr.Column(min_width=300, elem_classes="large"):
            shown = gr.HTML(show(explorer.center, *zeros))
        with gr.Column(min_width=300):
            gr.Markdown(f"## Change an image\n{SLIDING}")
            labels = [f"Axis {i + 1}, in sd ({share:.0%} of the variance)" for i, share in enumerate(explorer.shares)]
            sliders = [gr.Slider(-REACH, REACH, 0.0, step=0.1, label=label, buttons=[]) for label in labels]
            with gr.Row():
                reset, random = gr.Button("All to 0"), gr.Button("Random")
            gr.Markdown("### Start from\nThe mean of q(z), or an image.")
            picker = Picker("image", explorer.read, held_out, explorer.encode, value=explorer.center)
            mean = gr.Button("Start from the mean of q(z)")
    _unchecked(*sliders)
    gr.on([slider.input for slider in sliders], show, [picker.state, *sliders], shown, **FOLLOWS)
    again = {"fn": show, "inputs": [picker.state, *sliders], "outputs": shown, **FOLLOWS}
    reset.click(lambda: zeros, None, sliders, **FOLLOWS).then(**again)
    random.click(functools.partial(_random_values, len(zeros)), None, sliders, **FOLLOWS).then(**again)
    mean.click(lambda: (explorer.center, "", *zeros), None, [picker.state, picker.preview, *sliders], **FOLLOWS).then(
        **again
    )
    picker.on_choice(lambda start: (*zeros, show(start, *zeros)), [picker.state], [*sliders, shown])


def _moved(explorer: Explorer, start: np.ndarray, *values: float) -> str:
    image = explorer.slide(start, values)
    moved = [f"axis {i + 1} {value:+.1f}" for i, value in enumerate(values) if value]
    return figures.figure(image, "Moved: " + ", ".join(moved) if moved else "All sliders at 0", "changed.png")


def _random_values(count: int) -> list[float]:
    return np.clip(np.random.default_rng().standard_normal(count), -REACH, REACH).round(1).tolist()


def _between(explorer: Explorer, held_out: np.ndarray) -> None:
    show = _safely(functools.partial(_walked, explorer))
    with gr.Row():
        with gr.Column(min_width=300, elem_classes="large"):
            shown = gr.HTML()
            share = gr.Slider(0, 100, 50, step=1, label="Way from A to B, in %", buttons=[])
        with gr.Column(min_width=300):
            gr.Markdown(f"## Between two images\n{BETWEEN}")
            path = gr.Radio([(name, key) for key, name in PATHS.items()], value="linear", label="Path")
            with gr.Row():
                pickers = [
                    Picker(f"image {letter}", explorer.read, held_out, explorer.encode, first)
                    for first, letter in enumerate("AB")
                ]
    states = [picker.state for picker in pickers]
    _unchecked(share, path)
    shown.value = show(*(state.value for state in states), 50, "linear")
    gr.on([share.input, path.input], show, [*states, share, path], shown, **FOLLOWS)
    for picker in pickers:
        picker.on_choice(show, [*states, share, path], shown)


def _walked(explorer: Explorer, first: np.ndarray | None, second: np.ndarray | None, share: float, path: str) -> str:
    missing = [letter for letter, latent in (("A", first), ("B", second)) if latent is None]
    if missing:
        return figures.hint(f"Choose image {' and image '.join(missing)}.")
    image = explorer.between(first, second, number("share", share) / 100, path)
    return figures.figure(image, f"{share:g} % of the way from A to B, {PATHS[path]}", "between.png")


def _sample(explorer: Explorer, first: str) -> None:
    show = _safely(functools.partial(_drawn, explorer))
    with gr.Row():
        with gr.Column(min_width=300, elem_classes="large"):
            shown = gr.HTML(show(first, 1.0, 0))
        with gr.Column(min_width=300):
            gr.Markdown(f"## New images\n{SAMPLING}")
            choices = [(SAMPLERS.get(name, name), name) for name in explorer.samplers]
            sampler = gr.Radio(choices, value=first, label="Sampler")
            temperature = gr.Slider(0, MAX_TEMPERATURE, 1.0, step=0.05, label="Temperature", buttons=[])
            seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=MAX_SEED)
            _unchecked(sampler, temperature, seed)
            other = gr.Button("Draw others", variant="primary")
    controls = [sampler, temperature, seed]
    gr.on([temperature.input, seed.input], show, controls, shown, **FOLLOWS)
    sampler.input(show, controls, shown, **WAITS)
    other.click(_next, seed, seed, **FOLLOWS).then(show, controls, shown, **FOLLOWS)


def _next(seed: object) -> int:
    try:
        return (int(number("seed", seed)) + 1) % MAX_SEED
    except UserError:
        return 0


def _drawn(explorer: Explorer, sampler: str, temperature: float, seed: int) -> str:
    temperature, seed = number("temperature", temperature), number("seed", seed)
    images = explorer.draw(sampler, temperature, seed)
    caption = f"{len(images)} draws: {sampler}, temperature {temperature:g}, seed {seed:.0f}"
    return figures.figure(figures.sheet(images), caption, "samples.png")


def _reconstruct(explorer: Explorer, held_out: np.ndarray) -> None:
    show = _safely(functools.partial(_reconstructed, explorer))
    with gr.Row():
        with gr.Column(min_width=300, elem_classes="large"):
            shown = gr.HTML()
        with gr.Column(min_width=300):
            gr.Markdown(f"## Reconstruct an image\n{RECONSTRUCTING}")
            picker = Picker("image", explorer.read, held_out, lambda image: image, 0)
    shown.value = show(picker.state.value)
    picker.on_choice(show, [picker.state], shown)


def _reconstructed(explorer: Explorer, image: np.ndarray | None) -> str:
    if image is None:
        return figures.hint("Choose an image.")
    made = explorer.reconstruct(image)
    return figures.side_by_side(
        figures.figure(made.original, f"Original, {image.shape[1]} x {image.shape[0]} pixels"),
        figures.figure(made.image, f"Reconstruction, PSNR {made.psnr:.1f} dB", "reconstruction.png"),
    )


def _unchecked(*components: gr.components.Component) -> None:
    """Leave the check of what a browser sends to the explorer: what it refuses is a sentence on the page.

    What Gradio refuses is a traceback on the console.
    """
    for component in components:
        component.preprocess = lambda value: value


def _safely(make: Callable[..., str]) -> Callable[..., str]:
    """Return a function that shows a user's mistake in place of the picture."""

    def call(*values: object) -> str:
        try:
            return make(*values)
        except UserError as error:
            return figures.problem(str(error))

    return call
