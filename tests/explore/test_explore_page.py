"""The page in Chromium: every control changes the picture, by keyboard, on a phone, and where something is wrong."""

import functools
import io

import numpy as np
import pytest
from PIL import Image

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
pytestmark = pytest.mark.backend_free

# How many controls each tab holds once all of it is drawn.
TABS = {"Change": 13, "Between": 12, "Sample": 8, "Reconstruct": 4}
CONTROLS = {"button", "slider", "spinbutton", "radio", "textbox", "link", "tab", "checkbox", "combobox"}
BROKEN = {"name": "broken.png", "mimeType": "image/png", "buffer": b"this is no picture"}

# Whether nothing lies over a picture, at any of its points on a grid of 8 pixels.
UNCOVERED = """image => {
  const {left, top, width, height} = image.getBoundingClientRect(), over = [];
  for (let x = left + 8; x < left + width - 8; x += 8)
    for (let y = Math.max(top, 0) + 8; y < top + height - 8; y += 8)
      over.push(document.elementFromPoint(x, y));
  return over.every(element => element === image);
}"""


def png(seed=0):
    """A picture of another size than the model's."""
    colours = np.random.default_rng(seed).integers(0, 256, (2, 2, 3), dtype="uint8")
    file = io.BytesIO()
    Image.fromarray(colours).resize((40, 24)).save(file, "PNG")
    return {"name": "mine.png", "mimeType": "image/png", "buffer": file.getvalue()}


def tab(page, name):
    """Go to a tab by keyboard, and wait until all of it is drawn; return what it holds."""
    chosen = page.get_by_role("tab", name=name)
    chosen.press("Enter")
    sync_api.expect(chosen).to_have_attribute("aria-selected", "true")
    panel = page.get_by_role("tabpanel").filter(visible=True)
    controls = functools.reduce(lambda some, more: some.or_(more), map(panel.get_by_role, sorted(CONTROLS)))
    sync_api.expect(controls).to_have_count(TABS[name])
    return panel


def picture(panel):
    """The large picture of a tab."""
    return panel.locator(".large img").last


def changes(panel, act):
    """Do something, and wait until the large picture is another."""
    before = picture(panel).get_attribute("src")
    act()
    sync_api.expect(picture(panel)).not_to_have_attribute("src", before)


def upload(panel, button, file):
    """Choose a file by keyboard."""
    with panel.page.expect_file_chooser() as chooser:
        panel.get_by_role("button", name=button, exact=True).press("Enter")
    chooser.value.set_files(file)


def press(control, key):
    """An action: press a key in a control."""
    return lambda: control.press(key)


def test_every_slider_and_button_changes_the_image(open_page):
    panel = tab(open_page(), "Change")
    sliders = panel.get_by_role("slider").all()
    assert len(sliders) == 3
    start = picture(panel).get_attribute("src")
    for slider in sliders:
        changes(panel, press(slider, "End"))
    sync_api.expect(panel).to_contain_text("axis 1 +3.0, axis 2 +3.0, axis 3 +3.0")
    changes(panel, press(panel.get_by_role("button", name="Random"), "Enter"))
    changes(panel, press(panel.get_by_role("button", name="All to 0"), "Enter"))
    sync_api.expect(picture(panel)).to_have_attribute("src", start)
    sync_api.expect(sliders[0]).to_have_value("0")
    changes(panel, lambda: panel.get_by_role("spinbutton").first.fill("-2"))


def test_arrow_keys_move_a_slider_by_a_tenth(open_page):
    panel = tab(open_page(), "Change")
    panel.get_by_role("slider").first.press("ArrowRight")
    sync_api.expect(panel).to_contain_text("Moved: axis 1 +0.1")


def test_the_sliders_start_from_an_upload_or_a_held_out_image(open_page):
    panel = tab(open_page(), "Change")
    mean = picture(panel).get_attribute("src")
    changes(panel, lambda: upload(panel, "Upload image", png()))
    changes(panel, press(panel.get_by_role("slider").first, "Home"))
    changes(panel, press(panel.get_by_role("button", name="Thumbnail 2 of 2"), "Enter"))
    sync_api.expect(panel.get_by_role("slider").first).to_have_value("0")
    changes(panel, press(panel.get_by_role("button", name="Start from the mean"), "Enter"))
    sync_api.expect(picture(panel)).to_have_attribute("src", mean)


def test_a_broken_upload_is_told_and_changes_nothing(open_page):
    panel = tab(open_page(), "Change")
    sliders = panel.get_by_role("slider").all()
    changes(panel, press(sliders[0], "End"))
    upload(panel, "Upload image", BROKEN)
    complaint = panel.get_by_role("alert")
    sync_api.expect(complaint).to_contain_text("cannot be read as an image: not an image that can be read (JPEG, PNG,")
    changes(panel, press(sliders[1], "Home"))
    changes(panel, press(sliders[2], "Home"))
    sync_api.expect(panel).to_contain_text("axis 1 +3.0, axis 2 -3.0, axis 3 -3.0")
    changes(panel, lambda: upload(panel, "Upload image", png()))
    sync_api.expect(complaint).to_have_count(0)


def test_the_picture_stays_in_sight_on_a_phone(open_page):
    page = open_page(width=390)
    panel = tab(page, "Change")
    panel.get_by_role("slider").last.scroll_into_view_if_needed()
    page.mouse.wheel(0, 400)
    sync_api.expect(picture(panel)).to_be_in_viewport(ratio=0.9)
    page.wait_for_function(UNCOVERED, arg=picture(panel).element_handle())


def test_between_two_images(open_page):
    panel = tab(open_page(), "Between")
    way = panel.get_by_role("slider")
    changes(panel, press(way, "Home"))
    changes(panel, press(way, "End"))
    changes(panel, lambda: upload(panel, "Upload image B", png(1)))
    changes(panel, press(way, "Home"))
    changes(panel, press(panel.get_by_role("button", name="Thumbnail 2 of 2").first, "Enter"))
    changes(panel, lambda: panel.get_by_role("spinbutton").fill("50"))
    sync_api.expect(panel).to_contain_text("50 % of the way from A to B, straight line")
    changes(panel, panel.get_by_role("radio", name="great arc").check)


def test_samples(open_page):
    panel = tab(open_page(), "Sample")
    for sampler in ("prior", "mixture", "gaussian"):
        changes(panel, panel.get_by_role("radio", name=f"{sampler}:").check)
    changes(panel, press(panel.get_by_role("slider", name="Temperature"), "Home"))
    changes(panel, press(panel.get_by_role("slider", name="Temperature"), "End"))
    changes(panel, press(panel.get_by_role("button", name="Draw others"), "Enter"))
    seed = panel.get_by_role("spinbutton", name="Seed")
    sync_api.expect(seed).to_have_value("1")
    changes(panel, lambda: seed.fill("7"))


def test_an_upload_is_reconstructed_and_downloaded(open_page):
    panel = tab(open_page(), "Reconstruct")
    changes(panel, lambda: upload(panel, "Upload image", png()))
    sync_api.expect(panel).to_contain_text("Reconstruction, PSNR")
    with panel.page.expect_download() as download:
        panel.get_by_role("link", name="Download PNG").press("Enter")
    assert download.value.suggested_filename == "reconstruction.png"
    with Image.open(download.value.path()) as saved:
        assert (saved.format, saved.size, saved.mode) == ("PNG", (16, 16), "RGB")


def test_a_phone_shows_all_of_it_and_every_control_has_a_name(open_page):
    page = open_page(width=390)
    for name in TABS:
        tab(page, name)
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        nodes = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
        controls = [node for node in nodes if not node["ignored"] and node["role"]["value"] in CONTROLS]
        assert len(controls) >= TABS[name]
        assert [node for node in controls if not node.get("name", {}).get("value")] == []


def test_it_works_without_motion(open_page):
    page = open_page(reduced_motion="reduce")
    panel = tab(page, "Change")
    changes(panel, press(panel.get_by_role("slider").first, "End"))
    moving = "[...document.querySelectorAll('*')].some(e => getComputedStyle(e).animationName != 'none')"
    assert not page.evaluate(moving)


def test_the_heading_is_the_run_as_text(open_page):
    sync_api.expect(open_page().get_by_role("heading", level=1)).to_have_text("_faces_ & <co>")
