"""The mixing panel: what the picture shows, boxes and presets."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_panels
from traitlets import TraitError

from stylegan2.editing import latents
from stylegan2.editing.style_mixing import mix_grid
from stylegan2.networks import Generator
from stylegan2.panels import mixing as panels
from stylegan2.panels.mixing import LayerBoxes, mixing_panel, render_mixing
from stylegan2.panels.panel import Worlds

L = 8
CAPTION = 22  # pixels above the grid


@pytest.fixture(scope="module")
def source() -> Generator:
    return tiny_panels.generator(1)


@pytest.fixture(scope="module")
def targets() -> dict[str, Generator]:
    return tiny_panels.targets()


def without_caption(picture) -> np.ndarray:
    return np.asarray(picture)[CAPTION:]


@pytest.mark.parametrize("style", ["photo", "portrait"])
def test_the_picture_is_the_grid_of_consecutive_seeds(source, targets, style):
    picture = render_mixing(Worlds(source, targets), style, "2-3", (2, 5), row_seed=4, column_seed=20, truncation=0.5)
    ws = [latents.ws_from_seeds(source, seeds, 0.5) for seeds in ((4, 5), (20, 21, 22))]
    drawers = [source] if style == "photo" else [source, targets[style]]
    grid = mix_grid(drawers[-1], *ws, "2-3", range(2, 6), ends=drawers)
    expected = grid.picture([4, 5], [20, 21, 22], scale=4)
    assert np.array_equal(without_caption(picture)[:, : expected.width], np.asarray(expected))


def test_without_layers_the_rows_stay(source, targets):
    pixels = [without_caption(render_mixing(Worlds(source, targets), "photo", ())) for _ in range(2)]
    again = without_caption(render_mixing(Worlds(source, targets), "photo", (), column_seed=50))
    size = 128
    assert np.array_equal(pixels[0][-size:, -size:], again[-size:, -size:])
    everything = without_caption(render_mixing(Worlds(source, targets), "photo", "all"))
    assert not np.array_equal(pixels[0][-size:, -size:], everything[-size:, -size:])


def test_faces_at_the_ends_are_drawn_once(source, targets, monkeypatch):
    drawn = []
    original = panels.render_ends
    monkeypatch.setattr(panels, "render_ends", lambda *a, **k: drawn.append(1) or original(*a, **k))
    worlds = Worlds(source, targets)
    settings = {"style": "webtoon", "layers": (0,), "row_seed": 1, "column_seed": 9, "truncation": 0.7}
    for change, count in (
        ({}, 2),
        ({"layers": (2, 3)}, 2),
        ({"row_seed": 2}, 3),
        ({"column_seed": 5}, 4),
        ({"truncation": 0.5}, 6),
        ({"style": "portrait"}, 8),
    ):
        settings |= change
        picture = render_mixing(worlds, **settings)
        assert len(drawn) == count, change
        assert picture.tobytes() == render_mixing(Worlds(source, targets), **settings).tobytes()
        del drawn[count:]


def test_errors_name_what_there_is(source, targets):
    with pytest.raises(ValueError, match="unknown style 'disney': expected one of photo, webtoon, portrait"):
        render_mixing(Worlds(source, targets), "disney", "coarse")
    with pytest.raises(ValueError, match="has no layers 8"):
        render_mixing(Worlds(source, targets), "photo", (8,))


# ------------------------------------------------------------------------------------------------------------- boxes


def test_boxes_and_value_follow_each_other():
    boxes, heard = LayerBoxes(L, (0, 1)), []
    boxes.observe(lambda change: heard.append(change["new"]), "value")
    assert [box.value for box in boxes.boxes] == [True, True] + 6 * [False]
    boxes.boxes[4].value = True
    boxes.value = [7, 2]
    assert heard == [(0, 1, 4), (2, 7)]  # one word for each change, however many boxes moved
    assert [i for i, box in enumerate(boxes.boxes) if box.value] == [2, 7]


def test_presets_tick_their_boxes():
    boxes = LayerBoxes(L)
    buttons = {button.description: button for button in boxes.children[0].children}
    assert list(buttons) == ["all", "coarse", "middle", "fine", "none"]
    for name, layers in (("middle", (2, 3, 4, 5)), ("fine", (6, 7)), ("none", ()), ("all", tuple(range(8)))):
        buttons[name].click()
        assert boxes.value == layers


@pytest.mark.parametrize("wrong", [(8,), (-1,), (True,), ("1",), 3])
def test_boxes_refuse_layers_that_there_are_not(wrong):
    boxes = LayerBoxes(L, (1,))
    with pytest.raises(TraitError):
        boxes.value = wrong
    assert boxes.value == (1,) and boxes.boxes[1].value


# ------------------------------------------------------------------------------------------------------------- panel


def test_the_panel_follows_its_controls_and_comes_back(source, targets):
    panel = mixing_panel(source, targets, record={"model": "none"})
    changes = {"style": "portrait", "layers": (2, 3, 5), "channels": (1, 6), "row_seed": 4, "column_seed": 44}
    tiny_panels.check_controls(panel, changes | {"truncation": 0.3})


def test_a_preview_draws_the_first_row_and_no_new_ends(source, targets):
    drawn, settings = [], {"style": "webtoon", "layers": (2, 3), "row_seed": 1}
    full = np.asarray(render_mixing(Worlds(source, targets), **settings)).astype(int)
    hooks = [
        g.synthesis.blocks["32"].register_forward_hook(lambda *a: drawn.append(1)) for g in (source, targets["webtoon"])
    ]
    quick = np.asarray(render_mixing(Worlds(source, targets), **settings, preview=True)).astype(int)
    for hook in hooks:
        hook.remove()
    assert len(drawn) == 1 and quick.shape == full.shape  # one batch of mixes, no ends
    same = (np.abs(quick - full) <= 1).all(2)
    assert same[-2 * 128 - 2 : -128 - 2, -3 * 128 - 4 :].all()  # the first row, as it will be
    grey = quick[-128:, -3 * 128 - 4 : -2 * 128 - 4]
    assert np.ptp(grey) == 0 and (np.asarray(quick)[CAPTION + 30 : CAPTION + 100, -50:] == grey[0, 0]).all()


def test_a_preview_shows_ends_that_were_seen(source, targets):
    worlds = Worlds(source, targets)
    full = np.asarray(render_mixing(worlds, "webtoon", (2, 3)))
    quick = np.asarray(render_mixing(worlds, "webtoon", (5,), preview=True))
    top = full.shape[0] - 2 * 128 - 2
    assert np.array_equal(quick[CAPTION:top], full[CAPTION:top]) and len(worlds.memory) == 2
    assert np.array_equal(quick[top:, : -3 * 128 - 4], full[top:, : -3 * 128 - 4])
    assert mixing_panel(source, targets).preview is True
