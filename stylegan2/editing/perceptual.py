"""How different two images look, differentiable: by the judge's first layers (pocket scale) or LPIPS (full scale).

Both compare feature maps whose vectors are brought to length 1 at every place (arXiv 1801.03924, section 3): edges and
shapes count, not how strong they are.

    distance = JudgeDistance(judge)                    # or LpipsDistance(), for photographs
    numbers = distance(images, distance.of(target))    # [N]
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Features = list[Tensor]  # [N, C, H, W] each


class LpipsDistance(nn.Module):
    """LPIPS with VGG features (arXiv 1801.03924), for photographs; arguments as of `pretrained.lpips_distance`."""

    far = math.inf  # photographs are what full-scale models know, so none is too far

    def __init__(self, weights=None, device: torch.device | str = "auto"):
        super().__init__()
        from stylegan2.published.pretrained import lpips_distance

        self.distance = lpips_distance(weights, device)

    def of(self, images: Tensor) -> Features:
        """The images themselves, at most 256 pixels large: LPIPS compares pairs."""
        return [F.interpolate(images, (256, 256), mode="area") if images.shape[-1] > 256 else images]

    def forward(self, images: Tensor, target: Features) -> Tensor:
        """Distance of each image to its target, [N]."""
        return self.distance(*self.of(images), target[0])


def psnr(images: Tensor, target: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of images in [-1, 1] in dB, [N]; values outside are clamped."""
    error = (images.clamp(-1, 1) - target.clamp(-1, 1)).square().flatten(1).mean(1)
    return 10 * torch.log10(4 / error.clamp_min(1e-12))
