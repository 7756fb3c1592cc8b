"""The cartoon panel: upload a photo, choose a style, and turn the dials.

    studio = Studio(photo_model, {"webtoon": webtoon}, distance, encoder, people=course.people)
    r, photo = photo_model.resolution, open_photo("me.jpg")
    (portrait,) = portraits(photo, r, Cutting(frame=frame_for(r)))
    studio.add("me", portrait.tensor, read_person(portrait, photo))
    cartoon_panel(studio).show()

What takes long, reading a person or searching a photo's codes, is done once; `Studio` keeps what came of it.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
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
from stylegan2.editing.cartoonize import AGAIN, STEPS, cartoonize, encode, is_outside, settings
from stylegan2.editing.encoder import Encoder
from stylegan2.editing.layer_swapping import cuts
from stylegan2.editing.photos import Cutting, Portrait, names_of, parse_box, portraits
from stylegan2.editing.projection import Search
from stylegan2.networks import Generator
from stylegan2.panels.controls import TIP, choice, float_slider, labelled, text_field, uploaded_files
from stylegan2.panels.panel import Panel, framed, pick
from stylegan2.pocket import world
from stylegan2.pocket.nets.perceptual import frame_for
from stylegan2.pocket.person import PersonCodes, is_real, read_person, verdicts
from stylegan2.pocket.portrait import Reading, corrections

SIDE, SMALL, GAP, LINE = 240, 110, 4, 22  # pixels: a large face, one of the grid, between them, a caption
STRENGTHS = (0.25, 0.5, 0.75, 1.0)  # columns of the grid
FRAME = (255, 59, 107)
FRAMES = 48  # of a video
MOST_FACES = 8  # of one photo, the surest: a search takes seconds for each
UPLOAD_MB = 10  # what Jupyter carries by itself; `make lab` raises it
SEEN = 180  # pixels: longest side of the whole photo, with what was taken
READ, SEARCHED = "read", "searched"  # where codes come from


@dataclass(frozen=True)
class Sitter:
    """A face whose cartoon is rendered."""

    photo: Tensor  # [1, 3, R, R] in [-1, 1]
    ws: Tensor | None = None  # its codes [1, L, w_dim] that were searched; None: not yet, since the person was read
    record: dict[str, Any] = field(default_factory=dict)  # plain values for "Copy settings"
    outside: bool = False  # it is of a world that the source does not know, see `is_outside`
    seen: Image.Image | None = None  # the whole photo with what was taken, see `photos.Portrait`
    reading: Reading | None = None  # of the person in the photo, at pocket scale
    grids: dict[tuple, list[list[Image.Image]]] = field(default_factory=dict)  # see `Studio.grid`, by its dials
    drawings: dict[tuple, Image.Image] = field(default_factory=dict)  # see `Studio.drawing`, by style and corrections
    colours: dict[str, dict] = field(default_factory=dict)  # see `PersonCodes.cartoonize`, its memory, by corrections
    again: dict[tuple, Tensor] = field(default_factory=dict)  # see `Studio.again`, by codes and corrections

    def corrected(self, correct: str) -> Reading:
        """What was read, and what is known better: "glasses=round, skin=0.5". Raises ValueError for other words."""
        pairs = re.split(r",(?=[^,]*=)", correct.strip(" ,"))  # a colour has commas of its own
        return self.reading.corrected(corrections(filter(None, pairs)))


@dataclass
class Studio:
    """Models, and the faces to make cartoons of."""

    source: Generator  # the model of photos
    styles: Mapping[str, Generator]  # models fine-tuned from it, by name
    distance: Any  # a perceptual distance, for finding codes
    encoder: Encoder | None = None  # gives the first codes; None: the mean face
    steps: int = STEPS  # to search codes; 0: the encoder's answer as it is
    people: PersonCodes | None = None  # makes codes of a reading; None: all codes are searched
    sitters: dict[str, Sitter] = field(default_factory=dict)  # by name, the newest last

    def searching(self, name: str, sitter: Sitter | None = None) -> Iterator[Search]:
        """Search the codes of a sitter (None: the one of that name), step by step; after the last one they are kept."""
        sitter = sitter or self.sitter(name)
        outside = self.steps > 0 and bool(is_outside(self.source, sitter.photo, self.distance, self.encoder))
        config = settings(outside, self.encoder is not None, self.steps)
        start = None if outside or self.encoder is None else encode(self.encoder, sitter.photo)
        if self.steps or start is None:
            run = Search(self.source, sitter.photo, self.distance, config, start)
            for _ in range(config.steps):
                run.step()
                yield run
            start = run.codes.detach().clone()
        self.sitters[name] = replace(sitter, ws=start, outside=outside)

    def adding(
        self, name: str, photo: Tensor, record: Mapping[str, Any] | None = None, **more: Any
    ) -> Iterator[Search]:
        """Take a photo [3, R, R] in [-1, 1]; without a reading that makes codes, search them, step by step.

        Another of that name is replaced; `record` and `more` (`seen`, `reading`) are as in `Sitter`.
        """
        photo = photo[None].to(self.source.mapping.w_mean.device)
        sitter = Sitter(photo, record={**(record or {}), "steps": self.steps}, **more)
        if self.people is None or sitter.reading is None:
            yield from self.searching(name, sitter)
        else:
            self.sitters[name] = sitter
        self.sitters[name] = self.sitters.pop(name)  # the newest last

    def add(self, name: str, photo: Tensor, reading: Reading | None = None, seen: Image.Image | None = None) -> Sitter:
        """As `adding`, in one go."""
        list(self.adding(name, photo, seen=seen, reading=reading))
        return self.sitters[name]

    def is_read(self, name: str, codes: str = READ) -> bool:
        """Are a sitter's codes made of the reading? Else they are those that were searched."""
        return codes == READ and self.people is not None and self.sitter(name).reading is not None

    def cartoons(
        self,
        name: str,
        styles: Mapping[str, Generator],
        *dials: float,
        codes: str = READ,
        keep_colours: float = 1.0,
        correct: str = "",
    ) -> dict[str, Tensor]:
        """A sitter in some styles, as `PersonCodes.cartoonize` or `editing.cartoonize`: [1, 3, R, R] each.

        Codes that have not been searched yet are searched now; `correct` is as in `Sitter.corrected`.
        """
        if self.is_read(name, codes):
            sitter = self.sitter(name)
            faces, memory = sitter.corrected(correct).faces(), sitter.colours.setdefault(correct, {})
            return self.people.cartoonize(styles, faces, *dials, keep_colours=keep_colours, memory=memory)
        if self.sitter(name).ws is None:
            with torch.enable_grad():
                list(self.searching(name))
        return cartoonize(self.source, styles, self.sitter(name).ws, *dials)

    def again(self, name: str, codes: str = READ, correct: str = "") -> Tensor:
        """What the source renders of a sitter's codes [1, 3, R, R]; rendered once."""
        kept, key = self.sitter(name).again, (codes, correct)
        if key not in kept:
            kept[key] = self.cartoons(name, {"": self.source}, codes=codes, keep_colours=0.0, correct=correct)[""]
        return kept[key]

    def sitter(self, name: str) -> Sitter:
        """One by name. Raises ValueError for an unknown one."""
        return pick("photo", name, self.sitters)

    def grid(self, name: str, swap_resolution: int, width: float, **how: Any) -> list[list[Image.Image]]:
        """All styles (rows) at all `STRENGTHS` (columns), small; rendered once. `how`: as of `cartoons`."""
        grids, key = self.sitter(name).grids, (swap_resolution, width, *how.values())
        if key not in grids:
            columns = [self.cartoons(name, self.styles, swap_resolution, width, s, **how).values() for s in STRENGTHS]
            rows = zip(*columns, strict=True)
            grids[key] = [[display.sized(image[0], SMALL) for image in row] for row in rows]
        return grids[key]

    def drawing(self, name: str, style: str, correct: str = "") -> Image.Image | None:
        """The person as read off the photo, in a style that is a pocket world; rendered once. None: not read."""
        sitter, key = self.sitter(name), (style, correct)
        if sitter.reading is None or style not in world.DOMAINS:
            return None
        if key not in sitter.drawings:
            sitter.drawings[key] = display.to_pil(world.render(sitter.corrected(correct).faces(), style, SIDE)[0])
        return sitter.drawings[key]


@torch.no_grad()
def render_cartoon(
    studio: Studio,
    photo: str,
    style: str,
    swap_resolution: int = 4,
    strength: float = 1.0,
    width: float = 0.0,
    codes: str = READ,
    keep_colours: float = 1.0,
    correct: str = "",
    preview: bool = False,
) -> Image.Image:
    """A photo, what the source renders of its codes, and its cartoon; below them all styles at several strengths.

    Where the person was read, a fourth picture is the renderer's drawing of them: no network takes part in it. If the
    codes are made of the reading, words say how sure it is, and what of it is seen in the pictures.

    Args:
        studio, photo, style: models and sitters; the names of a sitter and of a style.
        swap_resolution, strength, width: the dials, see `cartoonize`.
        codes, keep_colours, correct: see `Studio.cartoons`.
        preview: without the grid, unless it is there already.

    Raises ValueError for an unknown name, impossible dials, or wrong corrections (they count where somebody was read).
    """
    sitter, how = studio.sitter(photo), {"codes": codes, "keep_colours": keep_colours, "correct": correct}
    model = {style: pick("style", style, studio.styles)}
    cartoon = studio.cartoons(photo, model, swap_resolution, width, strength, **how)[style]
    again = studio.again(photo, codes, correct)
    faces = {"photo": sitter.photo[0], AGAIN: again[0], style: cartoon[0]}
    if drawing := studio.drawing(photo, style, correct):
        faces[f"as read, by the renderer: {style}"] = drawing
    rows = [[*faces.values()], *words_below(studio, photo, codes, correct, {AGAIN: again, style: cartoon})]
    large = display.table(rows, list(faces), gap=GAP, band=LINE, side=SIDE)
    if preview and (swap_resolution, width, *how.values()) not in sitter.grids:
        cells = [[display.fitted(None, SMALL)] * len(STRENGTHS) for _ in studio.styles]
    else:
        cells = [list(row) for row in studio.grid(photo, swap_resolution, width, **how)]
        if strength in STRENGTHS:
            row, column = list(studio.styles).index(style), STRENGTHS.index(strength)
            cells[row][column] = framed(cells[row][column], FRAME, 3)
    names = [f"{value:g}" for value in STRENGTHS]
    grid = display.table(cells, names, list(studio.styles), gap=GAP, band=LINE, corner="strength")
    taken = display.table([[display.fitted(sitter.seen, SEEN)]], ["what was taken" if sitter.seen else ""], band=LINE)
    return display.stack([large, display.beside([taken, grid], GAP)], gap=0)


def words_below(
    studio: Studio, photo: str, codes: str, correct: str, images: Mapping[str, Tensor], side: int = SIDE
) -> list[list[Image.Image]]:
    """A row of words: below the photo what was read, below its images [1, 3, R, R] what is seen of it; or no row."""
    if not studio.is_read(photo, codes):
        return []
    reading = studio.sitter(photo).corrected(correct)
    words = verdicts(studio.distance, reading, images)
    return [[display.note(words.get(name, ""), side) for name in ("photo", *images)]]


def cartoon_video(
    studio: Studio,
    photo: str,
    style: str,
    swap_resolution: int = 4,
    strength: float = 1.0,
    width: float = 0.0,
    **how: Any,
) -> videos.Lazy:
    """The strength from 0 to where the dial stands and back. Raises ValueError for strength 0 or an unknown name."""
    if not strength:
        raise ValueError("nothing to show: move the strength away from 0")
    studio.sitter(photo)
    model = {style: pick("style", style, studio.styles)}

    def frame(amount: float) -> Image.Image:
        cartoon = studio.cartoons(photo, model, swap_resolution, width, amount, **how)[style]
        return display.sized(cartoon[0], 2 * SIDE)

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
        photo["photo"].observe(self._forget_corrections, "value")
        render, dials, more = self._parts()
        super().__init__(partial(render, studio), photo | dials, "cartoon", record=record, preview=True, **more)

    def _parts(self) -> tuple[Callable[..., Image.Image], dict[str, w.ValueWidget], dict[str, Any]]:
        """What renders, its controls besides the photo, and more arguments of `Panel`."""
        dials = {
            "style": choice("style", list(self.studio.styles)),
            "swap_resolution": choice("cartoon from", cuts(self.studio.source.resolution)),
            "strength": self._strength(),
            "width": float_slider("soft cut", 0.0, 0.0, 2.0, 0.1, "in resolutions; 0: hard"),
            **self._of_people(),
        }
        above = [self.upload, self.path, self.square]
        return render_cartoon, dials, {"above": above, "video": partial(cartoon_video, self.studio)}

    def _strength(self) -> w.FloatSlider:
        return float_slider("strength", 1.0, 0.0, 1.0, 0.05, "0: the photo's model, 1: the cartoon's")

    def _of_people(self) -> dict[str, w.ValueWidget]:
        """Controls of people who were read."""
        if self.studio.people is None:
            return {}
        keep = float_slider("keep colours", 1.0, 0.0, 1.0, 0.05, "of hair and skin, as read; 0: as the style has them")
        words = "what is right where it was read wrong: ATTRIBUTE=VALUE, ...; Enter"
        correct = text_field("correct", help=words, placeholder="glasses=round, hair_style=bun, smile=0.5")
        return {"codes": choice("codes", [READ, SEARCHED]), "keep_colours": keep, "correct": correct}

    def _forget_corrections(self, _) -> None:
        """They are of the person before."""
        if "correct" in self.controls:
            with self._silence():
                self.controls["correct"].value = ""

    def _rendered(self, **more: bool) -> Image.Image:
        """Codes that were not searched yet are searched with a bar."""
        name, codes = self.settings["photo"], self.settings.get("codes", READ)
        if not self.studio.is_read(name, codes) and self.studio.sitter(name).ws is None:
            list(self.watch(self.studio.searching(name), "steps", self.studio.steps))
        return super()._rendered(**more)

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
        why = ""
        for name, portrait in zip(names, faces, strict=True):
            self.message.value = f"finding the codes of {escape(name, False)} ({portrait.how})"
            reading, why = self._read(portrait, photo)
            search = self.studio.adding(name, portrait.tensor, record, seen=portrait.seen, reading=reading)
            list(self.watch(search, "steps", self.studio.steps))
        with self._silence():
            self.controls["photo"].options = list(self.studio.sitters)
            self.controls["photo"].value = names[0]
        self._render_full()
        named = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
        self.message.value = f"{escape(named, False)}: {faces[0].how}"
        if any(self.studio.sitters[name].outside for name in names):
            self.message.value += "; not of this model's world, so it becomes the face most like it"
        if reading := self.studio.sitters[names[0]].reading:
            self.message.value += f"; read: {escape('; '.join([reading.summary(), *reading.notes]), False)}"
        elif why:
            self.message.value += f"; nobody could be read: {escape(why, False)}"
        return names

    def _read(self, portrait: Portrait, photo: Image.Image) -> tuple[Reading | None, str]:
        """The person of a real photo (None: codes are searched), and why nobody could be read."""
        source, distance, encoder = self.studio.source, self.studio.distance, self.studio.encoder
        if source.resolution > world.SIZE or not is_real(portrait, source, distance, encoder):
            return None, ""
        try:
            return read_person(portrait, photo), ""
        except ValueError as error:
            return None, str(error)

    def save(self) -> Path:
        """As `Panel.save`, with a link that takes the picture to your own machine."""
        path = super().save()
        self.message.value += f" · {download_link(path.name, path.read_bytes(), '<b>download</b>')}"
        return path


def download_link(name: str, png: bytes, words: str) -> str:
    """HTML that takes a picture out of the page, as a file of that name."""
    return f"<a download='{name}' href='data:image/png;base64,{b64encode(png).decode()}'>{words}</a>"


cartoon_panel = CartoonPanel  # the name by which notebooks call it, as with the panels that are functions
