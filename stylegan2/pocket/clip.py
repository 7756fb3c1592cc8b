"""Clips: a rendered person who turns, smiles and blinks (`pocket:clip`), and a real one, read frame by frame."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stylegan2.collect.align import NEEDED, NoFace
from stylegan2.display import to_pil
from stylegan2.editing import videos
from stylegan2.editing.cartoon_clip import steadied
from stylegan2.networks import Generator
from stylegan2.pocket import world
from stylegan2.pocket.person import PersonCodes, Wishes
from stylegan2.pocket.portrait import describe
from stylegan2.pocket.source import numbers
from stylegan2.pocket.world import Faces

NAME = "pocket:clip"
ENLARGED = 3  # pixels of the clip for one of the pocket models
BLINKS, BLINK = (0.2, 0.7), 0.035  # when, and how long half of one takes, in parts of the clip
MOVING = {  # what moves in a face -> seconds over which it is smoothed
    **dict.fromkeys(("yaw", "pitch", "roll", "brow_height", "brow_angle", "smile"), 0.15),
    **dict.fromkeys(("gaze", "mouth_open", "eye_open"), 0.06),
}
BATCH = 8  # frames rendered at once


@dataclass(frozen=True)
class RenderedClip:
    """Frames of person `person` of the photos' world."""

    person: int = 21
    count: int = 72
    fps: float = 24.0
    side: int = ENLARGED * world.SIZE

    sound = ""
    name = NAME

    @property
    def size(self) -> tuple[int, int]:
        return self.side, self.side

    @property
    def fingerprint(self) -> str:
        return f"{NAME} {world.VERSION} {self.person} {self.count} {self.side}"

    def frames(self) -> Iterator[Image.Image]:
        return map(to_pil, self._rendered)

    @cached_property
    def _rendered(self) -> torch.Tensor:
        return world.render(self.faces(), "photo", self.side)

    def faces(self) -> Faces:
        """What is rendered: the same person in every frame but for pose, smile, mouth, eyes and gaze."""
        one = world.sample("photo", 1, seed=self.person)
        t = torch.arange(self.count) / self.count
        turn = 2 * math.pi * t
        blink = sum((-(((t - at) / BLINK) ** 4)).exp() for at in BLINKS)
        moving = {
            "yaw": 0.75 * turn.sin(),
            "pitch": 0.25 * (2 * turn).sin(),
            "roll": 0.35 * (turn + 1).sin(),
            "gaze": 0.4 * (turn + 0.5).sin(),
            "smile": 0.4 - 0.5 * turn.cos(),
            "mouth_open": 0.5 * (-turn.cos()).clamp_min(0) ** 2,
            "eye_open": 0.75 * (1 - blink),
        }
        still = {name: value.expand(self.count, *value.shape[1:]) for name, value in one.values.items()}
        return Faces(still | moving)


def open_clip(text: str) -> RenderedClip:
    """`pocket:clip?person=3&n=48`. Raises ValueError for anything else."""
    if text.partition("?")[0] != NAME:
        raise ValueError(f"no rendered clip '{text}': expected '{NAME}', or numbers as in '{NAME}?person=3&n=48'")
    return RenderedClip(*numbers(text, {"person": RenderedClip.person, "n": RenderedClip.count}).values())


@dataclass(frozen=True)
class ReadSitter:
    """A real person in a clip, a `cartoon_clip.Sitter`: who it is, read over a scene; how the face moves, in each.

    Attributes:
        people: makes codes of what was read.
        style, cartoon: name of the cartoon's world, and its generator.
        wishes: dials and kept colours, see `PersonCodes.cartoonize`.
        changes: what is known better, {attribute: value}.
        required: see `cartoon_clip.Sitter`.
    """

    people: PersonCodes
    style: str
    cartoon: Generator
    wishes: Wishes = Wishes()
    changes: Mapping[str, str] = field(default_factory=dict)
    required: bool = False

    def __post_init__(self) -> None:
        world.sample("photo", 1).replace(**self.changes)  # raises ValueError for impossible ones, before the work

    def read(self, faces: Iterable[Image.Image], frames: Sequence[int], fps: float) -> dict[str, Tensor]:
        """The values of `Faces`, a face for each frame of a scene. Raises NoFace where none of them can be read."""
        read = {frame: _described(face) for frame, face in zip(frames, faces, strict=True)}
        seen = {frame: one for frame, one in read.items() if one is not None}
        if not seen:
            raise NoFace(f"the face could not be read in any frame: {NEEDED}")
        values = Faces.concatenate(list(seen.values())).values
        return {name: _over_time(name, value, list(seen), frames, fps) for name, value in values.items()}

    def cartoons(self, read: dict[str, Tensor]) -> videos.Lazy:
        """The cartoon of every frame, in the colours of the whole scene."""
        faces, styles = Faces(read).replace(**self.changes), {self.style: self.cartoon}
        dials, keep, colours = self.wishes.dials, self.wishes.keep_colours, {}
        self.people.cartoonize(styles, faces[len(faces) // 2], *dials, keep, colours)  # these are the colours of all

        @lru_cache(maxsize=1)
        def batch(number: int) -> Tensor:
            some = faces[BATCH * number : BATCH * (number + 1)]
            same = {name: colour.expand(len(some), -1, -1) for name, colour in colours.items()}
            return self.people.cartoonize(styles, some, *dials, keep, same)[self.style].cpu()

        return videos.Lazy(lambda i: to_pil(batch(i // BATCH)[i % BATCH]), range(len(faces)))


def _described(face: Image.Image) -> Faces | None:
    """What is read, without the pictures that a `Reading` keeps: 1.5 MB a frame."""
    try:
        return describe(face).faces()
    except ValueError:  # no face, or none that can be read
        return None


def _over_time(name: str, values: Tensor, seen: Sequence[int], frames: Sequence[int], fps: float) -> Tensor:
    """An attribute in `frames`, from its values in those that were `seen`: one for all, or how it moves."""
    if name not in MOVING:
        middle = values.mode(0).values if values.dtype == torch.long else values.median(0).values
        return middle.expand(len(frames), *middle.shape)
    every = np.interp(range(frames[0], frames[-1] + 1), seen, values.numpy())  # also where no face is
    smooth = steadied(torch.from_numpy(every).float()[:, None, None], MOVING[name] * fps)[:, 0, 0]
    return smooth[torch.tensor(frames) - frames[0]]
