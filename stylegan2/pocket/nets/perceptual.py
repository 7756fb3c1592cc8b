"""How different two images look, by the judge's first layers; and the distance for a size of images.

looks = JudgeDistance(judge)
distance = looks(images, looks.of(target))  # [N]
"""

from __future__ import annotations

import os

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stylegan2.editing.perceptual import Features, LpipsDistance
from stylegan2.editing.photos import POCKET
from stylegan2.pocket.nets.judge import SIZE, Judge
from stylegan2.published.fetch import Where


class JudgeDistance(nn.Module):
    """By the judge's maps of 32, 16 and 8 pixels; it was trained on rendered faces of all domains.

    Args:
        judge: its weights stay as they are.

    Attributes:
        far: between a face of the pocket world and what our encoder's codes draw of it, it is less (0.3 to 1.8);
            between a photograph and what they draw of that, more (2.1 and above).
    """

    far = 1.95

    def __init__(self, judge: Judge):
        super().__init__()
        self.judge = judge.eval().requires_grad_(False)

    def of(self, images: Tensor) -> Features:
        """Feature maps of images [N, 3, H, W] in [-1, 1]; other sides than 64 are resized."""
        if images.shape[-2:] != (SIZE, SIZE):
            images = F.interpolate(images, (SIZE, SIZE), mode="bilinear", antialias=True, align_corners=False)
        x32 = self.judge.stem(images)
        x16 = self.judge.down16(x32)
        return [F.normalize(x.float(), dim=1) for x in (x32, x16, self.judge.down8(x16))]

    def forward(self, images: Tensor, target: Features) -> Tensor:
        """Distance of each image to its target, [N]: squared differences, mean over places, summed over maps."""
        maps = zip(self.of(images), target, strict=True)
        return sum((a - b).square().sum(1).mean((1, 2)) for a, b in maps)


def distance_for(
    resolution: int,
    judge: str | os.PathLike,
    device: torch.device | str = "auto",
    weights: Where = None,
):
    """What compares images of that size: the judge's layers for pocket faces, LPIPS for photographs.

    Args:
        resolution: side of the images.
        judge: its file.
        device: where it computes.
        weights: where LPIPS finds its own, see `perceptual.LpipsDistance`.
    """
    if resolution > POCKET:
        return LpipsDistance(weights, device)
    return JudgeDistance(Judge.load(judge, device))
