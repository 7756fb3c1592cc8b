"""The style panel on tiny networks."""

import pytest
import torch
from tiny_panels import stop_after
from tiny_training import tiny_networks

from stylegan2.editing.latents import ws_from_seeds
from stylegan2.panels.style import StylePanel, render_style


@pytest.fixture(scope="module")
def scene():
    g, d = tiny_networks(16, 6, 1)
    g.mapping.update_mean(100)
    g.eval().requires_grad_(False)
    shades = {"dark": -0.8, "light": 0.8}
    drawings = {
        name: (torch.full((3, 16, 16), shade), ws_from_seeds(g, [i])) for i, (name, shade) in enumerate(shades.items())
    }
    return g, d.eval(), drawings, ws_from_seeds(g, [5, 6, 7]), {}


def pixels(picture) -> bytes:
    return picture.convert("RGB").tobytes()


def test_a_style_is_learnt_once_and_shown(scene, monkeypatch, tmp_path):
    panel = StylePanel(*scene)
    panel.folder = tmp_path
    panel.controls["iterations"].value = 3
    panel.update()
    before = pixels(panel.picture)
    panel.learn()
    after = pixels(panel.picture)
    assert panel.message.value == "" and after != before and list(panel.styles) == [("dark", 3, False)]
    monkeypatch.setattr("stylegan2.panels.style.stylize_steps", None)  # calling it again would be an error
    panel.learn()
    panel.controls["drawing"].value = "light"
    assert pixels(panel.picture) not in (before, after)
    panel.controls["drawing"].value = "dark"
    assert pixels(panel.picture) == after
    assert panel.save().is_file()


def test_the_strength_moves_what_is_stylised(scene):
    panel = StylePanel(*scene)
    panel.controls["iterations"].value = 2
    panel.learn()
    g, _, drawings, faces, _ = scene
    asked = {"drawing": "dark", "iterations": 2, "keep_colours": False}
    shown = [pixels(render_style(g, drawings, faces, panel.styles, alpha, **asked)) for alpha in (0.0, 0.5, 1.0)]
    assert len(set(shown)) == 3


def test_what_was_learnt_already_is_shown_first(scene):
    g = scene[0]
    panel = StylePanel(*scene[:4], {("light", 7, True): g})
    assert panel.settings == {"drawing": "light", "iterations": 7, "keep_colours": True, "strength": 1.0}


def test_stopped_by_the_kernel_it_keeps_what_was_learnt(scene, monkeypatch):
    panel = StylePanel(*scene)
    stop_after(panel, 2, monkeypatch)
    panel.learn()
    assert list(panel.styles) == [("dark", 2, False)] and panel.settings["iterations"] == 2
    panel.apply({"iterations": 3})
    monkeypatch.setattr(panel, "watch", lambda items, unit, total=None: items)
    panel.learn()  # the rest is not taken for done
    assert list(panel.styles) == [("dark", 2, False), ("dark", 3, False)]


def test_unknown_drawings_and_settings_are_told(scene):
    g, _, drawings, faces, _ = scene
    with pytest.raises(ValueError, match="expected one of dark, light"):
        render_style(g, drawings, faces, {}, drawing="none", iterations=1, keep_colours=False)
    panel = StylePanel(*scene, record={"model": "tiny"})
    panel.apply({"drawing": "light", "strength": 0.5, "model": "tiny"})
    assert panel.settings["drawing"] == "light"
    with pytest.raises(ValueError, match="strength is 2"):
        panel.apply({"strength": 2})
