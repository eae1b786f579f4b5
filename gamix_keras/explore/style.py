"""The look of the page: Gradio's own theme with the fonts of the system, so nothing is loaded from elsewhere."""

import gradio as gr

# A style element, because Gradio rewrites the selectors of CSS that it is given.
HEAD = """
<style>
/* With hidden overflow the picture would stick to the container. */
.gradio-container { overflow: clip !important; max-width: 68rem !important; margin: 0 auto !important; }
.gradio-container .html-container { padding: 0 !important; }
figure.shown { margin: 0; }
figure.shown img { display: block; width: 100%; height: auto; border-radius: 8px; }
figure.shown figcaption { display: flex; flex-wrap: wrap; gap: 0.2rem 1rem; justify-content: space-between;
  padding-top: 0.4rem; font-size: 0.9rem; color: var(--body-text-color-subdued); }
figure.shown a.save { color: var(--link-text-color); text-decoration: underline; margin: 0; padding: 0; }
a.save:focus-visible { outline: 2px solid var(--link-text-color); outline-offset: 2px; }
.beside { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; }
.problem { border-left: 4px solid #c0392b; background: #fdf0ee; color: #5c1a12; padding: 0.6rem 0.9rem;
  border-radius: 4px; overflow-wrap: anywhere; }
.hint { border: 1px dashed var(--border-color-primary); border-radius: 8px; padding: 2rem 1rem; text-align: center;
  color: var(--body-text-color-subdued); }
.large { position: sticky !important; top: 0; align-self: flex-start; z-index: 100 !important; padding-top: 0.5rem;
  background: var(--body-background-fill); }
.small figure.shown img { max-width: 9rem; }
.picker label.float { position: static !important; box-shadow: none; border: none !important; }
.picker label.float span { display: none; }
.picker .grid-wrap { height: auto !important; min-height: 0 !important; overflow: visible !important; }
.picker .grid-container { grid-template-columns: repeat(6, minmax(0, 1fr)) !important; padding-top: 0.4rem !important;
  grid-auto-rows: auto !important; height: auto !important; }
.picker .gallery-item { height: auto !important; align-self: start; }
.picker .thumbnail-item { aspect-ratio: 1; height: auto !important; }
.picker .caption-label { display: none !important; }
@media (max-width: 640px) {
  .gradio-container .main { padding: 1rem !important; }
  .gradio-container .tab-container button { padding-inline: 0.6rem !important; }
  .large figure.shown img { width: min(100%, 38vh); margin: 0 auto; }
}
@media (prefers-reduced-motion: reduce) {
  *, *::before, *::after { animation: none !important; transition: none !important; scroll-behavior: auto !important; }
}
</style>
"""


def theme() -> gr.themes.Base:
    """Return Gradio's default theme with the fonts of the system."""
    return gr.themes.Default(
        primary_hue="blue", font=("system-ui", "sans-serif"), font_mono=("ui-monospace", "monospace")
    )
