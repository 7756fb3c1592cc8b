"""A rendered person who turns, smiles and blinks: the clip of the course, `pocket:clip`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from PIL import Image

from stylegan2.display import to_pil
from stylegan2.pocket import world
from stylegan2.pocket.source import numbers
from stylegan2.pocket.world import Faces

NAME = "pocket:clip"
ENLARGED = 3  # pixels of the clip for one of the pocket models
BLINKS, BLINK = (0.2, 0.7), 0.035  # when, and how long half of one takes, in parts of the clip


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
