"""The layer-swapping panel without a browser: what its pictures show, and what its controls do."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_panels
import torch

from stylegan2 import display
from stylegan2.editing import figures, latents
from stylegan2.editing.layer_swapping import swap, swap_images, target_share
from stylegan2.networks import Generator
from stylegan2.panels import swap as panels
from stylegan2.panels.panel import Worlds
from stylegan2.panels.swap import (
    BARS,
    BETWEEN,
    GAP,
    LINE,
    REST,
    TARGET,
    WIDTH,
    render_swap,
    share_bars,
    swap_panel,
)

SIZES = [4, 8, 16, 32]
LARGE = (WIDTH - 2 * BETWEEN) // 3
SMALL = (WIDTH - GAP * len(SIZES)) // (len(SIZES) + 1)


@pytest.fixture(scope="module")
def source() -> Generator:
    return tiny_panels.generator(1)


@pytest.fixture(scope="module")
def targets() -> dict[str, Generator]:
    return tiny_panels.targets()


def large(picture, column: int) -> np.ndarray:
    """Pixels of a large picture, by column."""
    x = column * (LARGE + BETWEEN)
    return np.asarray(picture.crop((x, LINE, x + LARGE, LINE + LARGE)))


def small(picture, column: int) -> np.ndarray:
    """Pixels of a picture of the strip, by column."""
    x, y = column * (SMALL + GAP), LINE + LARGE + 8 + LINE
    return np.asarray(picture.crop((x, y, x + SMALL, y + SMALL)))


def enlarged(image: torch.Tensor) -> np.ndarray:
    return np.asarray(display.to_pil(image[0]).resize((LARGE, LARGE), display.Image.Resampling.BICUBIC))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("width", [0.0, 0.5])
def test_source_swapped_and_target_are_what_they_say(source, targets, width, reverse):
    picture = render_swap(Worlds(source, targets), "portrait", 16, width, seed=5, truncation=0.7, reverse=reverse)
    ws = latents.ws_from_seeds(source, [5], 0.7)
    low, high = (targets["portrait"], source) if reverse else (source, targets["portrait"])
    expected = [low.synthesis(ws, "const"), swap(low, high, 16, width).synthesis(ws, "const")]
    expected.append(high.synthesis(ws, "const"))
    for column, image in enumerate(expected):
        difference = np.abs(large(picture, column).astype(int) - enlarged(image))
        assert difference.max() <= 1, (column, difference.max())


def test_the_strip_shows_every_cut_and_marks_the_chosen_one(source, targets):
    ws = latents.ws_from_seeds(source, [0], 0.8)
    for column, cut in enumerate(reversed(SIZES), start=1):
        picture = render_swap(Worlds(source, targets), "webtoon", cut)
        for other in range(len(SIZES) + 1):
            framed = (small(picture, other)[[0, -1]] == TARGET).all()
            assert framed == (other == column)
        inside = np.s_[8:-8, 8:-8]  # without the frame
        image = display.to_pil(swap_images(source, targets["webtoon"], ws, cut)[0])
        expected = np.asarray(image.resize((SMALL, SMALL), display.Image.Resampling.BICUBIC))
        assert np.abs(small(picture, column)[inside].astype(int) - expected[inside]).max() <= 1


def test_a_soft_cut_changes_only_the_picture_in_the_middle_and_the_shares(source, targets):
    hard, soft = (render_swap(Worlds(source, targets), "webtoon", 16, width) for width in (0.0, 1.0))
    same = [np.array_equal(large(hard, column), large(soft, column)) for column in range(3)]
    assert same == [True, False, True]
    assert all(np.array_equal(small(hard, column), small(soft, column)) for column in range(5))
    bars = LINE + LARGE + 8 + LINE + SMALL + 8
    assert hard.crop((0, bars, *hard.size)).tobytes() != soft.crop((0, bars, *soft.size)).tobytes()


def test_bars_fill_by_the_share():
    height = BARS
    shares = target_share(SIZES, 16, 0.5)
    picture = np.asarray(share_bars(shares))[:height]
    each = (WIDTH + GAP) / len(SIZES)
    for i, share in enumerate(shares.values()):
        column = picture[:, round((i + 0.5) * each)]
        filled = (column == TARGET).all(axis=1)
        assert filled.sum() == round(share * height)
        assert (column[~filled] == REST).all() and not filled[: height - filled.sum()].any()


def test_what_was_seen_is_not_drawn_again(source, targets, monkeypatch):
    draws = []
    original = panels.strip
    monkeypatch.setattr(panels, "strip", lambda *a, **k: draws.append(1) or original(*a, **k))
    worlds = Worlds(source, targets)
    settings = dict(style="webtoon", swap_resolution=16, width=0.0, seed=1, truncation=0.8, reverse=False)
    for change in ({}, {"swap_resolution": 8}, {"width": 0.7}):
        settings |= change
        picture = render_swap(worlds, **settings)
        assert picture.tobytes() == render_swap(Worlds(source, targets), **settings).tobytes()
    assert len(draws) == 1 + 3  # once for the three with memory
    for count, change in enumerate([{"seed": 2}, {"truncation": 0.5}, {"reverse": True}, {"style": "portrait"}], 5):
        settings |= change
        render_swap(worlds, **settings)
        assert len(draws) == count and len(worlds.memory) == 1


def test_errors_name_what_there_is(source, targets):
    with pytest.raises(ValueError, match="'disney'.*webtoon, portrait"):
        render_swap(Worlds(source, targets), "disney", 16)
    with pytest.raises(ValueError, match="swap_resolution is 12"):
        render_swap(Worlds(source, targets), "webtoon", 12)
    with pytest.raises(ValueError, match="width is -1"):
        render_swap(Worlds(source, targets), "webtoon", 16, width=-1)


def test_the_panel_follows_its_controls_and_comes_back(source, targets):
    panel = swap_panel(source, targets, record={"model": "none"})
    changes = {"style": "portrait", "swap_resolution": 32, "width": 0.5, "seed": 4, "truncation": 0.3, "reverse": True}
    tiny_panels.check_controls(panel, changes)


def test_every_resolution_can_be_chosen(source, targets):
    panel = swap_panel(source, targets)
    assert list(panel.controls["swap_resolution"].options) == SIZES
    for r in SIZES:
        panel.controls["swap_resolution"].value = r
        assert panel.message.value == ""


def test_paths_go_through_their_points_in_order():
    points = {"source": (0.0, 60.0), "from 16": (0.07, 28.0), "target": (0.13, 24.0)}
    figure = figures.paths({"hard": points, "soft": {"from 16": (0.08, 27.0)}}, "error", "distance", {"floor": 0.12})
    (axis,) = figure.axes
    drawn = {line.get_label(): list(zip(*line.get_data(), strict=True)) for line in axis.lines}
    assert drawn["hard"] == list(points.values()) and drawn["soft"] == [(0.08, 27.0)]
    assert {text.get_text() for text in axis.texts} == {*points, "floor"}
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("error", "distance")


def test_a_preview_shows_the_large_pictures_and_what_was_seen_in_full(source, targets):
    settings = dict(style="webtoon", swap_resolution=16, seed=1)
    full, quick = (render_swap(Worlds(source, targets), **settings, preview=preview) for preview in (False, True))
    assert quick.size == full.size
    assert all(np.abs(large(quick, i).astype(int) - large(full, i)).max() <= 1 for i in range(3))
    plain = [(small(quick, i) == REST).all() for i in range(len(SIZES) + 1)]
    assert plain == [name not in ("none", 16, 4) for name in ["none", *reversed(SIZES)]]
    worlds = Worlds(source, targets)
    render_swap(worlds, **settings)
    assert render_swap(worlds, **settings, preview=True).tobytes() == full.tobytes()


def test_a_soft_preview_is_the_soft_picture(source, targets):
    soft = [
        large(render_swap(Worlds(source, targets), "webtoon", 8, 0.7, preview=p), 1).astype(int) for p in (False, True)
    ]
    assert np.abs(soft[0] - soft[1]).max() <= 1
