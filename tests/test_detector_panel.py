"""The detector panel without a browser."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from stylegan2.collect import detectors
from stylegan2.panels.detector import COLUMNS, HEIGHT, Desk, detector_panel, render_detection
from stylegan2.pocket.world.pages import make_page


@pytest.fixture(scope="module")
def pages():
    return {f"page {seed}": make_page(seed, panels=2, width=300) for seed in (1, 2)}


@pytest.fixture
def desk(pages) -> Desk:
    return Desk({name: page.image for name, page in pages.items()})


def test_every_face_of_the_page_is_shown_and_cut(desk, pages):
    picture = render_detection(desk, "page 2", min_size=20)
    width = round(300 * HEIGHT / pages["page 2"].image.height)
    assert picture.width == width + 8 + COLUMNS * 98 - 2 and picture.height >= HEIGHT
    crops = np.asarray(picture.crop((width + 8, 24, picture.width, picture.height)))
    shown = sum((crops[:96, i * 98 : i * 98 + 96] != 255).mean() > 0.5 for i in range(COLUMNS))
    assert shown == min(COLUMNS, len(pages["page 2"].boxes))


def test_what_is_too_small_is_marked_and_not_cut(desk):
    some, none = (render_detection(desk, "page 2", min_size=size) for size in (20, 200))
    assert not np.array_equal(some, none)
    red = np.array([255, 59, 107])
    assert (np.asarray(none) == red).all(-1).sum() > 50 and not (np.asarray(some) == red).all(-1).any()


def test_only_page_detector_and_sureness_cost_a_search(desk, monkeypatch):
    calls = []
    real = detectors.on_pages
    monkeypatch.setattr(detectors, "on_pages", lambda *a: calls.append(1) or real(*a))
    for settings in ({}, {"margin": 0.1}, {"min_size": 30}, {"lift": 0.0}, {"sure": 0.9}, {"detector": "photo"}):
        render_detection(desk, "page 1", **settings)
    assert len(calls) == 2  # of a network's answers the surer ones are chosen afterwards


def test_choosing_afterwards_gives_what_the_detector_gives(desk, pages):
    for sure in (0.1, 0.5, 0.9):
        found = detectors.on_pages(detectors.make("pocket", min_size=16, sure=sure), pages["page 2"].image)
        assert desk.faces("page 2", "pocket", sure) == found


def test_what_cannot_be_is_said(desk):
    with pytest.raises(ValueError, match="unknown page 'x': expected one of page 1, page 2"):
        render_detection(desk, "x")
    with pytest.raises(ValueError, match="expected auto or one of pocket"):
        render_detection(desk, "page 1", detector="x")
    with pytest.raises(ValueError, match="at least one"):
        detector_panel({})


def test_the_panel_offers_what_needs_no_download_and_rebuilds_its_picture(desk, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    panel = detector_panel(desk.pages, {"pages": 2})
    assert list(panel.controls["detector"].options) == ["pocket", "photo"]
    panel.controls["margin"].value = 0.8
    panel.controls["page"].value = "page 2"
    wanted, settings = panel.picture, panel.show_settings()
    panel.reset()
    assert not np.array_equal(panel.picture, wanted)
    panel.apply(settings)
    assert np.array_equal(panel.picture, wanted) and isinstance(panel.picture, Image.Image)
