"""The cartoon panel: upload a photo, choose a style, and turn the dials.

    studio = Studio(photo_model, {"webtoon": webtoon}, looks, encoder)
    studio.add("me", portraits(open_photo("me.jpg"), 64)[0].tensor)
    cartoon_panel(studio).show()

`render_cartoon` is its callback, a plain function from settings to a picture. What takes seconds, finding a photo's
codes, is done once, when the photo comes; `Studio` keeps them.
"""

from __future__ import annotations

import hashlib
import io
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets as w
import torch
from PIL import Image
from torch import Tensor

from stylegan2 import display
from stylegan2.data.images import Refused, decode
from stylegan2.editing import videos
from stylegan2.editing.cartoonize import STEPS, cartoonize, is_outside, plan
from stylegan2.editing.layer_swapping import cuts
from stylegan2.editing.photos import Cutting, names_of, parse_box, portraits
from stylegan2.editing.projection import Search
from stylegan2.encoder import Encoder
from stylegan2.networks import Generator
from stylegan2.panels.controls import STYLE, choice, float_slider, text_field, tip, uploaded_files
from stylegan2.panels.panel import Panel, pick

SIDE, SMALL, GAP, LINE = 240, 110, 4, 22  # pixels: a large face, one of the grid, between them, a caption
STRENGTHS = (0.25, 0.5, 0.75, 1.0)  # columns of the grid
FRAME = (255, 59, 107)
FRAMES = 48  # of a film
MOST_FACES = 8  # of one photo, the surest: a search takes seconds for each
UPLOAD_MB = 10  # what Jupyter carries by itself; `make lab` raises it
SEEN = 180  # pixels: longest side of the whole photo, with what was taken


@dataclass(frozen=True)
class Sitter:
    """Somebody whose cartoon is drawn.

    Attributes:
        photo: [1, 3, R, R] in [-1, 1].
        ws: codes [1, L, w_dim] that draw it in the source.
        record: plain values for "Copy settings".
        outside: it is of a world that the source does not know, see `is_outside`.
        seen: the whole photo with what was taken, see `photos.Portrait`; or None.
    """

    photo: Tensor
    ws: Tensor
    drawn: Tensor  # [1, 3, R, R], what the source draws of the codes
    record: dict[str, Any] = field(default_factory=dict)
    outside: bool = False
    seen: Image.Image | None = None


@dataclass
class Studio:
    """Models, and who sits for them.

    Attributes:
        source: the model of photos.
        styles: models fine-tuned from it, by name.
        looks: perceptual distance, for finding codes.
        encoder: gives the first codes; None: the mean face.
        steps: to find codes; 0: the encoder's answer as it is.
        sitters: by name, the newest last.
    """

    source: Generator
    styles: Mapping[str, Generator]
    looks: Any
    encoder: Encoder | None = None
    steps: int = STEPS
    sitters: dict[str, Sitter] = field(default_factory=dict)
    _grids: dict[tuple, list[list[Image.Image]]] = field(default_factory=dict)

    def searching(
        self, name: str, photo: Tensor, record: Mapping[str, Any] | None = None, seen: Image.Image | None = None
    ) -> Iterator[Search]:
        """Find the codes of a photo [3, R, R] in [-1, 1], step by step; after the last one the sitter is there.

        Another sitter of that name is replaced; `record` and `seen` are as in `Sitter`.
        """
        photo = photo[None].to(self.source.mapping.w_mean.device)
        outside = self.steps > 0 and bool(is_outside(self.source, photo, self.looks, self.encoder))
        config, start = plan(photo, outside, self.encoder, self.steps)
        if self.steps or start is None:
            run = Search(self.source, photo, self.looks, config, start)
            for _ in range(config.steps):
                run.step()
                yield run
            start = run.codes.detach().clone()
        self._grids = {key: grid for key, grid in self._grids.items() if key[0] != name}
        self.sitters.pop(name, None)
        drawn = self.source.synthesis(start, "const").detach()
        self.sitters[name] = Sitter(photo, start, drawn, dict(record or {}) | {"steps": self.steps}, outside, seen)

    def add(self, name: str, photo: Tensor) -> Sitter:
        """As `searching`, in one go."""
        for _ in self.searching(name, photo):
            pass
        return self.sitters[name]

    def sitter(self, name: str) -> Sitter:
        """Raises ValueError for a name that nobody has."""
        if name not in self.sitters:
            raise ValueError(f"nobody here is called {name!r}; there are: {', '.join(self.sitters) or 'none'}")
        return self.sitters[name]

    def style(self, name: str) -> dict[str, Generator]:
        """One style by name. Raises ValueError for one that there is not."""
        return {name: pick("style", name, self.styles)}

    def grid(self, name: str, swap_resolution: int, width: float) -> list[list[Image.Image]]:
        """All styles (rows) at all `STRENGTHS` (columns), small; drawn once."""
        key = (name, swap_resolution, width)
        if key not in self._grids:
            ws = self.sitter(name).ws
            drawn = [cartoonize(self.source, self.styles, ws, swap_resolution, width, s).values() for s in STRENGTHS]
            self._grids[key] = [[display.sized(image[0], SMALL) for image in row] for row in zip(*drawn, strict=True)]
        return self._grids[key]


@torch.no_grad()
def render_cartoon(
    studio: Studio,
    photo: str,
    style: str,
    swap_resolution: int = 4,
    strength: float = 1.0,
    width: float = 0.0,
    preview: bool = False,
) -> Image.Image:
    """A photo, what its codes draw, and its cartoon; below them all styles at several strengths.

    Args:
        studio: models and sitters.
        photo: a sitter's name.
        style: one of the studio's.
        swap_resolution, strength, width: the dials, see `cartoonize`.
        preview: without the grid, unless it is drawn already.

    Raises:
        ValueError: an unknown name, or impossible dials.
    """
    sitter = studio.sitter(photo)
    (cartoon,) = cartoonize(studio.source, studio.style(style), sitter.ws, swap_resolution, width, strength).values()
    faces = {"photo": sitter.photo, "drawn again": sitter.drawn, style: cartoon}
    large = display.table([[image[0] for image in faces.values()]], list(faces), gap=GAP, band=LINE, side=SIDE)
    key = (photo, swap_resolution, width)
    if preview and key not in studio._grids:
        cells = [[display.fitted(None, SMALL)] * len(STRENGTHS) for _ in studio.styles]
    else:
        cells = [list(row) for row in studio.grid(*key)]
        if strength in STRENGTHS:
            row, column = list(studio.styles).index(style), STRENGTHS.index(strength)
            cells[row][column] = display.framed(cells[row][column], FRAME, 3)
    names = [f"{value:g}" for value in STRENGTHS]
    grid = display.table(cells, names, list(studio.styles), gap=GAP, band=LINE, corner="strength")
    taken = display.table([[display.fitted(sitter.seen, SEEN)]], ["what was taken" if sitter.seen else ""], band=LINE)
    return display.stack([large, display.beside([taken, grid], GAP)], gap=0)


def film(
    studio: Studio, photo: str, style: str, swap_resolution: int = 4, strength: float = 1.0, width: float = 0.0
) -> videos.Lazy:
    """The strength from 0 to where the dial stands and back: frames of a film, PIL images.

    Raises:
        ValueError: strength 0, an unknown name, or impossible dials.
    """
    if not strength:
        raise ValueError("nothing to show: move the strength away from 0")
    ws, model = studio.sitter(photo).ws, studio.style(style)
    path = videos.there_and_back(0, strength, FRAMES)
    return videos.Lazy(partial(_frame, studio, ws, model, swap_resolution, width), path)


def _frame(studio: Studio, ws: Tensor, model, swap_resolution: int, width: float, strength: float) -> Image.Image:
    (image,) = cartoonize(studio.source, model, ws, swap_resolution, width, strength).values()
    return display.sized(image[0], 2 * SIDE)


class CartoonPanel(Panel):
    """`Panel` with a button for photos (a file, or on a phone the camera), and a field for the path of one.

    Args:
        studio: with at least one sitter.
        controls, settings: as for `Panel`.
    """

    def __init__(self, studio: Studio, controls: Mapping[str, w.ValueWidget], **settings: Any):
        large = f"a larger one than {UPLOAD_MB} MB may be lost on its way, but for `make lab`: give its path instead"
        self.upload = w.FileUpload(
            accept="image/*", description=f"Your photo, to {UPLOAD_MB} MB", layout=w.Layout(width="auto"), **tip(large)
        )
        self.upload.observe(lambda change: self._guarded(partial(self._uploaded, change["new"])), "value")
        of_file = "of a file that the notebook's machine can read; Enter"
        self.path = text_field("or its path", help=of_file, placeholder="photos/me.jpg, of any size")
        self.path.observe(lambda change: self._guarded(partial(self._named, change["new"].strip())), "value")
        self.square = w.Text(
            placeholder="left, top, side, or empty",
            description="its square",
            style=STYLE,
            **tip("pixels of the photo; empty: its faces are found"),
        )
        settings |= {"video": partial(film, studio), "above": [self.upload, self.path, self.square]}
        super().__init__(partial(render_cartoon, studio), controls, "cartoon", preview=True, **settings)
        self.studio = studio

    def _uploaded(self, files) -> None:
        for name, content in uploaded_files(files):
            self.take(name, content)

    def _named(self, path: str) -> None:
        if path:
            self.take(Path(path).name, Path(path).expanduser().read_bytes())

    def take(self, name: str, data: bytes) -> list[str]:
        """Find the faces of a picture file and their codes, show the first, and return their names.

        A picture of the model's size is taken as it is; of any other the faces are found, or the square is cut that
        the field gives.

        Raises:
            ValueError: no picture, no face in it, or no square.
        """
        square = parse_box(self.square.value.strip() or None)
        try:
            photo = decode(data)
        except Refused as error:
            raise ValueError(f"{name} cannot be read: {error}") from error
        found = portraits(photo, self.studio.source.resolution, Cutting(face="all", box=square))[:MOST_FACES]
        record = {"sha256": hashlib.sha256(data).hexdigest()[:16], "square": square and list(square)}
        others = {name for name, sitter in self.studio.sitters.items() if not record.items() <= sitter.record.items()}
        names = names_of(Path(name).stem[:24] or "photo", len(found), others)
        try:
            for name, portrait in zip(names, found, strict=True):
                self.message.value = f"finding the codes of {escape(name, False)} ({portrait.how})"
                search = self.studio.searching(name, portrait.tensor, record, portrait.seen)
                for _ in self.progress.watch(search, self.studio.steps):
                    pass
        finally:
            self.progress.hide()
        self._offer(names[0])
        named = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
        self.message.value = f"{escape(named, False)}: {found[0].how}"
        if any(self.studio.sitters[name].outside for name in names):
            self.message.value += "; not of this model's world, so it becomes the face most like it"
        return names

    def _offer(self, chosen: str) -> None:
        """All sitters in the list, and this one on show."""
        control = self.controls["photo"]
        with self._silence():
            control.options = list(self.studio.sitters)
            control.value = chosen
        self._draw()

    def save(self) -> Path:
        """As `Panel.save`, with a link that takes the picture to your own machine."""
        path = super().save()
        data = io.BytesIO()
        self.picture.save(data, "png")
        link = f"data:image/png;base64,{b64encode(data.getvalue()).decode()}"
        self.message.value += f" · <a download='{path.name}' href='{link}'><b>download</b></a>"
        return path


def cartoon_panel(studio: Studio, record: Mapping[str, Any] | None = None) -> CartoonPanel:
    """Your photo in every style, with the dials of `cartoonize`.

    Args:
        studio: with at least one sitter.
        record: see `Panel`.

    Raises:
        ValueError: an empty studio.
    """
    if not studio.sitters:
        raise ValueError("the studio has no photo: add somebody first, with studio.add(name, photo)")
    controls = {
        "photo": w.Dropdown(options=list(studio.sitters), description="photo", style=STYLE),
        "style": choice("style", list(studio.styles)),
        "swap_resolution": choice("cartoon from", cuts(studio.source.resolution)),
        "strength": float_slider("strength", 1.0, 0.0, 1.0, 0.05, "0: the photo's model, 1: the cartoon's"),
        "width": float_slider("soft cut", 0.0, 0.0, 2.0, 0.1, "in resolutions; 0: hard"),
    }

    def whole_record() -> dict[str, Any]:
        return {**(record or {}), "sitter": studio.sitter(controls["photo"].value).record}

    return CartoonPanel(studio, controls, record=whole_record)
