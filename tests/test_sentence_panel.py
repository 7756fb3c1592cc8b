"""The sentence panel on tiny networks."""

import pytest
from tiny_clip import tiny_clip
from tiny_panels import stop_after
from tiny_training import tiny_networks

from stylegan2.editing.latents import ws_from_seeds
from stylegan2.panels.sentence import SentencePanel, render_sentence

SETTINGS = {"batch": 2, "check_every": 1, "least_variety": 0.0, "lr": 0.01}
ASKED = {"text": "webtoon drawing", "from_text": "photo", "iterations": 3}


@pytest.fixture(scope="module")
def scene():
    g = tiny_networks(16, 6, 1)[0]
    g.mapping.update_mean(100)
    g.eval().requires_grad_(False)
    return g, [tiny_clip()], ws_from_seeds(g, [5, 6, 7])


def panel_of(scene, **more) -> SentencePanel:
    panel = SentencePanel(*scene, settings=SETTINGS, **more)
    panel.apply(ASKED)
    return panel


def pixels(picture) -> bytes:
    return picture.convert("RGB").tobytes()


def test_a_style_is_learnt_once_and_shown(scene, monkeypatch, tmp_path):
    panel = panel_of(scene)
    panel.folder = tmp_path
    panel.update()
    before = pixels(panel.picture)
    panel.learn()
    assert "after" in panel.message.value and pixels(panel.picture) != before
    assert list(panel.styles) == [tuple(ASKED.values())]
    monkeypatch.setattr("stylegan2.panels.sentence.Learning", None)  # calling it again would be an error
    panel.learn()
    assert panel.save().is_file()


def test_the_strength_moves_what_was_learnt(scene):
    panel = panel_of(scene)
    panel.learn()
    shown = [pixels(render_sentence(scene[0], scene[2], panel.styles, a, **ASKED)) for a in (0.0, 0.5, 1.0)]
    assert len(set(shown)) == 3


def test_what_was_learnt_already_is_shown_first(scene):
    panel = SentencePanel(*scene, {("painting", "photo", 7): scene[0]})
    assert panel.settings == {"text": "painting", "from_text": "photo", "iterations": 7, "strength": 1.0}


def test_stopped_by_the_kernel_it_keeps_what_was_learnt(scene, monkeypatch):
    panel = panel_of(scene)
    stop_after(panel, 2, monkeypatch)
    panel.learn()
    ((text, _, done),) = panel.styles
    assert text == "webtoon drawing" and done == panel.settings["iterations"] < 4


def test_impossible_texts_and_settings_are_told(scene):
    panel = panel_of(scene)
    panel.apply({"text": "photo"})
    with pytest.raises(ValueError, match="expected two that differ"):
        panel.learn()
    with pytest.raises(ValueError, match="strength is 2"):
        panel.apply({"strength": 2})
