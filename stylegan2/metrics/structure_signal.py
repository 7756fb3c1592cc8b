"""What StructureLoss can see: how much the running RGB sums of the low resolutions differ from face to face.

StructureLoss as published (arXiv 2106.12445, section 3.3) compares a generator's RGB sums with its source's at 4, 8 and
16 pixels. Where these hardly vary over z, there is hardly anything to keep: the shapes are in colours added later.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from stylegan2.bars import bar
from stylegan2.editing.latents import render_rgbs, slices, ws_from_seeds
from stylegan2.networks import Generator
from stylegan2.transfer import StructureLoss

FACES = 200  # seeds 0 to 199; three such sets of photo.pt gave 0.01 % at 4 px, 11.9 to 12.5 % at 32 px
HALF = 0.5  # our border between small and large: half of what the image varies at that size


class Spread:
    """Variance of tensors over many, mean over all their places, without keeping them."""

    def __init__(self) -> None:
        self.n, self.sums = 0, None

    def add(self, values: Tensor) -> None:
        """[N, ...]"""
        values = values.double()
        if self.sums is None:
            self.start, self.sums = values[0], torch.zeros(2, *values.shape[1:], dtype=torch.float64).to(values)
        apart = values - self.start  # so that what is constant has a variance of exactly 0
        self.sums += torch.stack([apart.sum(0), apart.square().sum(0)])
        self.n += len(values)

    def mean(self) -> float:
        """Mean variance of what was added."""
        first, second = self.sums / self.n
        return float((second - first.square()).clamp_min(0).mean())


@dataclass(frozen=True)
class StructureSignal:
    """Variance over z, mean over pixels and channels, as a share of the image's, by resolution."""

    sums: dict[int, float]  # of the running RGB sum there; the last one is the image: 1
    shown: dict[int, float]  # of the image shrunk to that size by averaging: what there is to see
    faces: int

    @property
    def compared(self) -> list[int]:
        """The resolutions that StructureLoss compares by default, of those that the generator has."""
        return [r for r in StructureLoss.resolutions if r in self.sums]

    def seen(self) -> float:
        """Variance of the RGB sums at these resolutions together, relative to that of the image shrunk to them."""
        return sum(self.sums[r] for r in self.compared) / max(1e-12, sum(self.shown[r] for r in self.compared))

    def __str__(self) -> str:
        head = f"{'resolution':>10}{'RGB sum':>10}{'image shrunk':>14}"
        head += f"   (share of the image's variance; {self.faces} faces)"
        lines = [f"{r:10}{self.sums[r]:10.2%}{self.shown[r]:14.2%}" for r in self.sums]
        return "\n".join([head, *lines, self.verdict()])

    def verdict(self) -> str:
        """Which case it is for StructureLoss as published, in a sentence."""
        seen, sizes = self.seen(), " and ".join(", ".join(map(str, self.compared)).rsplit(", ", 1))
        small = "little to hold on to here; try StructureLoss(weight=10, relative=True)"
        size, case = ("small", small) if seen < HALF else ("large", "enough to hold on to")
        return (
            f"StructureLoss's signal is {size} here: at {sizes} px the RGB sums vary {seen:.2g} times as much as the "
            f"image shrunk to these sizes; as published it has {case}."
        )


@torch.no_grad()
def measure_structure_signal(g: Generator, faces: int = FACES, batch: int = 8) -> StructureSignal:
    """Of seeds 0 to `faces` - 1, with fixed noise and without truncation. Raises ValueError for fewer than 2 faces.

    A generator whose images do not vary at all has shares of 0.
    """
    if faces < 2:
        raise ValueError(f"a variance needs at least 2 faces, got {faces}")
    resolutions = g.synthesis.resolutions
    sums, shown = ({r: Spread() for r in resolutions} for _ in range(2))
    for part in bar(slices(faces, batch), "structure signal", "batch"):
        rgbs = render_rgbs(g, ws_from_seeds(g, range(part.start, part.stop)))
        for r in resolutions:
            sums[r].add(rgbs[r])
            shown[r].add(F.adaptive_avg_pool2d(rgbs[g.resolution], r))
    whole = max(1e-12, sums[g.resolution].mean())
    return StructureSignal(*({r: s[r].mean() / whole for r in resolutions} for s in (sums, shown)), faces)
