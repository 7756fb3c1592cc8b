"""The text panel without a browser: pictures, the optimisation behind its button, going on from an edited face."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_clip import tiny_clip
from tiny_panels import generator, targets

from stylegan2 import display
from stylegan2.editing.latents import ws_from_seeds
from stylegan2.editing.styleclip import EditConfig, Optimisation
from stylegan2.networks import Generator
from stylegan2.panels import text as panels
from stylegan2.panels.text import (
    ASKED,
    GAP,
    LINE,
    SIDE,
    Scene,
    TextPanel,
    config_of,
    edit_for,
    loss_strip,
    render_text,
    text_panel,
)
from stylegan2.published.clip_model import ClipModel

ASK = {
    "text": "red hair", "neutral": "", "layers": "all", "steps": 5, "l2": 0.002, "keep": 0.0, "found_on": "this face",
    "seed": 3, "truncation": 0.8,
}  # fmt: skip


@pytest.fixture(scope="module")
def clip() -> ClipModel:
    return tiny_clip()


@pytest.fixture
def scene(clip) -> Scene:
    return Scene(generator(1), targets(), clip)


@pytest.fixture
def panel(scene, tmp_path) -> TextPanel:
    """Five steps."""
    panel = text_panel(scene.source, scene.targets, scene.clip, record={"model": "none"})
    panel.folder = tmp_path
    panel.controls["steps"].value = 5
    return panel


@pytest.fixture
def optimisations(monkeypatch) -> list:
    """One entry for every optimisation that begins."""
    begun: list = []
    monkeypatch.setattr(panels, "Optimisation", lambda *a: begun.append(1) or Optimisation(*a))
    return begun


def place(picture: Image.Image, row: int, column: int) -> np.ndarray:
    """Pixels of a face: row 0 the source, 1 the target; column 0 before, 1 after."""
    x, y = column * (SIDE + GAP), row * (SIDE + LINE) + LINE
    return np.asarray(picture.crop((x, y, x + SIDE, y + SIDE))).astype(int)


def face(g: Generator, codes: torch.Tensor) -> np.ndarray:
    image = display.to_pil(g.synthesis(codes, "const")[0])
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BICUBIC)).astype(int)


def press(panel: TextPanel, name: str) -> None:
    buttons = {button.description: button for button in panel.box.children[0].children[0].children}
    buttons[name].click()


# ------------------------------------------------------------------------------------------------------------- pictures
@pytest.mark.parametrize("style", ("webtoon", "portrait"))
@pytest.mark.parametrize("strength", (-1.5, 1.0, 2.0))
def test_the_picture_shows_before_and_after_in_both_models(scene, style, strength):
    edit = edit_for(scene, **ASK)
    picture = render_text(scene, style, strength, **ASK)
    ws = ws_from_seeds(scene.source, [3], 0.8)
    for row, g in enumerate((scene.source, scene.targets[style])):
        for column, codes in enumerate((ws, edit.at(strength))):
            difference = np.abs(place(picture, row, column) - face(g, codes))
            assert difference.max() <= 1, (row, column)
        assert np.abs(place(picture, row, 0) - place(picture, row, 1)).max() > 5


def test_strength_0_shows_the_face_before(scene):
    edit_for(scene, **ASK)
    picture = render_text(scene, "webtoon", 0.0, **ASK)
    for row in (0, 1):
        assert np.array_equal(place(picture, row, 0), place(picture, row, 1))


def test_without_an_edit_the_face_is_shown_as_it_is_and_nothing_is_optimised(scene, monkeypatch):
    monkeypatch.setattr(panels, "Optimisation", None)
    picture = render_text(scene, "webtoon", 2.0, **ASK)
    assert picture.size == (2 * SIDE + GAP, 2 * (SIDE + LINE))
    assert np.array_equal(place(picture, 0, 0), place(picture, 0, 1)) and not scene.edits


def test_the_strip_draws_the_loss(scene):
    edit = edit_for(scene, **ASK)
    strip = np.asarray(loss_strip(edit, 300))
    curve = (strip == panels.CURVE).all(2)
    assert strip.shape == (panels.PLOT, 300, 3) and curve.any()
    losses = [row["loss"] for row in edit.history]
    columns = [np.flatnonzero(curve[:, 4 + round(i * 291 / 4)]).mean() for i in range(5)]  # y down
    order = np.argsort(columns)[::-1]
    assert order[0] == np.argmin(losses) and order[-1] == np.argmax(losses)
    picture = render_text(scene, "webtoon", 1.0, **ASK)
    assert picture.height == 2 * (SIDE + LINE) + 4 + panels.PLOT


def test_an_edit_is_made_once_for_all_that_it_depends_on(scene, optimisations):
    first = edit_for(scene, **ASK)
    assert edit_for(scene, **ASK) is first and len(optimisations) == 1
    changes = {
        "text": "glasses", "neutral": "hair", "layers": "coarse", "steps": 6, "l2": 0.01, "keep": 1.0,
        "found_on": "16 faces", "seed": 4, "truncation": 0.5,
    }  # fmt: skip
    assert set(changes) == set(ASKED)
    for count, (name, value) in enumerate(changes.items(), 2):
        other = edit_for(scene, **ASK | {name: value})
        assert len(optimisations) == count == len(scene.edits)
        assert other.end.shape != first.end.shape or not torch.equal(other.end, first.end), name


def test_an_edit_found_on_many_faces_fits_every_seed(scene, optimisations):
    many = ASK | {"found_on": "16 faces"}
    edit = edit_for(scene, **many)
    way = (edit.end - edit.start).mean(0)
    assert len(edit.start) == 16 and edit.config.together
    pictures = {}
    for seed in (3, 40):
        assert edit_for(scene, **many | {"seed": seed}) is edit and len(optimisations) == 1
        pictures[seed] = render_text(scene, "webtoon", 1.5, **many | {"seed": seed})
        codes = ws_from_seeds(scene.source, [seed], 0.8)
        assert np.abs(place(pictures[seed], 0, 0) - face(scene.source, codes)).max() <= 1
        assert np.abs(place(pictures[seed], 0, 1) - face(scene.source, codes + 1.5 * way)).max() <= 1


def test_an_empty_neutral_text_is_none():
    assert config_of("red hair", "  ").neutral is None and config_of("red hair", " hair ").neutral == "hair"


def test_errors_name_what_there_is(scene):
    with pytest.raises(ValueError, match="unknown style 'disney': expected one of webtoon, portrait"):
        render_text(scene, "disney", **ASK)
    with pytest.raises(ValueError, match="the text is empty"):
        render_text(scene, "webtoon", **ASK | {"text": " "})


# ------------------------------------------------------------------------------------------------------------ the panel
def test_the_button_edits_and_the_strength_is_free(panel, optimisations):
    panel.update()
    before = panel.image.value
    press(panel, "Edit")
    assert len(optimisations) == 1 and panel.message.value == "" and panel.image.value != before
    pictures = {panel.image.value}
    for strength in (-2.0, 0.5, 3.0):
        panel.controls["strength"].value = strength
        pictures.add(panel.image.value)
    panel.controls["style"].value = "portrait"
    assert len(pictures) == 4 and panel.image.value not in pictures
    press(panel, "Edit")
    assert len(optimisations) == 1  # it is there


def test_every_control_moves_the_picture(panel):
    changes = {
        "text": "glasses", "neutral": "hair", "found_on": "16 faces", "strength": -0.5, "style": "portrait", "seed": 9,
        "truncation": 0.3, "layers": "middle", "steps": 7, "l2": 0.01, "keep": 1.0,
    }  # fmt: skip
    assert list(changes) == list(panel.controls)
    panel.start()
    for name, value in changes.items():
        before = panel.image.value
        panel.controls[name].value = value
        if name not in ("strength", "style"):  # another edit
            panel.start()
        assert panel.image.value != before and panel.message.value == "", name


def test_settings_rebuild_the_identical_picture(panel, scene):
    panel.controls["strength"].value, panel.controls["seed"].value = 1.6, 11
    panel.start()
    text, there = panel.show_settings(), panel.picture.tobytes()
    assert json.loads(text)["model"] == "none"
    panel.reset()
    assert panel.picture.tobytes() != there
    other = text_panel(scene.source, scene.targets, scene.clip, record={"model": "none"})  # knows no edits
    for each in (panel, other):
        each.apply(text)
        assert each.picture.tobytes() == there
    settings = {name: value for name, value in json.loads(text).items() if name in panel.controls}
    assert render_text(other.scene, **settings).tobytes() == there


def test_settings_without_an_edit_make_none(panel, optimisations):
    panel.update()
    there = panel.picture.tobytes()
    text = panel.show_settings()
    panel.controls["seed"].value = 7
    panel.apply(text)
    assert panel.picture.tobytes() == there and not optimisations and panel.message.value == ""


def test_settings_of_a_stopped_edit_rebuild_it(panel, scene):
    scene = panel.scene
    edit_for(scene, 2, **panel.asked)
    panel.update()
    text, there = panel.show_settings(), panel.picture.tobytes()
    assert json.loads(text)["steps_done"] == 2
    other = text_panel(scene.source, scene.targets, scene.clip, record={"model": "none"})
    other.apply(text)
    assert other.picture.tobytes() == there


def test_errors_are_shown_inside_the_panel(panel):
    panel.update()
    before = panel.image.value
    for changes, message in (
        ({"text": "   "}, "the text is empty"),
        ({"text": "red " * 80}, "a text is too long"),
        ({"text": "hair", "neutral": "hair"}, "no direction between them"),
    ):
        for name, value in changes.items():
            panel.controls[name].value = value
        press(panel, "Edit")
        assert "ValueError" in panel.message.value and message in panel.message.value
        assert panel.image.value == before and not panel.scene.edits  # the picture stays
    panel.controls["text"].value = "red hair"
    assert panel.message.value == "" and panel.image.value == before


def test_unknown_words_are_named_and_the_edit_is_made(panel, clip, monkeypatch):
    monkeypatch.setattr(clip, "unknown_words", lambda text: [w for w in text.split() if w == "spaceship"])
    panel.controls["text"].value = "a red spaceship"
    press(panel, "Edit")
    assert "never saw: spaceship" in panel.message.value and len(panel.scene.edits) == 1
    panel.controls["strength"].value = 2.0
    assert "never saw: spaceship" in panel.message.value
    panel.controls["text"].value = "red hair"
    assert panel.message.value == ""


def test_a_text_of_unknown_words_is_refused(panel, clip, monkeypatch):
    def refuse(text):
        raise ValueError(f"{text!r} says nothing to this CLIP")

    monkeypatch.setattr(clip, "check_text", refuse)
    panel.controls["text"].value = "검은 머리"
    press(panel, "Edit")
    assert "says nothing to this CLIP" in panel.message.value and not panel.scene.edits


# ------------------------------------------------------------------------------------------------------ in a notebook
async def until_step(panel: TextPanel, step: int) -> None:
    """Let the loop turn until the panel tells of so many steps."""
    for _ in range(10_000):
        if f"step {step} of" in panel.message.value:
            return
        await asyncio.sleep(0)
    raise AssertionError(f"no step {step}: {panel.message.value!r}")


def test_a_running_optimisation_shows_itself_and_ends(panel, scene):
    panel.controls["steps"].value = 9
    expected = edit_for(Scene(scene.source, scene.targets, scene.clip), **ASK | {"steps": 9, "l2": EditConfig.l2})
    shown = []

    async def work():
        panel.start()
        for step in (1, 5, 9):
            await until_step(panel, step)
            shown.append(panel.image.value)
        await panel._task

    asyncio.run(work())
    (edit,) = panel.scene.edits.values()
    assert edit.stopped == "done" and torch.equal(edit.end, expected.end) and edit.history == expected.history
    assert len(set(shown)) == 3 and panel.message.value == ""
    assert np.abs(place(panel.picture, 0, 1) - face(scene.source, edit.at(1.0))).max() <= 1


def test_stop_ends_early_and_keeps_an_edit(panel, scene):
    panel.controls["steps"].value = 200

    async def work():
        panel.start()
        task = panel._task
        await until_step(panel, 5)
        press(panel, "Stop")
        await task

    asyncio.run(work())
    (edit,) = panel.scene.edits.values()
    assert edit.stopped == "interrupted" and 5 <= len(edit.history) < 20
    assert np.abs(place(panel.picture, 0, 1) - face(scene.source, edit.at(1.0))).max() <= 1
    press(panel, "Stop")  # nothing is running: nothing happens
    assert panel.message.value == ""


def test_reset_ends_a_running_optimisation(panel):
    panel.controls["steps"].value = 300

    async def reset_while_it_runs():
        panel.start()
        task = panel._task
        for _ in range(6):
            await asyncio.sleep(0)
        panel.reset()
        there = panel.image.value
        await asyncio.wait({task}, timeout=20)
        return there

    there = asyncio.run(reset_while_it_runs())
    assert panel.settings == panel.defaults and panel.image.value == there


def test_in_a_script_an_error_is_raised(panel, monkeypatch):
    def broken(self):
        raise RuntimeError("out of luck")

    monkeypatch.setattr(Optimisation, "step", broken)
    with pytest.raises(RuntimeError, match="out of luck"):
        panel.start()


def test_edit_after_stop_is_made_anew(panel):
    panel.controls["steps"].value = 9

    async def work():
        panel.start()
        first = panel._task
        await until_step(panel, 5)
        panel.start()  # pressed again while it runs
        await first
        await panel._task

    asyncio.run(work())
    (edit,) = panel.scene.edits.values()
    assert edit.stopped == "done" and len(edit.history) == 9


def test_a_control_moved_meanwhile_changes_the_next_edit_not_this_one(panel):
    panel.controls["steps"].value = 9

    async def work():
        panel.start()
        await until_step(panel, 1)
        panel.controls["seed"].value = 50
        await panel._task

    asyncio.run(work())
    ((key, edit),) = panel.scene.edits.items()
    assert dict(zip(ASKED, key, strict=True))["seed"] == 3
    assert torch.equal(edit.start, ws_from_seeds(panel.scene.source, [3], 0.8))
    assert panel.settings["seed"] == 50 and np.array_equal(place(panel.picture, 0, 0), place(panel.picture, 0, 1))


def test_an_error_while_running_is_shown(panel, monkeypatch):
    def fails(run):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(panels.Optimisation, "step", fails)

    async def work():
        panel.start()
        await panel._task

    asyncio.run(work())
    assert "RuntimeError" in panel.message.value and "out of memory" in panel.message.value
    assert not panel.scene.edits


# ------------------------------------------------------------------------------------------------------------- the film
def test_the_film_goes_to_the_strength_and_back(panel, monkeypatch):
    monkeypatch.setattr("stylegan2.panels.panel.FRAMES", 4)
    with pytest.raises(ValueError, match="press Edit first"):
        panel.frames()
    panel.start()
    panel.controls["strength"].value = 2.0
    frames = panel.frames()
    asked = panel.settings
    for i, strength in ((0, 0.0), (2, 2.0)):
        assert frames[i].tobytes() == render_text(panel.scene, **asked | {"strength": strength}).tobytes()
    assert Image.open(panel.save()).tobytes() == panel.picture.tobytes()
    path = panel.save_video()
    assert path.name == "text-001.mp4" and path.stat().st_size > 500
    panel.controls["strength"].value = 0.0
    with pytest.raises(ValueError, match="move strength away from 0"):
        panel.frames()
