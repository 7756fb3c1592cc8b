"""Make images as imperfect as generated ones: a network that judges them must not depend on their exact pixels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def roughen(images: Tensor, landmarks: Tensor, rng: torch.Generator, shared: bool = False) -> tuple[Tensor, Tensor]:
    """Move images by up to a twentieth of their side, soften them, add blotches and grain, change their light a little.

    images [N, 3, H, W] in [-1, 1], by which the result is differentiable; landmarks [N, K, 2] in image sides, moved
    along; `shared`: the same for all images, so that a batch gives what its images give one by one.
    """
    n, height, width = 1 if shared else len(images), *images.shape[2:]

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(n, *shape, generator=rng, device=rng.device) * (high - low) + low

    def normal(*size: int) -> Tensor:
        return torch.randn(n, 3, *size, generator=rng, device=rng.device)

    move = uniform(-0.05, 0.05, 2)  # 3 pixels of 64, fractions too
    theta = torch.eye(2, 3, device=images.device).repeat(len(images), 1, 1)
    theta[:, :, 2] = -2 * move  # in halves of a side
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    images = F.grid_sample(images, grid, padding_mode="border", align_corners=False)  # what comes in repeats the edge
    taps = torch.tensor([1.0, 2.0, 1.0], device=rng.device)
    kernel = (torch.outer(taps, taps) / 16).expand(3, 1, 3, 3)
    for _ in range(2):
        soft = F.conv2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), kernel, groups=3)
        images = images.lerp(soft, uniform(-1.0, 1.0, 1, 1, 1).clamp_min(0))
    blotches = F.interpolate(normal(8, 8), (height, width), mode="bilinear", align_corners=False)
    grain = normal(height, width)
    images = images * uniform(0.9, 1.1, 1, 1, 1) + uniform(-0.08, 0.08, 1, 1, 1) + uniform(-0.02, 0.02, 3, 1, 1)
    for noise, amount in ((blotches, uniform(-0.05, 0.08, 1, 1, 1)), (grain, uniform(-0.03, 0.06, 1, 1, 1))):
        images = images + noise * amount.clamp_min(0)  # below 0: none
    return images.clamp(-1, 1), landmarks + move[:, None]
