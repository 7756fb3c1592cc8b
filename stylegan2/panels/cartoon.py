"""The cartoon panel: upload a photo, choose a style, and turn the dials.

    studio = Studio(photo_model, {"webtoon": webtoon}, distance, encoder, people=course.people)
    studio.add("me", portrait.tensor, read_person(portrait, photo))
    cartoon_panel(studio).show()

What takes long, reading a person or searching a photo's codes, is done once; `Studio` keeps what came of it.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections.abc import Callable, Hashable, Iterator, Mapping
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
from stylegan2.editing.cartoonize import AGAIN, STEPS, cartoonize, first_codes, is_outside, settings
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
MOST_FACES = 8  # of one photo, the surest: a search takes seconds for each
UPLOAD_MB = 10  # what Jupyter carries by itself; `make lab` raises it
SEEN = 180  # pixels: longest side of the whole photo, with what was taken
READ, SEARCHED = "read", "searched"  # where codes come from


@dataclass(frozen=True)
class How:
    """How a person who was read becomes a cartoon."""

    codes: str = READ  # made of the reading; or SEARCHED
    keep_colours: float = 1.0  # of hair and skin: see `PersonCodes.cartoonize`
    correct: str = ""  # what was read wrong: "glasses=round, skin=0.5"


@dataclass
class Sitter:
    """A face whose cartoon is rendered."""

    photo: Tensor  # [1, 3, R, R] in [-1, 1]
    seen: Image.Image | None = None  # the whole photo with what was taken, see `photos.Portrait`
    reading: Reading | None = None  # of the person in the photo, at pocket scale
    ws: Tensor | None = None  # its codes [1, L, w_dim] that were searched; None: not yet, since the person was read
    outside: bool = False  # was it searched as one of a world that the source does not know? See `is_outside`
    origin: tuple = ()  # hash of the picture file, and the square given: the same ones replace it
    memory: dict[Hashable, Any] = field(default_factory=dict)  # see `once`

    def once(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What `make` gives for this key, made at the first time."""
        if key not in self.memory:
            self.memory[key] = make()
        return self.memory[key]

    def corrected(self, correct: str) -> Reading:
        """What was read, and what is known better, as in `How`. Raises ValueError for other words."""
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

    def searching(self, sitter: Sitter) -> Iterator[Search]:
        """Search the codes of a sitter, step by step; after the last one they are kept."""
        sitter.outside = self.steps > 0 and bool(is_outside(self.source, sitter.photo, self.distance, self.encoder))
        config = settings(sitter.outside, self.encoder is not None, self.steps)
        start = first_codes(self.encoder, sitter.photo, sitter.outside)
        if self.steps or start is None:
            run = Search(self.source, sitter.photo, self.distance, config, start)
            for _ in range(config.steps):
                run.step()
                yield run
            start = run.codes.detach().clone()
        sitter.ws = start

    def adding(self, name: str, photo: Tensor, **more: Any) -> Iterator[Search]:
        """Take a photo [3, R, R] in [-1, 1]; without a reading that makes codes, search them, step by step.

        Another of that name is replaced; `more` (`seen`, `reading`, `origin`) is as in `Sitter`.
        """
        sitter = Sitter(photo[None].to(self.source.mapping.w_mean.device), **more)
        if self.people is None or sitter.reading is None:
            yield from self.searching(sitter)
        self.sitters.pop(name, None)
        self.sitters[name] = sitter  # the newest last

    def add(self, name: str, photo: Tensor, reading: Reading | None = None, seen: Image.Image | None = None) -> Sitter:
        """As `adding`, in one go."""
        list(self.adding(name, photo, seen=seen, reading=reading))
        return self.sitters[name]

    def reading(self, name: str, how: How = How()) -> Reading | None:
        """What a sitter's codes are made of, corrected; None: they are those that were searched."""
        sitter = self.sitter(name)
        can_be = how.codes == READ and self.people is not None and sitter.reading is not None
        return sitter.corrected(how.correct) if can_be else None

    def cartoons(self, name: str, styles: Mapping[str, Generator], how: How, *dials: float) -> dict[str, Tensor]:
        """A sitter in some styles, as `PersonCodes.cartoonize` or `editing.cartoonize`: [1, 3, R, R] each.

        Codes that have not been searched yet are searched now.
        """
        sitter = self.sitter(name)
        if reading := self.reading(name, how):
            more = {"keep_colours": how.keep_colours, "memory": sitter.once(("colours", how.correct), dict)}
            return self.people.cartoonize(styles, reading.faces(), *dials, **more)
        if sitter.ws is None:
            with torch.enable_grad():
                list(self.searching(sitter))
        return cartoonize(self.source, styles, sitter.ws, *dials)

    def again(self, name: str, how: How) -> Tensor:
        """What the source renders of a sitter's codes [1, 3, R, R]; rendered once."""
        how = replace(how, keep_colours=0.0)
        return self.sitter(name).once(how, lambda: self.cartoons(name, {"": self.source}, how)[""])

    def sitter(self, name: str) -> Sitter:
        """One by name. Raises ValueError for an unknown one."""
        return pick("photo", name, self.sitters)

    def grid(self, name: str, how: How, swap_resolution: int, width: float) -> list[list[Image.Image]]:
        """All styles (rows) at all `STRENGTHS` (columns), small."""
        columns = [self.cartoons(name, self.styles, how, swap_resolution, width, s).values() for s in STRENGTHS]
        return [[display.sized(image[0], SMALL) for image in row] for row in zip(*columns, strict=True)]

    def drawing(self, name: str, style: str, correct: str = "") -> Image.Image | None:
        """The person as read off the photo, in a style that is a pocket world; rendered once. None: not read."""
        sitter = self.sitter(name)
        if sitter.reading is None or style not in world.DOMAINS:
            return None
        drawn = partial(world.render, domain=style, size=SIDE)
        key = "drawing", style, correct
        return sitter.once(key, lambda: display.to_pil(drawn(sitter.corrected(correct).faces())[0]))


@torch.no_grad()
def render_cartoon(
    studio: Studio,
    photo: str,
    style: str,
    swap_resolution: int = 4,
    strength: float = 1.0,
    width: float = 0.0,
    preview: bool = False,
    **how: Any,
) -> Image.Image:
    """A photo, what the source renders of its codes, and its cartoon; below them all styles at several strengths.

    Where the person was read, a fourth picture is the renderer's drawing of them; if codes are made of the reading,
    words say how sure it is, and what of it is seen in the pictures.

    Args:
        studio, photo, style: models and sitters; the names of a sitter and of a style.
        swap_resolution, strength, width: the dials, see `cartoonize`.
        preview: without the grid, unless it is there already.
        how: see `How`.

    Raises ValueError for an unknown name, impossible dials, or wrong corrections (they count where somebody was read).
    """
    sitter, how = studio.sitter(photo), How(**how)
    model = {style: pick("style", style, studio.styles)}
    cartoon = studio.cartoons(photo, model, how, swap_resolution, width, strength)[style]
    again = studio.again(photo, how)
    faces = {"photo": sitter.photo[0], AGAIN: again[0], style: cartoon[0]}
    if drawing := studio.drawing(photo, style, how.correct):
        faces[f"as read, by the renderer: {style}"] = drawing
    rows = [[*faces.values()], *words_below(studio, photo, how, {AGAIN: again, style: cartoon})]
    large = display.table(rows, list(faces), gap=GAP, band=LINE, side=SIDE)
    dials = how, swap_resolution, width
    if preview and dials not in sitter.memory:
        cells = [[display.fitted(None, SMALL)] * len(STRENGTHS) for _ in studio.styles]
    else:
        cells = [list(row) for row in sitter.once(dials, lambda: studio.grid(photo, *dials))]
        if strength in STRENGTHS:
            row, column = list(studio.styles).index(style), STRENGTHS.index(strength)
            cells[row][column] = framed(cells[row][column], FRAME, 3)
    names = [f"{value:g}" for value in STRENGTHS]
    grid = display.table(cells, names, list(studio.styles), gap=GAP, band=LINE, corner="strength")
    taken = display.table([[display.fitted(sitter.seen, SEEN)]], ["what was taken" if sitter.seen else ""], band=LINE)
    return display.stack([large, display.beside([taken, grid], GAP)], gap=0)


def words_below(
    studio: Studio, photo: str, how: How, images: Mapping[str, Tensor], side: int = SIDE
) -> list[list[Image.Image]]:
    """A row of words: below the photo what was read, below its images [1, 3, R, R] what is seen of it; or no row."""
    reading = studio.reading(photo, how)
    words = verdicts(studio.distance, reading, images) if reading else {}
    return [[display.note(words.get(name, ""), side) for name in ("photo", *images)]] if reading else []


class CartoonPanel(Panel):
    """Your photo in every style, with the dials of `cartoonize`. Raises ValueError for a studio without sitters.

    A button takes photos (a file, or on a phone the camera), and a field the path of one. `record` as in `Panel`.
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
        super().__init__(partial(render, studio), photo | dials, "cartoon", record=record, **more)

    def _parts(self) -> tuple[Callable[..., Image.Image], dict[str, w.ValueWidget], dict[str, Any]]:
        """What renders, its controls besides the photo, and more arguments of `Panel`."""
        dials = {
            "style": choice("style", list(self.studio.styles)),
            "swap_resolution": choice("cartoon from", cuts(self.studio.source.resolution)),
            "width": float_slider("soft cut", 0.0, 0.0, 2.0, 0.1, "in resolutions; 0: hard"),
            **self._how(),
        }
        above = [self.upload, self.path, self.square]
        return render_cartoon, dials, {"above": above, "video": {"strength": None}, "preview": True}

    def _how(self) -> dict[str, w.ValueWidget]:
        """The strength, and where people can be read, the controls of that."""
        strength = float_slider("strength", 1.0, 0.0, 1.0, 0.05, "0: the photo's model, 1: the cartoon's")
        if self.studio.people is None:
            return {"strength": strength}
        keep = float_slider("keep colours", 1.0, 0.0, 1.0, 0.05, "of hair and skin, as read; 0: as the style has them")
        words = "what is right where it was read wrong: ATTRIBUTE=VALUE, ...; Enter"
        correct = text_field("correct", help=words, placeholder="glasses=round, hair_style=bun, smile=0.5")
        codes = choice("codes", [READ, SEARCHED])
        return {"strength": strength, "codes": codes, "keep_colours": keep, "correct": correct}

    @torch.no_grad()
    def frame(self, photo: str, style: str, swap_resolution: int, strength: float, width: float, **how) -> Image.Image:
        """The cartoon alone."""
        style = {style: self.studio.styles[style]}
        (cartoon,) = self.studio.cartoons(photo, style, How(**how), swap_resolution, width, strength).values()
        return display.sized(cartoon[0], 2 * SIDE)

    def _forget_corrections(self, _) -> None:
        """They are of the person before."""
        if "correct" in self.controls:
            with self._silence():
                self.controls["correct"].value = ""

    def _rendered(self, **more: bool) -> Image.Image:
        """Codes that were not searched yet are searched with a bar."""
        sitter = self.studio.sitter(self.settings["photo"])
        if sitter.ws is None and self.settings.get("codes") != READ:
            list(self.watch(self.studio.searching(sitter), "steps", self.studio.steps))
        return super()._rendered(**more)

    def _take_uploaded(self) -> None:
        for name, content in uploaded_files(self.upload.value):
            self.take(name, content)

    def _take_named(self) -> None:
        if path := self.path.value.strip():
            self.take(Path(path).name, Path(path).expanduser().read_bytes())

    def take(self, name: str, data: bytes) -> list[str]:
        """Find the faces of a picture file and their codes, show the first, and return their names.

        A picture of the model's size is taken as it is; of others every face is cut out, or the square that the field
        gives. The same picture again replaces itself. Raises ValueError: no picture, no face in it, or no square.
        """
        square = parse_box(self.square.value.strip() or None)
        self.message.value = f"looking for faces in {escape(name, False)}"
        try:
            photo = decode(data)
        except Refused as error:
            raise ValueError(f"{name} cannot be read: {error}") from error
        resolution = self.studio.source.resolution
        faces = portraits(photo, resolution, Cutting("auto", "all", square, frame_for(resolution)))[:MOST_FACES]
        origin = hashlib.sha256(data).hexdigest(), square
        others = {name for name, sitter in self.studio.sitters.items() if sitter.origin != origin}
        names = names_of(Path(name).stem[:24] or "photo", len(faces), others)
        why = ""
        for name, portrait in zip(names, faces, strict=True):
            self.message.value = f"finding the codes of {escape(name, False)} ({portrait.how})"
            reading, why = self._read(portrait, photo)
            search = self.studio.adding(name, portrait.tensor, seen=portrait.seen, reading=reading, origin=origin)
            list(self.watch(search, "steps", self.studio.steps))
        with self._silence():
            self.controls["photo"].options = list(self.studio.sitters)
            self.controls["photo"].value = names[0]
        self._render_full()
        sitter, words = self.studio.sitters[names[0]], [faces[0].how]
        if sitter.outside:
            words.append("not of this model's world, so it becomes the face most like it")
        if sitter.reading:
            words.append("; ".join([f"read: {sitter.reading.summary()}", *sitter.reading.notes]))
        elif why:
            words.append(f"nobody could be read: {why}")
        named = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
        self.message.value = escape(f"{named}: {'; '.join(words)}", False)
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
