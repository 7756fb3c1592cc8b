"""The style panel on tiny networks."""

import pytest
import torch
from tiny_training import tiny_networks

from stylegan2.editing.latents import ws_from_seeds
from stylegan2.panels.style import StylePanel, render_style


@pytest.fixture(scope="module")
def scene():
    g, d = tiny_networks(16, 6, 1)
    g.mapping.update_mean(100)
    g.eval().requires_grad_(False)
    drawings = {
        name: (torch.full((3, 16, 16), value), ws_from_seeds(g, [i]))
        for i, (name, value) in enumerate({"dark": -0.8, "light": 0.8}.items())
    }
    return g, d.eval(), drawings, ws_from_seeds(g, [5, 6, 7])


def pixels(picture) -> bytes:
    return picture.convert("RGB").tobytes()


def test_it_shows_the_source_until_a_style_is_learnt_and_learns_each_once(scene, monkeypatch, tmp_path):
    panel = StylePanel(*scene)
    panel.folder = tmp_path
    panel.controls["iterations"].value = 3
    panel.update()
    before = panel.picture
    panel.learn()
    assert panel.message.value == "" and panel.picture.height > before.height
    assert list(panel.styles) == [("dark", 3, False)]
    monkeypatch.setattr("stylegan2.panels.style.stylizing", None)  # would be an error
    panel.learn()
    panel.controls["drawing"].value = "light"
    assert panel.picture.height == before.height
    panel.controls["drawing"].value = "dark"
    assert panel.picture.height > before.height
    assert panel.save().is_file()


def test_the_strength_moves_the_last_row_only(scene):
    panel = StylePanel(*scene)
    panel.controls["iterations"].value = 2
    panel.learn()
    g, _, drawings, faces = scene
    asked = {"drawing": "dark", "iterations": 2, "keep_colours": False}
    zero, half, one = (render_style(g, drawings, faces, panel.styles, alpha, **asked) for alpha in (0.0, 0.5, 1.0))
    assert zero.size == half.size == one.size and len({pixels(zero), pixels(half), pixels(one)}) == 3
    top = (0, 0, zero.width, 128)
    assert pixels(zero.crop(top)) == pixels(one.crop(top))


def test_stopped_by_the_kernel_it_keeps_what_was_learnt(scene, monkeypatch):
    panel, steps = StylePanel(*scene), []

    def watch(items, unit, total=None):
        for item in items:
            if len(steps) == 2:
                raise KeyboardInterrupt
            steps.append(item)
            yield item

    monkeypatch.setattr(panel, "watch", watch)
    panel.learn()
    assert len(steps) == 2 and list(panel.styles) == [("dark", 300, False)]


def test_unknown_drawings_and_settings_are_told(scene):
    g, _, drawings, faces = scene
    with pytest.raises(ValueError, match="expected one of dark, light"):
        render_style(g, drawings, faces, {}, drawing="none", iterations=1, keep_colours=False)
    panel = StylePanel(*scene, record={"model": "tiny"})
    panel.apply({"drawing": "light", "strength": 0.5, "model": "tiny"})
    assert panel.settings["drawing"] == "light"
    with pytest.raises(ValueError, match="strength is 2"):
        panel.apply({"strength": 2})
