"""A person read off a photo, as codes: attributes -> w -> the person in every world.

    people = PersonCodes.find(models / "codes.pt", source)         # None: this source has no such codes
    faces = describe(photo).corrected({"glasses": "round"}).faces()
    cartoons = people.cartoonize({"webtoon": webtoon}, faces)      # {"webtoon": [1, 3, R, R]}

Nothing is searched: the renderer taught the source what belongs to which attributes (`nets.teaching`). A world has hair
and skin colours of its own, a cartoon of *you* has yours. Where hair is, a model tells by itself: there its picture
changes with the attribute.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from stylegan2.editing import cartoonize as editing
from stylegan2.networks import Generator
from stylegan2.pocket import world
from stylegan2.pocket.measures import COLUMNS
from stylegan2.pocket.nets.judge import GROUPS, Judge
from stylegan2.pocket.nets.teaching import FaceCodes, describe

TRIED = 4  # rendered faces that tell whether codes belong to a source
DARK, LIGHT = (0.09, 0.08, 0.08), (0.87, 0.86, 0.83)  # hair to compare with: the one that is farther from the person's
CHANGED = (0.15, 0.5)  # part of the strongest change from which a pixel is a little hair or skin, and all of it
SOFT = 3  # pixels over which that is averaged
LEAST = 0.004  # part of the picture that hair or skin must cover to have a colour
SHOWN = ("hair_style", "hair_colour", "skin", "glasses", "beard", "smile")  # what `kept` looks for
NEAR = 0.8  # in the units of `Faces.vector`: 0.2 of skin or of a colour's channel, 0.4 of a smile


@dataclass(frozen=True)
class PersonCodes:
    """A source, and what makes its codes out of attributes."""

    source: Generator
    codes: FaceCodes

    @staticmethod
    def find(path: Path, source: Generator) -> PersonCodes | None:
        """The codes in a file; None where there is none, or it belongs to another source.

        They belong if the source renders some faces from them more like themselves than like each other. Raises
        CheckpointError for another kind of file.
        """
        if not path.is_file() or source.resolution > world.SIZE:
            return None
        faces, codes = world.sample("photo", TRIED), FaceCodes.open(path, source.mapping.w_mean.device)
        if (len(codes.mean), len(codes.linear.bias)) != (describe(faces).shape[1], source.w_dim):
            return None
        people = PersonCodes(source, codes)
        rendered = world.render(faces, "photo", source.resolution).float().div(127.5).sub(1)
        apart = (people.render(faces).cpu()[:, None] - rendered).abs().mean((2, 3, 4))
        return people if torch.equal(apart.argmin(1), torch.arange(TRIED)) else None

    @torch.no_grad()
    def ws(self, faces: world.Faces) -> Tensor:
        """Codes [N, L, w_dim] of N faces."""
        return self.codes.w(describe(faces))[:, None].expand(-1, self.source.num_ws, -1)

    def render(self, faces: world.Faces) -> Tensor:
        """What the source renders of N faces: [N, 3, R, R] in about [-1, 1]."""
        return self.cartoonize({"": self.source}, faces, keep=0)[""]

    def cartoonize(
        self, styles: Mapping[str, Generator], faces: world.Faces, *dials: float, keep: float = 1.0
    ) -> dict[str, Tensor]:
        """N faces in every style: {style: [N, 3, R, R] in about [-1, 1]}.

        Args:
            styles, dials: as of `editing.cartoonize`: swap_resolution, width, strength.
            keep: how far skin and hair move from the style's colours (0) to those that the source renders (1).

        Raises ValueError as `editing.cartoonize`, and for an impossible `keep`.
        """
        if not 0 <= keep <= 1:
            raise ValueError(f"keep is {keep}, expected 0 (the style's colours) to 1 (the person's)")
        if not keep:
            return editing.cartoonize(self.source, styles, self.ws(faces), *dials)
        ws = self.ws(_three_times(faces))
        own = _colours(*_parts(editing.cartoonize(self.source, {"": self.source}, ws)[""]))
        drawn = editing.cartoonize(self.source, styles, ws, *dials)
        return {name: _recoloured(*_parts(images), own, keep) for name, images in drawn.items()}


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
    strongest = change.flatten(2).quantile(0.98, 2)[..., None, None].clamp_min(1e-3)
    low, high = CHANGED
    masks = ((change / strongest - low) / (high - low)).clamp(0, 1)
    return plain, masks / masks.sum(1, keepdim=True).clamp_min(1)


def _colours(images: Tensor, masks: Tensor) -> Tensor:
    """Mean colours of hair and skin, RGB in 0..1, [N, 2, 3]; NaN where there is too little of it."""
    cover = masks.mean((2, 3))[..., None]
    mean = torch.einsum("nchw,nkhw->nkc", images * 0.5 + 0.5, masks) / masks.sum((2, 3))[..., None].clamp_min(1)
    return torch.where(cover > LEAST, mean.clamp(0.02, 0.98), torch.nan)


def _recoloured(images: Tensor, masks: Tensor, wanted: Tensor, keep: float) -> Tensor:
    """Images with the wanted colours [N, 2, 3] in their masks: a shift of log odds, which leaves black and white."""
    shift = (keep * (wanted.logit() - _colours(images, masks).logit())).nan_to_num(0)[..., None, None]  # [N, 2, 3, 1, 1]
    x = (images * 0.5 + 0.5).clamp(0.004, 0.996)
    moved = (x[:, None].logit() + shift).sigmoid() - x[:, None]
    return images + 2 * (moved * masks[:, :, None]).sum(1)


def kept(judge: Judge, faces: world.Faces, cartoons: Tensor) -> list[dict[str, bool]]:
    """What the judge finds again in each of N cartoons [N, 3, R, R]: {attribute of `SHOWN`: is it as in its face?}."""
    rows = []
    for wanted, read in zip(faces.vector(), judge.read(cartoons).attributes, strict=True):
        row = {}
        for name in SHOWN:
            want, got = wanted[COLUMNS[name]], read[COLUMNS[name]]
            row[name] = bool(want.argmax() == got.argmax() if name in GROUPS else (want - got).abs().max() < NEAR)
        rows.append(row)
    return rows
