"""From a picture file to the faces in it, cut and sized as a generator's images."""

from __future__ import annotations

import itertools
import os
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stylegan2.collect import align
from stylegan2.collect.align import FFHQ, Frame
from stylegan2.data.images import Refused, decode, to_square

SEEN = 384  # pixels: longest side of the photo that shows what was taken
ALIGN = ("auto", "yes", "no")


@dataclass(frozen=True)
class Cutting:
    """Which square of a photo is taken. Raises ValueError for impossible values."""

    align: str = "auto"  # "yes": the face, turned and cut by `collect.align`; "no": the middle square; "auto": a
    # picture of the generator's own size as it is, any other aligned
    face: str = "1"  # the one that is found most surely, "2": the next, ..., or "all"
    box: tuple[float, float, float] | None = None  # left, top, side in pixels of the upright photo: that square instead
    frame: Frame = FFHQ  # where an aligned face lies: as in the pictures that the generator was trained on

    def __post_init__(self) -> None:
        if self.align not in ALIGN:
            raise ValueError(f"align is {self.align!r}, expected one of {', '.join(ALIGN)}")
        if self.face != "all" and not (self.face.isdecimal() and int(self.face)):
            raise ValueError(f"face is {self.face!r}, expected 1 (the surest), 2, ... or all")

    def square(self, size: tuple[int, int], reduced: float = 1) -> np.ndarray | None:
        """Corners (see `align.square_of`) of the box, or of the middle square, in a picture of `size` pixels.

        `reduced`: how many times larger the photo is, in whose pixels the box is given. None: a face is looked for.
        """
        if self.box is not None:
            return align.box_square(*self.box) / reduced
        side = min(size)
        return align.box_square((size[0] - side) / 2, (size[1] - side) / 2, side) if self.align == "no" else None


AUTO = Cutting()


def parse_box(text: str | None) -> tuple[float, float, float] | None:
    """ "LEFT,TOP,SIDE" as numbers. Raises ValueError for anything else."""
    if text is None:
        return None
    try:
        left, top, side = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"box {text!r}: expected LEFT,TOP,SIDE in pixels, such as 120,40,300") from None
    return left, top, side


@dataclass(frozen=True)
class Portrait:
    """One face, ready for a generator."""

    image: Image.Image  # square, RGB
    how: str  # it was cut, in words
    side: int  # pixels of the photo across the square that was taken
    seen: Image.Image | None = None  # the whole photo, small, with the square that was taken; None: no face was sought
    face: int = 0  # its number in the photo, as `align.find_people` counts; 0: no face was sought
    path: Path | None = None  # of the photo, where it comes from a file

    @property
    def tensor(self) -> Tensor:
        """[3, R, R] in [-1, 1]."""
        return as_tensor(self.image)


def as_tensor(image: Image.Image) -> Tensor:
    """An RGB image as [3, H, W] in [-1, 1]."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float().div(127.5).sub(1)


def portraits(
    photo: Image.Image, resolution: int, cutting: Cutting = AUTO, people: Sequence[align.Person] | None = None
) -> list[Portrait]:
    """The faces of an upright RGB photo that are asked for. `people`: of `align.find_people`, where they are known.

    Raises align.NoFace where there is none, ValueError where there are not so many.
    """
    square = cutting.square(photo.size, getattr(photo, "reduced", 1))  # of a photo that was decoded at a smaller size
    if cutting.box is not None:
        return [Portrait(align.cut(photo, square, resolution), "the square given", _side(square))]
    if square is not None:
        return [Portrait(to_square(photo, resolution, "lanczos", crop=True), "middle square", _side(square))]
    if cutting.align == "auto" and photo.size == (resolution, resolution):
        return [Portrait(photo, "as it is", resolution)]
    people = people or align.find_people(photo)
    chosen = range(len(people)) if cutting.face == "all" else [int(cutting.face) - 1]
    if chosen[0] >= len(people):
        raise ValueError(f"face {cutting.face} was asked for, but {len(people)} were found in this photo")
    faces = []
    for i in chosen:
        square, seen = align.square_of(people[i], cutting.frame), align.marked(photo, people, cutting.frame, SEEN, {i})
        how = f"face {i + 1} of {len(people)}"
        faces.append(Portrait(align.cut(photo, square, resolution), how, _side(square), seen, i + 1))
    return faces


def _side(square: np.ndarray) -> int:
    return round(float(np.hypot(*(square[3] - square[0]))))


def open_photo(path: str | os.PathLike) -> Image.Image:
    """A picture file as an upright RGB image; JPEG files of enormous size come reduced, see `images.decode`.

    Raises OSError where it cannot be read; ValueError for no picture, which says what it is and what to do.
    """
    try:
        return decode(Path(path).read_bytes())
    except Refused as error:
        raise ValueError(f"'{path}' cannot be read: {error}") from error


def names_of(name: str, count: int, taken: Container[str] = ()) -> list[str]:
    """Names for a photo's faces: its own, or with several NAME_1, NAME_2, ...; with a number where one is taken."""
    for base in itertools.chain([name], (f"{name} {n}" for n in itertools.count(2))):
        names = [base] if count == 1 else [f"{base}_{i}" for i in range(1, count + 1)]
        if not any(one in taken for one in names):
            return names


def read_photo(
    name: str, path: str | os.PathLike, resolution: int, cutting: Cutting = AUTO, taken: Container[str] = ()
) -> dict[str, Portrait]:
    """The portraits of a picture file, named by `names_of`; see `portraits`. ValueErrors name the file."""
    photo = open_photo(path)
    try:
        faces = portraits(photo, resolution, cutting)
    except align.NoFace as error:
        raise align.NoFace(f"'{path}': {error}, or take its middle square (--align no)") from error
    except ValueError as error:
        raise ValueError(f"'{path}': {error}") from error
    faces = [replace(face, path=Path(path)) for face in faces]
    return dict(zip(names_of(name, len(faces), taken), faces, strict=True))


def stacked(portraits: Mapping[str, Portrait], device: torch.device | str = "cpu") -> Tensor:
    """Portraits as [N, 3, R, R] in [-1, 1]."""
    return torch.stack([portrait.tensor for portrait in portraits.values()]).to(device)
