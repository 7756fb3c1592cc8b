"""A person read off a photo, as codes: attributes -> w -> the person in every world.

    people = PersonCodes.find(models / "codes.pt", source)         # None: this source has no such codes
    faces = describe(photo).corrected({"glasses": "round"}).faces()
    cartoons = people.cartoonize({"webtoon": webtoon}, faces)      # {"webtoon": [1, 3, R, R]}

Nothing is searched: the renderer taught the source what belongs to which attributes (`nets.teaching`). A cartoon of
*you* has your colours of hair and skin; where they are, a model tells: there its picture changes with the attribute.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from stylegan2.editing import cartoonize as editing
from stylegan2.editing.encoder import Encoder
from stylegan2.editing.photos import Portrait, open_photo
from stylegan2.networks import Generator
from stylegan2.pocket import world
from stylegan2.pocket.likeness import SCENE
from stylegan2.pocket.measures import COLUMNS
from stylegan2.pocket.nets.judge import GROUPS, INPUT_SIZE, Judge, to_float
from stylegan2.pocket.nets.perceptual import JudgeDistance
from stylegan2.pocket.nets.teaching import FaceCodes, describe
from stylegan2.pocket.portrait import Reading
from stylegan2.pocket.portrait import describe as read

TRIED = 4  # rendered faces that tell whether codes belong to a source
DARK, LIGHT = (0.09, 0.08, 0.08), (0.87, 0.86, 0.83)  # hair to compare with: the one that is farther from the person's
CHANGED = (0.15, 0.5)  # part of the strongest change from which a pixel is a little hair or skin, and all of it
SOFT = 3  # pixels over which that is averaged
TINT = (0.0, 0.5)  # of hair, of skin, whose lips and blush are meant
LUMA = (0.3, 0.59, 0.11)  # lightness of red, green and blue
PAINTED = 64  # pixels of a rendered face whose colours are taken
LEAST = 0.004  # part of the picture that hair or skin must cover to have a colour
SHOWN = ("hair_style", "hair_colour", "skin", "glasses", "beard", "smile")  # what `verdicts` look for
NEAR = 0.8  # in the units of `Faces.vector`: 0.2 of skin or of a colour's channel, 0.4 of a smile
RARE = 0.3  # least spread of an attribute over people: of a choice that one in ten has
OTHERS, OTHERS_SEED = 200, 960_000  # people whose pictures might fit as well


@dataclass(frozen=True)
class Wishes:
    """How photos become cartoons."""

    codes: Literal["auto", "read", "search"] = "auto"  # made of what is read off the person, or searched; auto: read
    # in real photos
    keep_colours: float = 1.0  # of hair and skin of a person who was read: 1 as read, 0 as the style has them
    resolution: int = 4  # the first resolution that the cartoon model renders; 4: all of it
    width: float = 0.0  # softness of that cut, in resolutions; 0: hard
    strength: float = 1.0  # of the cartoon: 0 the photo's model, 1 the cartoon's
    steps: int = 100  # to search codes; 0: the encoder's answer as it is
    space: Literal["auto", "w", "w+"] = "auto"  # of codes that are searched

    @property
    def dials(self) -> tuple[int, float, float]:
        """resolution, width, strength, as `editing.cartoonize` takes them."""
        return self.resolution, self.width, self.strength


def is_real(portrait: Portrait, source: Generator, distance, encoder: Encoder | None) -> bool:
    """Is it a photo of a real person: a face found in a larger photo, or a picture that `is_outside`?"""
    image = portrait.tensor[None].to(source.mapping.w_mean.device)
    return bool(portrait.face or editing.is_outside(source, image, distance, encoder))


def read_person(portrait: Portrait, photo: Image.Image | None = None) -> Reading:
    """The person of a portrait: read in its photo (None: its file) if a face was sought there, else in the square.

    Raises as `portrait.describe`.
    """
    if not portrait.face:
        return read(portrait.image)
    return read(photo or open_photo(portrait.path), portrait.face)


@dataclass(frozen=True)
class PersonCodes:
    """A source, and what makes its codes out of attributes."""

    source: Generator
    codes: FaceCodes

    @staticmethod
    def find(path: Path, source: Generator) -> PersonCodes | None:
        """The codes in a file; None where there is none, or it belongs to another source.

        They belong if the source renders some faces from them more like themselves than like each other.
        """
        if not path.is_file() or source.resolution > world.SIZE:
            return None
        faces, codes = world.sample("photo", TRIED), FaceCodes.open(path, source.mapping.w_mean.device)
        if (len(codes.mean), len(codes.linear.bias)) != (describe(faces).shape[1], source.w_dim):
            return None
        people = PersonCodes(source, codes)
        rendered = to_float(world.render(faces, "photo", source.resolution))
        apart = (people.render(faces).cpu()[:, None] - rendered).abs().mean((2, 3, 4))
        return people if torch.equal(apart.argmin(1), torch.arange(TRIED)) else None

    @torch.no_grad()
    def ws(self, faces: world.Faces) -> Tensor:
        """Codes [N, L, w_dim] of N faces."""
        return self.codes.w(describe(faces))[:, None].expand(-1, self.source.num_ws, -1)

    def render(self, faces: world.Faces) -> Tensor:
        """What the source renders of N faces: [N, 3, R, R] in about [-1, 1]."""
        return self.cartoonize({"": self.source}, faces, keep_colours=0)[""]

    def cartoonize(
        self,
        styles: Mapping[str, Generator],
        faces: world.Faces,
        swap_resolution: int = 4,
        width: float = 0.0,
        strength: float = 1.0,
        keep_colours: float = 1.0,
        memory: dict[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """N faces in every style: {style: [N, 3, R, R] in about [-1, 1]}.

        Args:
            styles, swap_resolution, width, strength: as of `editing.cartoonize`.
            keep_colours: how far hair and skin move from the style's colours (0) to the person's (1): as the renderer
                paints them in that world, or, in a style that is no pocket world, as in the source's picture.
            memory: where these faces' colours are kept from call to call, since no dial changes them.

        Raises ValueError as `editing.cartoonize`, and for `keep_colours` outside of 0..1.
        """
        if not 0 <= keep_colours <= 1:
            raise ValueError(f"keep_colours is {keep_colours}, expected 0 (the style's) to 1 (the person's)")
        dials = swap_resolution, width, strength
        if not keep_colours:
            return editing.cartoonize(self.source, styles, self.ws(faces), *dials)
        three, memory, cartoons = _three_times(faces), {} if memory is None else memory, {}
        ws = self.ws(three)
        if "" not in memory:
            memory[""] = _colours(*_parts(editing.cartoonize(self.source, {"": self.source}, ws)[""]))
        for name, images in editing.cartoonize(self.source, styles, ws, *dials).items():
            if styles[name] is self.source:  # the codes as they are
                cartoons[name] = images.chunk(3)[0]
                continue
            wanted = memory[""]
            if name in world.DOMAINS:
                if name not in memory:
                    memory[name] = _colours(*_parts(to_float(world.render(three, name, PAINTED)).to(images)))
                wanted = wanted.lerp(memory[name], strength)
            cartoons[name] = _recoloured(*_parts(images), wanted, strength, keep_colours)
        return cartoons


def _three_times(faces: world.Faces) -> world.Faces:
    """N faces, the same with other hair colours, and with other skin: [3N]."""
    dark = faces.hair_colour.mean(1, keepdim=True) < 0.45
    hair = torch.where(dark, torch.tensor(LIGHT), torch.tensor(DARK))
    skin = (faces.skin < 0.5).float()
    return world.Faces.concatenate([faces, faces.replace(hair_colour=hair), faces.replace(skin=skin)])


def _parts(images: Tensor) -> tuple[Tensor, Tensor]:
    """Images of `_three_times` [3N, 3, R, R] -> the first N of them, and masks of their hair and skin [N, 2, R, R]."""
    plain, *others = images.chunk(3)
    change = torch.stack([(other - plain).abs().mean(1) for other in others], 1)
    change = F.avg_pool2d(change, SOFT, 1, SOFT // 2, count_include_pad=False)
    strongest = change.flatten(2).quantile(0.98, 2).view(*change.shape[:2], 1, 1).clamp_min(1e-3)
    low, high = CHANGED
    masks = ((change / strongest - low) / (high - low)).clamp(0, 1)
    return plain, masks / masks.sum(1, keepdim=True).clamp_min(1)


def _colours(images: Tensor, masks: Tensor) -> Tensor:
    """Mean colours of hair and skin, RGB in 0..1, [N, 2, 3]; NaN where there is too little of it."""
    cover = masks.mean((2, 3))[..., None]
    mean = torch.einsum("nchw,nkhw->nkc", images * 0.5 + 0.5, masks) / masks.sum((2, 3))[..., None].clamp_min(1)
    return torch.where(cover > LEAST, mean.clamp_min(0.02), torch.nan)


def _recoloured(images: Tensor, masks: Tensor, wanted: Tensor, strength: float, keep_colours: float) -> Tensor:
    """Images whose masked parts have the wanted mean colours [N, 2, 3], lighter and darker as they were.

    Of what a pixel's tint differs from the part's, `TINT` stays (at strength 1; at 0 all of it). A part without a
    colour (NaN) stays as it is.
    """
    x, moved, luma = images * 0.5 + 0.5, torch.zeros_like(images), images.new_tensor(LUMA)[:, None, None]
    for k, have in enumerate(_colours(images, masks).unbind(1)):
        have, want = have[:, :, None, None], wanted[:, k, :, None, None]
        lightness = (x * luma).sum(1, keepdim=True) / (have * luma).sum(1, keepdim=True)
        tint = 1 + strength * (TINT[k] - 1)
        change = want * lightness + tint * (x - have * lightness) - x
        moved += change.nan_to_num(0) * masks[:, k, None]
    return images + 2 * keep_colours * moved


def verdicts(distance, reading: Reading, images: Mapping[str, Tensor]) -> dict[str, str]:
    """Words to stand below pictures of a person who was read.

    "photo": what was read, and how surely. By name of the images [1, 3, R, R]: which of `SHOWN` the judge of `distance`
    (if it has one) sees in them, and `likeness_rank`; of the source's picture (`AGAIN`) and the pocket worlds only.
    """
    words, wanted = {"photo": f"{reading.summary()}; {reading.sureness()}"}, reading.faces().vector()[0]
    known = [name for name in images if name in (editing.AGAIN, *world.DOMAINS)]
    if not known or not isinstance(distance, JudgeDistance):
        return words
    together = distance.judge.read(torch.cat([images[name] for name in known])).attributes
    for name, seen in zip(known, together, strict=True):
        lost = [name for name in SHOWN if not _same(name, wanted[COLUMNS[name]], seen[COLUMNS[name]])]
        says = f"; not {', '.join(lost).replace('_', ' ')}" if lost else ""
        rank = likeness_rank(distance.judge, reading, seen, "photo" if name == editing.AGAIN else name)
        likeness = f"fits what was read better than {rank} of {OTHERS} pictures of other people"
        words[name] = f"{len(SHOWN) - len(lost)} of {len(SHOWN)} found again{says}; {likeness}"
    return words


@cache
def _others(judge: Judge, style: str) -> Tensor:
    """Attributes that the judge reads off pictures of other people in a world, [OTHERS, A]."""
    people = world.sample("photo", OTHERS, seed=OTHERS_SEED)
    return judge.read(world.render(people, style, INPUT_SIZE)).attributes


def likeness_rank(judge: Judge, reading: Reading, seen: Tensor, style: str = "photo") -> int:
    """How many of `OTHERS` pictures, of other people, fit the person who was read less well than this one.

    A misfit is the squared difference of all attributes but clothes and background, each in units of its spread over
    people, and counts as much as the reading of it is sure. By chance: half of them.

    seen: attributes of the picture [A], read by the judge; style: the pocket world that it is of.
    """
    others, person = _others(judge, style), reading.faces().vector()[0]
    sure = torch.zeros(len(person))
    for name, columns in COLUMNS.items():
        sure[columns] = reading.sure[name] * (name not in SCENE)
    unit = others.std(0).clamp_min(RARE)
    own, theirs = (((picture - person) / unit).square() @ sure for picture in (seen, others))
    return int((theirs > own).sum())


def _same(name: str, wanted: Tensor, seen: Tensor) -> bool:
    return bool(wanted.argmax() == seen.argmax() if name in GROUPS else (wanted - seen).abs().max() < NEAR)
