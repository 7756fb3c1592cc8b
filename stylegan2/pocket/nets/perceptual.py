"""Perceptual distance by the judge's first layers; and what suits a size of images: a distance, a frame.

distance = JudgeDistance(judge)
distance(images, distance.of(target))  # [N]
"""

from __future__ import annotations

import os

from torch import Tensor, nn
from torch.nn import functional as F

from stylegan2.collect import align
from stylegan2.editing.perceptual import Features, LpipsDistance
from stylegan2.pocket import world
from stylegan2.pocket.nets.judge import Judge, as_input
from stylegan2.published.fetch import Where


class JudgeDistance(nn.Module):
    """By the judge's maps of 32, 16 and 8 pixels; its weights stay as they are.

    Attributes:
        far: between a face of the pocket world and its image from our encoder's codes it is less (0.05 to 0.7), between
            a photograph and its image from them more (1.7 and above).
    """

    far = 1.2

    def __init__(self, judge: Judge):
        super().__init__()
        self.judge = judge.eval().requires_grad_(False)

    def of(self, images: Tensor) -> Features:
        """Feature maps of images [N, 3, H, W] in [-1, 1], at the side that the judge takes."""
        x32 = self.judge.stem(as_input(images))
        x16 = self.judge.down16(x32)
        return [F.normalize(x.float(), dim=1) for x in (x32, x16, self.judge.down8(x16))]

    def forward(self, images: Tensor, target: Features) -> Tensor:
        """Distance of each image to its target, [N]: squared differences, mean over places, summed over maps."""
        maps = zip(self.of(images), target, strict=True)
        return sum((a - b).square().sum(1).mean((1, 2)) for a, b in maps)


def distance_for(resolution: int, judge: str | os.PathLike, device="auto", weights: Where = None):
    """The distance for images of that side: by a judge's file up to the pocket world's, else LPIPS (with `weights`)."""
    if resolution > world.SIZE:
        return LpipsDistance(weights, device)
    return JudgeDistance(Judge.load(judge, device))


def frame_for(resolution: int) -> align.Frame:
    """Where a face lies in images of that side: as rendered ones do up to the pocket world's, else as in FFHQ."""
    return align.POCKET if resolution <= world.SIZE else align.FFHQ
