"""The course in a real browser: notebooks opened and run in JupyterLab, panels used with mouse and keyboard.

Notebook 00 as its learner has it, and a notebook with every panel of the course. Screenshots, the server's log and the
pages' consoles are left under build/browser/.
"""

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import browser
import pytest
from browser import FOLDER, ROOT, error_texts, open_notebook, run_all_cells, shoot
from browser_panel import LivePanel

import stylegan2

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

NOTEBOOK = next(iter(sorted((ROOT / "notebooks").glob("00_*.ipynb"))), None)
WIDTHS = (1280, 900)  # of the window, the file browser at its left included


@dataclass(frozen=True)
class Example:
    """A panel of the course, and what to do with it.

    Attributes:
        code: what makes it.
        slider: label of one to drag.
        to: where to, as a fraction of its track.
        click: a button or a box that changes the picture.
    """

    code: str
    slider: str
    to: float
    click: str


PREPARE = """
from pathlib import Path

import torch

from stylegan2.data.dataset import LMDBDataset
from stylegan2.editing.sefa import factorize

photo = course.source()
g = photo.g_ema
targets = {style: course.target("freeze-sg", style).g_ema for style in ("webtoon", "storybook")}
dataset = LMDBDataset(course.dataset("pocket:webtoon?n=64"))
presets = {name: factorize(g, name, count=6) for name in ("all", "coarse", "middle", "fine")}
record = course.record("photo")

from stylegan2.editing.latents import ws_from_seeds
from stylegan2.pocket.world.pages import make_page
from stylegan2.panels.cartoon import Studio
from stylegan2.pocket.nets.perceptual import JudgeDistance

pages = {f"page {seed}": make_page(seed).image for seed in (1, 2)}
studio = Studio(g, targets, JudgeDistance(course.judge), course.encoder, steps=2)
studio.add("somebody", g.synthesis(g.mapping.mean_ws.expand(1, -1, -1), "const")[0])
codes = ws_from_seeds(g, [1, 2, 3])
drawn = targets["webtoon"].synthesis(codes, "const").detach()
drawings = {name: (drawn[i], codes[i : i + 1]) for i, name in enumerate(("first", "second"))}
learnt = {("first", 300, False): targets["webtoon"]}
said = {("webtoon drawing", "photo", 100): targets["webtoon"]}
"""
EXAMPLES = {
    "latent": Example("latent_panel(g, record)", "blend", 0.6, "none"),
    "dataset": Example("dataset_panel(dataset)", "page", 0.9, "mirrored"),
    "augment": Example("augment_panel(torch.stack([dataset[i] for i in range(8)]) / 127.5 - 1)", "p", 0.9, "b"),
    "planner": Example("planner_panel(photo, record)", "source codes", 0.9, "freeze the mapping"),
    "pair": Example("pair_panel(g, targets, course.judge)", "seed", 0.7, "storybook"),
    "swap": Example("swap_panel(g, targets, record)", "swap from", 0.9, "exchange the roles"),
    "directions": Example("directions_panel(g, targets, presets, library='directions')", "0 ·", 0.9, "storybook"),
    "mixing": Example("mixing_panel(g, targets, record)", "channels", 0.6, "fine"),
    "text": Example("text_panel(g, targets, course.clip, record=record)", "ψ", 0.3, "storybook"),
    "detector": Example("detector_panel(pages)", "margin", 0.9, "photo"),
    "cartoon": Example("cartoon_panel(studio, record)", "strength", 0.3, "storybook"),
    "sentence": Example("sentence_panel(g, course.clips, codes, said, record=record)", "strength", 0.3, "Reset"),
    "style": Example("style_panel(g, photo.d, drawings, codes, learnt, record)", "strength", 0.3, "second"),
}
MODULES = {"augment": "dataset", "planner": "freeze_planner"}  # of stylegan2.panels, where it is not the panel's name
every_panel = pytest.mark.parametrize("name", EXAMPLES)


def setup_cell() -> str:
    """The one that every notebook of the course begins with."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return "".join(next(cell["source"] for cell in cells if cell["cell_type"] == "code"))


def panel_cell(name: str) -> str:
    imports = f"from stylegan2.panels.{MODULES.get(name, name)} import {name}_panel"
    return f"{imports}\n\npanel = {EXAMPLES[name].code}\npanel.folder = Path('saved')\npanel.show()"


@pytest.fixture(scope="module")
def lab():
    """Address of a notebook in a JupyterLab of our own, as a function of its name."""
    assert NOTEBOOK is not None, "notebooks/ has no notebook 00"
    shutil.rmtree(FOLDER, ignore_errors=True)
    browser.copy_without_outputs(NOTEBOOK, FOLDER / "notebooks")
    (FOLDER / "docs").unlink(missing_ok=True)
    (FOLDER / "docs").symlink_to(ROOT / "docs")  # the notebook shows drawings of it
    sources = [setup_cell(), PREPARE.strip(), *map(panel_cell, EXAMPLES)]
    browser.write_notebook(FOLDER / "notebooks" / "panels.ipynb", sources)
    with browser.lab_server(FOLDER / "notebooks") as address:
        yield address


@pytest.fixture(scope="module")
def page(lab, chromium):
    """Notebook 00, opened."""
    cells = len(json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"])
    page = open_notebook(chromium, lab(NOTEBOOK.name), cells)
    yield page
    shoot(page, "notebook_6_last")
    page.close()


@pytest.fixture(scope="module")
def panels(lab, chromium):
    """The notebook of all panels, run."""
    page = open_notebook(chromium, lab("panels.ipynb"), 2 + len(EXAMPLES))
    try:
        run_all_cells(page)
        yield page
    finally:
        shoot(page, "panels_last")
        page.close()


def open_panel(page, name: str) -> LivePanel:
    return LivePanel(page, 2 + list(EXAMPLES).index(name), name)


def check_console(page, name: str) -> None:
    (FOLDER / f"console_{name}.txt").write_text("\n".join(page.console.errors))
    assert page.console.errors == []


# --------------------------------------------------------------------------------------------------------- notebook 00


def test_notebook_runs_and_its_panel_answers(page):
    shoot(page, "notebook_1_opened")
    run_all_cells(page)
    shoot(page, "notebook_2_ran")

    panel = LivePanel(page, name="notebook 00's panel")
    first = panel.picture()
    shoot(page, "notebook_3_panel")
    panel.slider("ψ").locator(".noUi-handle").focus()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    panel.wait_for_change(first, "with the arrow keys")
    shoot(page, "notebook_4_slider_moved")
    panel.reset(first)

    with panel.holding("seed") as move:
        move(0.5)
        panel.wait_for_change(first, "while a slider is dragged")
    panel.reset(first)
    shoot(page, "notebook_5_reset")
    assert error_texts(page) == []


def test_notebook_leaves_no_errors_in_the_console(page):
    """After the test above: it judges what that one left in the console."""
    check_console(page, "notebook")


# ---------------------------------------------------------------------------------------------------------- all panels


def test_every_panel_of_the_course_is_here():
    folder = Path(stylegan2.__file__).parent / "panels"
    makers = r"^(?:def (\w+)_panel\(|(\w+)_panel = )"  # functions, and other names of classes
    made = {a or b for path in folder.glob("*.py") for a, b in re.findall(makers, path.read_text(), re.M)}
    assert made == set(EXAMPLES)


@every_panel
def test_panel_follows_drags_and_clicks_and_resets(panels, name):
    panel, example = open_panel(panels, name), EXAMPLES[name]
    first = panel.picture()
    with panel.holding(example.slider) as move:
        move(example.to)
        panel.wait_for_change(first, f"while '{example.slider}' is dragged")
    dragged = panel.picture()
    panel.shoot(f"panel_{name}_dragged")
    panel.click(example.click)
    panel.wait_for_change(dragged, f"after a click on '{example.click}'")
    panel.reset(first)


def test_a_photo_can_be_uploaded(panels):
    panel = open_panel(panels, "cartoon")
    first = panel.picture()
    with panels.expect_file_chooser() as chooser:
        panel.root.get_by_role("button", name="Your photo").click()
    chooser.value.set_files(ROOT / "checkpoints" / "pocket" / "domains.jpg")
    uploaded = panel.wait_for_change(first, "after an upload")
    panel.shoot("panel_cartoon_uploaded")
    assert "domains" in panel.root.inner_text() and uploaded != first
    panel.reset(first)


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_cut_off(panels, width):
    panels.set_viewport_size({**browser.WINDOW, "width": width})
    found = {}
    for name in EXAMPLES:
        panel = open_panel(panels, name)
        panel.shoot(f"panel_{name}_{width}")
        found[name] = panel.layout_faults()
    panels.set_viewport_size(browser.WINDOW)
    assert {name: faults for name, faults in found.items() if faults} == {}


def test_picture_keeps_up_with_a_drag(panels):
    panel = open_panel(panels, "latent")
    seen = [panel.picture()]
    with panel.holding("blend") as move:
        for fraction in (0.4, 0.6, 0.8):
            move(fraction)
            seen.append(panel.wait_for_change(seen[-1], f"at {fraction:.0%} of the slider, mouse still down"))
    panel.reset(seen[0])
    assert len(set(seen)) == len(seen)


def test_fast_drag_ends_at_the_last_position(panels):
    panel = open_panel(panels, "latent")
    first = panel.picture()
    panel.type_number("blend", "1.5")
    end = panel.wait_for_change(first, "after a number was typed")
    panel.reset(first)
    with panel.holding("blend") as move:
        for fraction in (0.9, 0.1, 1.2):  # to the right, back, and beyond the end
            move(fraction, steps=15)
    panel.wait_for_picture(end, "the picture of the last position")
    assert json.loads(panel.copied_settings())["blend"] == 1.5
    assert panel.picture() == end
    panel.reset(first)


def test_copied_settings_bring_the_picture_back(panels):
    panel, field = open_panel(panels, "latent"), "paste settings here, then Enter"
    first = panel.picture()
    panel.type_number("seed", "4")
    panel.wait_for_change(first, "with another seed")
    panel.click("none")
    chosen, settings = panel.picture(), panel.copied_settings()
    panel.shoot("panel_settings_copied")
    assert json.loads(settings)["seed"] == 4 and json.loads(settings)["sha256"]
    panel.reset(first)
    panel.type_text(field, settings)
    panel.wait_for_picture(chosen, "the picture of the pasted settings")

    panel.type_text(field, settings.replace("none", "loud"))
    browser.wait_for(lambda: "loud" in panel.error(), browser.PANEL_SECONDS, "an error inside the panel")
    panel.shoot("panel_settings_refused")
    assert panel.digest() == chosen, "refused settings changed the picture"
    panel.click("Reset")
    browser.wait_for(lambda: panel.digest() == first, browser.PANEL_SECONDS, "the first picture")
    assert panel.error() == ""


def test_video_is_saved_and_plays(panels):
    panel = open_panel(panels, "latent")
    panel.click("Save video")
    film = panel.root.locator("video")
    seconds = panel.wait(lambda: film.count() and film.evaluate("film => film.duration || 0"), "a video that plays")
    saved = list((FOLDER / "notebooks" / "saved").glob("face-*.mp4"))
    panel.shoot("panel_video")
    assert seconds == pytest.approx(3.0, abs=0.1) and len(saved) == 1  # 72 frames, 24 a second
    assert f"saved as {'/'.join(saved[0].parts[-2:])}" in panel.root.inner_text()


def test_text_edit(panels):
    panel = open_panel(panels, "text")
    first, height = panel.picture(), panel.height()
    panel.type_number("steps", "12")
    panel.type_text("text", "a big smile")
    panel.click("Edit")
    panel.wait_for_change(first, "while the edit is optimised")
    panel.wait(lambda: panel.height() > height, "the curve of the loss, below the finished edit")
    edited = panel.picture()
    panel.shoot("panel_text_edited")
    with panel.holding("strength") as move:
        move(0.9)
        panel.wait_for_change(edited, "while the strength is dragged")
    panel.picture()
    panel.shoot("panel_text_stronger")
    panel.reset(first)


def test_panels_leave_no_errors(panels):
    """Last in this file: it judges what the tests above left."""
    assert error_texts(panels) == []
    check_console(panels, "panels")
