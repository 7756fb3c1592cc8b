"""Perceptual path length (StyleGAN, arXiv 1812.04948, section 4.1): is the way from face to face in W smooth?

At the ends of the paths (t = 0), whole images, without truncation: what StyleGAN2 reports. (torch-fidelity interpolates
z instead of w, shrinks to 64 px and rounds to bytes by default.)
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from stylegan2.bars import bar
from stylegan2.editing.latents import noise_from_seeds, render, z_from_seeds
from stylegan2.networks import Generator
from stylegan2.published.pretrained import Distance

PAIRS = 5000


def perceptual_path_length(g: Generator, pairs: int, distance: Distance, **options) -> float:
    """How far the image moves for a small step in W: the mean over pairs, the lower the smoother.

    As in StyleGAN, the 1 % shortest and the 1 % longest paths do not count. Arguments as in `path_lengths`.
    """
    return float(without_outliers(path_lengths(g, pairs, distance, **options)).mean())


@torch.no_grad()
def path_lengths(g: Generator, pairs: int, distance: Distance, epsilon: float = 1e-4, batch: int = 8) -> Tensor:
    """d(g(w1), g(lerp(w1, w2, epsilon))) / epsilon^2 of each pair, [pairs] (the paper's l_W).

    Pair i has one noise and the codes of two seeds of its own, whatever the batch. The paper's `distance` is LPIPS.
    """
    lengths = []
    for start in bar(range(0, pairs, batch), "ppl", "batch"):
        seeds = range(start, min(start + batch, pairs))
        w1, w2 = (g.mapping(z_from_seeds(g.z_dim, [2 * seed + end for seed in seeds])) for end in (0, 1))  # [N, L, D]
        ws = torch.cat([w1, torch.lerp(w1, w2, epsilon)])
        images = render(g, ws, [torch.cat([noise, noise]) for noise in noise_from_seeds(g, seeds)], len(ws))
        if g.resolution > 256:  # VGG was made for images of about that size
            images = F.avg_pool2d(images, g.resolution // 256)
        lengths.append(distance(*images.chunk(2)).cpu() / epsilon**2)
    return torch.cat(lengths)


def without_outliers(values: Tensor) -> Tensor:
    """[N] -> those from the 1st to the 99th percentile, both included (rounded outwards, as in StyleGAN)."""
    low = torch.quantile(values, 0.01, interpolation="lower")
    high = torch.quantile(values, 0.99, interpolation="higher")
    return values[(values >= low) & (values <= high)]
