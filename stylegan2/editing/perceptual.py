"""How different two images look, differentiable: by the judge's first layers (pocket scale), LPIPS, or a discriminator.

    distance = JudgeDistance(judge)                    # or LpipsDistance(), for photographs
    numbers = distance(images, distance.of(target))    # [N]

The first two compare feature maps brought to length 1 at every place (arXiv 1801.03924, section 3): edges and shapes
count, not how strong they are. A discriminator's are compared as they are: colours and lines count.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stylegan2.discriminator import Discriminator
from stylegan2.ops import upcast

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


class DiscriminatorDistance(nn.Module):
    """Mean absolute difference of a discriminator's activations, summed over its layers (arXiv 2112.11641, section 3).

    It looks at images in their own size and knows faces, so that single lines of a drawing count.
    """

    far = math.inf  # it is no measure of whether a face is known

    def __init__(self, d: Discriminator):
        super().__init__()
        self.d = d

    def of(self, images: Tensor) -> Features:
        """The activations [N, C, R, R], ..., [N, C, 4, 4] of images [N, 3, R, R] in [-1, 1]."""
        return [upcast(x) for x in self.d.maps(images)]

    def forward(self, images: Tensor, target: Features) -> Tensor:
        """Distance of each image to its target, [N]."""
        return sum((a - b).abs().mean((1, 2, 3)) for a, b in zip(self.of(images), target, strict=True))


def psnr(images: Tensor, target: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of images in [-1, 1] in dB, [N]; values outside are clamped."""
    error = (images.clamp(-1, 1) - target.clamp(-1, 1)).square().flatten(1).mean(1)
    return 10 * torch.log10(4 / error.clamp_min(1e-12))
