"""The cartoon panel: upload a photo, choose a style, and turn the dials.

    studio = Studio(photo_model, {"webtoon": webtoon}, distance, encoder)
    r = photo_model.resolution
    studio.add("me", portraits(open_photo("me.jpg"), r, Cutting(frame=frame_for(r)))[0].tensor)
    cartoon_panel(studio).show()

What takes seconds, finding a photo's codes, is done once, when the photo comes; `Studio` keeps them.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
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
from stylegan2.editing.encoder import Encoder
from stylegan2.editing.layer_swapping import cuts
from stylegan2.editing.photos import Cutting, names_of, parse_box, portraits
from stylegan2.editing.projection import Search
from stylegan2.networks import Generator
from stylegan2.panels.controls import TIP, choice, float_slider, labelled, text_field, uploaded_files
from stylegan2.panels.panel import Panel, framed, pick
from stylegan2.pocket import world
from stylegan2.pocket.nets.perceptual import frame_for
from stylegan2.pocket.portrait import Reading, describe

SIDE, SMALL, GAP, LINE = 240, 110, 4, 22  # pixels: a large face, one of the grid, between them, a caption
STRENGTHS = (0.25, 0.5, 0.75, 1.0)  # columns of the grid
FRAME = (255, 59, 107)
FRAMES = 48  # of a video
MOST_FACES = 8  # of one photo, the surest: a search takes seconds for each
UPLOAD_MB = 10  # what Jupyter carries by itself; `make lab` raises it
SEEN = 180  # pixels: longest side of the whole photo, with what was taken


@dataclass(frozen=True)
class Sitter:
    """A face whose cartoon is rendered."""

    photo: Tensor  # [1, 3, R, R] in [-1, 1]
    ws: Tensor  # its codes [1, L, w_dim]
    rendered: Tensor  # [1, 3, R, R], what the source renders of the codes
    record: dict[str, Any] = field(default_factory=dict)  # plain values for "Copy settings"
    outside: bool = False  # it is of a world that the source does not know, see `is_outside`
    seen: Image.Image | None = None  # the whole photo with what was taken, see `photos.Portrait`
    reading: Reading | None = None  # of the person in the photo, at pocket scale
    grids: dict[tuple, list[list[Image.Image]]] = field(default_factory=dict)  # see `Studio.grid`, by its dials
    drawings: dict[str, Image.Image] = field(default_factory=dict)  # see `Studio.drawing`, by style


@dataclass
class Studio:
    """Models, and the faces to make cartoons of."""

    source: Generator  # the model of photos
    styles: Mapping[str, Generator]  # models fine-tuned from it, by name
    distance: Any  # a perceptual distance, for finding codes
    encoder: Encoder | None = None  # gives the first codes; None: the mean face
    steps: int = STEPS  # to find codes; 0: the encoder's answer as it is
    sitters: dict[str, Sitter] = field(default_factory=dict)  # by name, the newest last

    def searching(
        self, name: str, photo: Tensor, record: Mapping[str, Any] | None = None, **more: Any
    ) -> Iterator[Search]:
        """Find the codes of a photo [3, R, R] in [-1, 1], step by step; after the last one it is among the sitters.

        Another of that name is replaced; `record` and `more` (`seen`, `reading`) are as in `Sitter`.
        """
        photo = photo[None].to(self.source.mapping.w_mean.device)
        outside = self.steps > 0 and bool(is_outside(self.source, photo, self.distance, self.encoder))
        config, start = plan(photo, outside, self.encoder, self.steps)
        if self.steps or start is None:
            run = Search(self.source, photo, self.distance, config, start)
            for _ in range(config.steps):
                run.step()
                yield run
            start = run.codes.detach().clone()
        self.sitters.pop(name, None)
        rendered = self.source.synthesis(start, "const").detach()
        record = dict(record or {}) | {"steps": self.steps}
        self.sitters[name] = Sitter(photo, start, rendered, record, outside, **more)

    def add(self, name: str, photo: Tensor, reading: Reading | None = None, seen: Image.Image | None = None) -> Sitter:
        """As `searching`, in one go."""
        for _ in self.searching(name, photo, seen=seen, reading=reading):
            pass
        return self.sitters[name]

    def sitter(self, name: str) -> Sitter:
        """One by name. Raises ValueError for an unknown one."""
        return pick("photo", name, self.sitters)

    def grid(self, name: str, swap_resolution: int, width: float) -> list[list[Image.Image]]:
        """All styles (rows) at all `STRENGTHS` (columns), small; rendered once."""
        sitter, dials = self.sitter(name), (swap_resolution, width)
        if dials not in sitter.grids:
            columns = [cartoonize(self.source, self.styles, sitter.ws, *dials, s).values() for s in STRENGTHS]
            rows = zip(*columns, strict=True)
            sitter.grids[dials] = [[display.sized(image[0], SMALL) for image in row] for row in rows]
        return sitter.grids[dials]

    def drawing(self, name: str, style: str) -> Image.Image | None:
        """The person as read off the photo, in a style that is a pocket world; rendered once. None: not read."""
        sitter = self.sitter(name)
        if sitter.reading is None or style not in world.DOMAINS:
            return None
        if style not in sitter.drawings:
            sitter.drawings[style] = display.to_pil(world.render(sitter.reading.faces(), style, SIDE)[0])
        return sitter.drawings[style]


def read_person(photo: Image.Image, face: int, resolution: int) -> Reading | None:
    """The person in a photo, by the number of the face; None: not readable, or at another scale than the pocket one."""
    try:
        return describe(photo, face) if resolution <= world.SIZE else None
    except ValueError:
        return None


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
    """A photo, what the source renders of its codes, and its cartoon; below them all styles at several strengths.

    Where the person was read, a fourth picture is the renderer's drawing of them: no network takes part in it.

    Args:
        studio, photo, style: models and sitters; the names of a sitter and of a style.
        swap_resolution, strength, width: the dials, see `cartoonize`.
        preview: without the grid, unless it is there already.

    Raises ValueError for an unknown name, or impossible dials.
    """
    sitter = studio.sitter(photo)
    model = {style: pick("style", style, studio.styles)}
    cartoon = cartoonize(studio.source, model, sitter.ws, swap_resolution, width, strength)[style][0]
    faces = {"photo": sitter.photo[0], "drawn again": sitter.rendered[0], style: cartoon}
    if drawing := studio.drawing(photo, style):
        faces[f"as read, by the renderer: {style}"] = drawing
    large = display.table([[*faces.values()]], list(faces), gap=GAP, band=LINE, side=SIDE)
    dials = swap_resolution, width
    if preview and dials not in sitter.grids:
        cells = [[display.fitted(None, SMALL)] * len(STRENGTHS) for _ in studio.styles]
    else:
        cells = [list(row) for row in studio.grid(photo, *dials)]
        if strength in STRENGTHS:
            row, column = list(studio.styles).index(style), STRENGTHS.index(strength)
            cells[row][column] = framed(cells[row][column], FRAME, 3)
    names = [f"{value:g}" for value in STRENGTHS]
    grid = display.table(cells, names, list(studio.styles), gap=GAP, band=LINE, corner="strength")
    taken = display.table([[display.fitted(sitter.seen, SEEN)]], ["what was taken" if sitter.seen else ""], band=LINE)
    return display.stack([large, display.beside([taken, grid], GAP)], gap=0)


def cartoon_video(
    studio: Studio, photo: str, style: str, swap_resolution: int = 4, strength: float = 1.0, width: float = 0.0
) -> videos.Lazy:
    """The strength from 0 to where the dial stands and back. Raises ValueError for strength 0 or an unknown name."""
    if not strength:
        raise ValueError("nothing to show: move the strength away from 0")
    ws, model = studio.sitter(photo).ws, {style: pick("style", style, studio.styles)}

    def frame(amount: float) -> Image.Image:
        return display.sized(cartoonize(studio.source, model, ws, swap_resolution, width, amount)[style][0], 2 * SIDE)

    return videos.Lazy(frame, videos.there_and_back(0, strength, FRAMES))


class CartoonPanel(Panel):
    """Your photo in every style, with the dials of `cartoonize`.

    A button takes photos (a file, or on a phone the camera), and a field the path of one. `record` as in `Panel`.
    Raises ValueError for a studio without sitters.
    """

    def __init__(self, studio: Studio, record: Mapping[str, Any] | None = None):
        if not studio.sitters:
            raise ValueError("there is no photo yet: add one first, with studio.add(name, photo)")
        self.studio = studio
        large = f"a larger one than {UPLOAD_MB} MB may be lost on its way, but for `make lab`: give its path instead"
        label = {"description": f"Your photo, to {UPLOAD_MB} MB", TIP: large}
        self.upload = w.FileUpload(accept="image/*", layout=w.Layout(width="auto"), **label)
        self.upload.observe(lambda _: self._guarded(self._take_uploaded), "value")
        of_file = "of a file that the notebook's machine can read; Enter"
        self.path = text_field("or its path", help=of_file, placeholder="photos/me.jpg, of any size")
        self.path.observe(lambda _: self._guarded(self._take_named), "value")
        of_photo = "pixels of the photo; empty: its faces are found"
        self.square = text_field("its square", help=of_photo, placeholder="left, top, side, or empty")
        photo = {"photo": w.Dropdown(options=list(studio.sitters), **labelled("photo"))}
        render, dials, more = self._parts()
        super().__init__(partial(render, studio), photo | dials, "cartoon", record=record, preview=True, **more)

    def _parts(self) -> tuple[Callable[..., Image.Image], dict[str, w.ValueWidget], dict[str, Any]]:
        """What renders, its controls besides the photo, and more arguments of `Panel`."""
        dials = {
            "style": choice("style", list(self.studio.styles)),
            "swap_resolution": choice("cartoon from", cuts(self.studio.source.resolution)),
            "strength": self._strength(),
            "width": float_slider("soft cut", 0.0, 0.0, 2.0, 0.1, "in resolutions; 0: hard"),
        }
        above = [self.upload, self.path, self.square]
        return render_cartoon, dials, {"above": above, "video": partial(cartoon_video, self.studio)}

    def _strength(self) -> w.FloatSlider:
        return float_slider("strength", 1.0, 0.0, 1.0, 0.05, "0: the photo's model, 1: the cartoon's")

    @property
    def record(self) -> dict[str, Any]:
        """As `Panel.record`, with which photo it is."""
        return {**super().record, "sitter": self.studio.sitter(self.controls["photo"].value).record}

    def _take_uploaded(self) -> None:
        for name, content in uploaded_files(self.upload.value):
            self.take(name, content)

    def _take_named(self) -> None:
        if path := self.path.value.strip():
            self.take(Path(path).name, Path(path).expanduser().read_bytes())

    def take(self, name: str, data: bytes) -> list[str]:
        """Find the faces of a picture file and their codes, show the first, and return their names.

        A picture of the model's size is taken as it is; of any other the faces are found, or the square is cut that the
        field gives. Raises ValueError: no picture, no face in it, or no square.
        """
        square = parse_box(self.square.value.strip() or None)
        self.message.value = f"looking for faces in {escape(name, False)}"
        try:
            photo = decode(data)
        except Refused as error:
            raise ValueError(f"{name} cannot be read: {error}") from error
        resolution = self.studio.source.resolution
        cutting = Cutting(face="all", box=square, frame=frame_for(resolution))
        faces = portraits(photo, resolution, cutting)[:MOST_FACES]
        record = {"sha256": hashlib.sha256(data).hexdigest()[:16], "square": square and list(square)}
        others = {name for name, sitter in self.studio.sitters.items() if not record.items() <= sitter.record.items()}
        names = names_of(Path(name).stem[:24] or "photo", len(faces), others)
        for i, (name, portrait) in enumerate(zip(names, faces, strict=True), 1):
            self.message.value = f"finding the codes of {escape(name, False)} ({portrait.how})"
            reading = read_person(photo, i, resolution) if portrait.seen else None  # else no face was sought
            search = self.studio.searching(name, portrait.tensor, record, seen=portrait.seen, reading=reading)
            for _ in self.watch(search, "steps", self.studio.steps):
                pass
        with self._silence():
            self.controls["photo"].options = list(self.studio.sitters)
            self.controls["photo"].value = names[0]
        self._render_full()
        named = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
        self.message.value = f"{escape(named, False)}: {faces[0].how}"
        if any(self.studio.sitters[name].outside for name in names):
            self.message.value += "; not of this model's world, so it becomes the face most like it"
        if any(self.studio.sitters[name].reading for name in names):
            self.message.value += "; the renderer draws what was read off the photo, too"
        return names

    def save(self) -> Path:
        """As `Panel.save`, with a link that takes the picture to your own machine."""
        path = super().save()
        self.message.value += f" · {download_link(path.name, path.read_bytes(), '<b>download</b>')}"
        return path


def download_link(name: str, png: bytes, words: str) -> str:
    """HTML that takes a picture out of the page, as a file of that name."""
    return f"<a download='{name}' href='data:image/png;base64,{b64encode(png).decode()}'>{words}</a>"


cartoon_panel = CartoonPanel  # the name by which notebooks call it, as with the panels that are functions
