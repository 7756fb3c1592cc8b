"""What is read off a face, how sure it is, and the pocket face that it becomes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from PIL import Image

from stylegan2.collect import align
from stylegan2.collect.align import NoFace
from stylegan2.collect.blazeface import BlazeFace
from stylegan2.collect.facemesh import FaceMesh, Mesh
from stylegan2.pocket.portrait import colours, hair, shape, worn
from stylegan2.pocket.portrait.head import Head, head_of
from stylegan2.pocket.world import Faces, sample
from stylegan2.pocket.world.faces import BY_NAME, Value
from stylegan2.pocket.world.styles import PALETTES

SMALLEST = 48  # pixels of a face: in smaller ones neither glasses nor a smile can be told
PRESENT = 0.5  # presence of a mesh from which it is a face
ENOUGH = 0.5  # a value as sure as this stands as it was read; a less sure one moves towards the mean
GREY_SURE = 0.4  # of skin and hair colour in black and white
GREY_NOTE = "black-and-white: skin and hair by lightness, less sure; clothes and background as greys; no eye colour"


@cache
def means() -> dict[str, Value]:
    """The mean of every attribute in the world's photos; of a choice or a flag the commonest."""
    people = sample("photo", 1000).values
    middle = {name: v.mode().values if v.dtype == torch.long else v.mean(0) for name, v in people.items()}
    return Faces({name: value[None] for name, value in middle.items()}).words()


@dataclass(frozen=True)
class Reading:
    """A person as attributes of the pocket world."""

    values: Mapping[str, Value]  # as read, of every attribute: a number, the name of a choice, RGB in 0..1
    sure: Mapping[str, float]  # 0..1; 0: not read at all; estimates, set by hand
    notes: tuple[str, ...]  # what could not be read, and why
    head: Head
    found: int = 1  # faces in the photo

    def settled(self) -> dict[str, Value]:
        """The values as they are rendered: those that are less than half sure moved towards the mean."""
        settled = {}
        for name, mean in means().items():
            value, weight = self.values[name], min(1.0, self.sure[name] / ENOUGH)
            if isinstance(mean, str) or BY_NAME[name].kind == "binary":
                settled[name] = value if weight == 1 else mean
            else:
                mixed = np.asarray(mean) + weight * (np.asarray(value) - np.asarray(mean))
                settled[name] = tuple(mixed.tolist()) if mixed.ndim else float(mixed)
        return settled

    def faces(self) -> Faces:
        """One face of the pocket world."""
        return sample("photo", 1).replace(**self.settled())

    def corrected(self, changes: Mapping[str, str | float | Sequence[float]]) -> Reading:
        """With what the person says instead, as for `Faces.replace`: {"glasses": "round", "smile": 0.5}."""
        face = self.faces().replace(**changes).words()
        values = {**self.values, **{name: face[name] for name in changes}}
        return replace(self, values=values, sure={**self.sure, **dict.fromkeys(changes, 1.0)})

    def name_of(self, name: str) -> str:
        """A value in words: a choice, a colour's nearest name, or a number."""
        value = self.settled()[name]
        if name in PALETTES:
            return nearest(value, PALETTES[name])
        return value if isinstance(value, str) else f"{value:.2f}"

    def summary(self) -> str:
        """Hair, skin, glasses, beard and mouth in a line."""
        words = self.settled()
        length = "no hair" if words["hair_style"] == "shaved" else f"{self.name_of('hair_colour')} hair"
        parts = [f"{length} ({words['hair_style']})", f"skin {words['skin']:.2f}", f"smile {words['smile']:.2f}"]
        parts += ["glasses"] if words["glasses"] != "none" else []
        parts += [str(words["beard"])] if words["beard"] != "none" else []
        return ", ".join(parts)

    def sureness(self) -> str:
        """How much of the person is read, and how much guessed, in a line."""
        sure = np.array(list(self.sure.values()))
        return f"{sum(sure >= ENOUGH)} of {len(sure)} attributes at least half sure, {sum(sure == 0)} not read"

    def to_json(self) -> str:
        """{"attributes": {name: {"value", "sure"}}, "notes": [...]}; values as they are rendered."""
        attributes = {
            name: {"value": v if isinstance(v, str) else np.round(v, 3).tolist(), "sure": round(self.sure[name], 2)}
            for name, v in self.settled().items()
        }
        return json.dumps({"attributes": attributes, "notes": self.notes}, indent=1)


def corrections(texts: Iterable[str]) -> dict[str, str]:
    """{attribute: value} of texts such as "glasses=round". Raises ValueError for others."""
    pairs = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not (name and equals and value):
            raise ValueError(f"{text!r}: expected ATTRIBUTE=VALUE, such as glasses=round")
        pairs[name] = value
    return pairs


def nearest(colour: Sequence[float], palette: Mapping[str, Sequence[float]]) -> str:
    """The name of the colour (RGB in 0..1) that looks most alike."""
    lab = colours.lab_of(np.array([colour, *palette.values()]))
    return list(palette)[np.linalg.norm(lab[1:] - lab[0], axis=1).argmin()]


def describe(photo: Image.Image, face: int = 1) -> Reading:
    """Read the person in an upright RGB photo; `face`: 1 the one that is found most surely, 2 the next, ..., counted as
    `align.find_people` does.

    Raises NoFace where there is none, ValueError where there are not so many or the face is too small.
    """
    found = BlazeFace(align.SMALLEST)(photo)
    if not found:
        size = f"{photo.width}x{photo.height} pixels"
        raise NoFace(f"no face found in this photo ({size}): eyes, nose and mouth should be seen")
    if not 1 <= face <= len(found):
        raise ValueError(f"face {face} was asked for, but {len(found)} were found in this photo")
    chosen = found[face - 1]
    if chosen.side < SMALLEST:
        raise ValueError(f"the face is {chosen.side:.0f} pixels wide, too small to read: expected at least {SMALLEST}")
    mesh = FaceMesh()(photo, chosen)
    if mesh.presence < PRESENT:
        raise NoFace("eyes, nose and mouth were not found where a face seemed to be: take a photo from the front")
    return replace(_read(photo, mesh), found=len(found))


def _read(photo: Image.Image, mesh: Mesh) -> Reading:
    plain = head_of(photo, mesh)
    grey = colours.is_grey(plain)
    head = colours.greyed(plain) if grey else colours.balanced(plain)
    skin = colours.skin_lab(head)
    mask = hair.hair_mask(head, skin)
    mask, grey_hair = colours.grey_hair(head, mask) if grey else (mask, None)
    read = shape.shape(head) | hair.hair_shape(head, mask) | colours.read(head, mask, skin, grey)
    read |= worn.glasses(photo, mesh)
    read["beard"] = worn.beard(head, np.array(read["hair_colour"][0]), read["smile"][0] > 0.4)
    if grey:
        unseen = {name: (means()[name], 0.0) for name in ("skin_warmth", "eye_colour", "glasses_colour")}
        colour = PALETTES["hair_colour"][grey_hair or "dark brown"], GREY_SURE if grey_hair else 0.0
        read |= unseen | {"skin": (colours.grey_skin(head, skin), GREY_SURE), "hair_colour": colour}
    read = {name: (mean, 0.0) for name, mean in means().items()} | read
    values, sure = ({name: pair[k] for name, pair in read.items()} for k in (0, 1))
    return Reading(values, sure, (GREY_NOTE,) if grey else (), plain)
