"""The detector panel: what is found on a page, what is left out, and how it is cut."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import ipywidgets as w
from PIL import Image, ImageDraw

from stylegan2 import display
from stylegan2.collect import detectors
from stylegan2.collect.align import cut
from stylegan2.collect.crops import CropConfig, square_around
from stylegan2.collect.detectors import Face
from stylegan2.panels.controls import choice, float_slider, int_slider, labelled
from stylegan2.panels.panel import Panel, pick

HEIGHT, CELL, COLUMNS, GAP = 620, 96, 4, 8  # pixels: of the page, of a crop; crops in a row; between page and crops
KEPT, SMALL, SQUARE = "#14b86a", "#ff3b6b", "#7a5cff"
LEAST = 16  # pixels of the smallest face looked for
NETWORKS = ("pocket", "photo")
LOWEST = 0.05  # sureness from which a network's faces are looked for


@dataclass
class Desk:
    """RGB pages by name, and the faces found on them, by what was searched for: only a search costs time."""

    pages: Mapping[str, Image.Image]
    found: dict[tuple, list[Face]] = field(default_factory=dict)

    def faces(self, page: str, detector: str, sure: float) -> list[Face]:
        """All faces of a page that are sure enough (0 to 1, see `detectors.make`). ValueError for an unknown page."""
        image = pick("page", page, self.pages)
        scored = detector in NETWORKS  # of their answers the surer ones can be chosen afterwards
        lowest = LOWEST if scored else sure
        key = (page, detector, lowest)
        if key not in self.found:
            detect = detectors.make(detector, min_size=LEAST, sure=lowest)
            self.found[key] = detectors.on_pages(detect, image)
        return [face for face in self.found[key] if not scored or face.score >= sure]


def render_detection(
    desk: Desk,
    page: str,
    detector: str = "pocket",
    sure: float = 0.4,
    min_size: int = 48,
    margin: float = 0.4,
    lift: float = 0.25,
) -> Image.Image:
    """A page with the faces found on it: kept ones green, too small ones red, and in violet the squares that are cut.

    Args:
        desk, page: pages, and the name of one.
        detector, sure: see `Desk.faces`.
        min_size, margin, lift: see `CropConfig`.

    Raises ValueError for an unknown page or detector, or settings that cannot work.
    """
    config = CropConfig(detector, size=CELL, margin=margin, lift=lift, min_size=min_size)
    faces, image = desk.faces(page, detector, sure), desk.pages[page]
    kept = [face for face in faces if face.side >= min_size]
    crops = [cut(image, square_around(face, image.size, config), CELL) for face in kept]
    crops += [display.fitted(None, CELL)] * (-len(crops) % COLUMNS if crops else COLUMNS)
    table = display.table([crops[i : i + COLUMNS] for i in range(0, len(crops), COLUMNS)], gap=2)
    text = f"{len(kept)} faces kept, {len(faces) - len(kept)} smaller than {min_size} pixels"
    return display.beside([_page(image, faces, kept, config), display.label(table, text)], GAP)


def _page(image: Image.Image, faces: list[Face], kept: list[Face], config: CropConfig) -> Image.Image:
    factor = HEIGHT / image.height
    size = (max(1, round(image.width * factor)), HEIGHT)
    shown = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    pen = ImageDraw.Draw(shown)
    for face in faces:
        pen.rectangle([v * factor for v in face.box], outline=KEPT if face in kept else SMALL, width=2)
    for face in kept:
        corners = [tuple(point) for point in square_around(face, image.size, config) * factor]
        pen.line([*corners, corners[0]], fill=SQUARE, width=1)
    return shown


def detector_panel(pages: Mapping[str, Image.Image], record: Mapping[str, Any] | None = None) -> Panel:
    """Try detectors on RGB pages by name, live; `record` as in `Panel`. Raises ValueError without a page."""
    if not pages:
        raise ValueError("there are no pages: expected at least one")
    installed = [name for name in detectors.NAMES if detectors.is_here(name)]
    controls = {
        "page": w.Dropdown(options=list(pages), **labelled("page")),
        "detector": choice("detector", installed),
        "sure": float_slider("sure", 0.4, LOWEST, 1.0, 0.05, "how sure it must be"),
        "min_size": int_slider("smallest", 48, LEAST, 200, "face that is kept, in pixels"),
        "margin": float_slider("margin", 0.4, 0.0, 1.0, 0.05, "around the face, in faces"),
        "lift": float_slider("lift", 0.25, -0.5, 0.5, 0.05, "how far the square is moved up, in faces"),
    }
    return Panel(partial(render_detection, Desk(pages)), controls, "faces", record=record)
