"""What is written in pictures can be read in any script, with or without a font for it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from stylegan2 import display, fonts
from stylegan2.editing import figures

anyascii = pytest.importorskip("anyascii")


@pytest.fixture(autouse=True)
def forget():
    for remembered in (fonts.written, fonts._installed):
        remembered.cache_clear()
    yield
    for remembered in (fonts.written, fonts._installed):
        remembered.cache_clear()


def drawn(text: str, font) -> np.ndarray:
    image = Image.new("L", (300, 30))
    ImageDraw.Draw(image).text((3, 3), text, 255, font)
    return np.asarray(image)


def test_without_a_font_the_letters_are_latin(monkeypatch):
    """Empty boxes, before: all characters looked the same."""
    monkeypatch.setattr(fonts, "_installed", lambda: ())
    for text in ("얼굴", "你好", "Привет"):
        latin = anyascii.anyascii(text)
        assert np.array_equal(drawn(text, display.font()), drawn(latin, ImageFont.load_default(14)))
        assert display.font().getlength(text) == ImageFont.load_default(14).getlength(latin)
    picture = Image.new("RGB", (90, 10))
    assert np.array_equal(display.label(picture, "얼굴"), display.label(picture, anyascii.anyascii("얼굴")))


def test_a_font_of_the_machine_is_used_where_it_has_the_characters():
    path, text = fonts.written("Привет")  # Matplotlib brings DejaVu
    assert path is not None and text == "Привет"
    assert np.array_equal(drawn("Привет", display.font()), drawn("Привет", ImageFont.truetype(path, 14)))


def test_a_font_of_boxes_is_no_font(monkeypatch):
    from matplotlib import font_manager

    entries = [e for e in font_manager.fontManager.ttflist if "LastResort" in e.fname]
    monkeypatch.setattr(font_manager, "fontManager", SimpleNamespace(ttflist=entries))
    assert fonts.written("얼굴")[0] is None


def test_plain_captions_stay_what_they_were():
    for text in ("seed 3", "psi 0.7, 64x64 (webtoon)"):
        assert np.array_equal(drawn(text, display.font()), drawn(text, ImageFont.load_default(14)))
    assert display.font(20) is display.font(20) and display.font(20) is not display.font(14)


def test_figures_too(monkeypatch):
    assert figures.figure_text("ψ Привет") == "ψ Привет" and figures.figure_text("얼굴") == anyascii.anyascii("얼굴")
    (axis,) = figures.bars({"얼굴": 1.0}).axes
    assert [label.get_text() for label in axis.get_yticklabels()] == [anyascii.anyascii("얼굴")]
