"""Perceptual path length (StyleGAN, arXiv 1812.04948, section 4.1): is the way from face to face in W smooth?

Ours and not torch-fidelity's, which interpolates z instead of w, shrinks to 64 px and rounds to bytes by default, and
asks numpy for an argument that version 2.4 no longer has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from stylegan2.bars import bar
from stylegan2.editing.latents import draw, noise_from_seeds, z_from_seeds
from stylegan2.inputs import step_generator
from stylegan2.networks import Generator
from stylegan2.published.pretrained import Distance, lpips_distance

PAIRS = 5000


def perceptual_path_length(g: Generator, pairs: int = PAIRS, distance: Distance | None = None, **options) -> float:
    """Perceptual path length: how far the image moves for a small step in W, the mean over pairs without outliers.

    The lower, the smoother. As in StyleGAN, the 1 % shortest and the 1 % longest paths do not count. Options and errors
    as in `path_lengths`.
    """
    return float(without_outliers(path_lengths(g, pairs, distance, **options)).mean())


@torch.no_grad()
def path_lengths(
    g: Generator,
    pairs: int = PAIRS,
    distance: Distance | None = None,
    epsilon: float = 1e-4,
    sampling: Literal["end", "full"] = "end",
    crop: bool = False,
    first_seed: int = 0,
    batch: int = 8,
) -> Tensor:
    """d(g(lerp(w1, w2, t)), g(lerp(w1, w2, t + epsilon))) / epsilon^2 of each pair, [pairs] (the paper's l_W).

    Args:
        g: the generator; each pair has one noise, without truncation.
        pairs: how many; pair i has the codes of two seeds of its own, whatever the batch.
        distance: of two batches of images in about [-1, 1] -> [N]; default LPIPS on VGG.
        epsilon: the step.
        sampling: "end": t = 0, what StyleGAN2 reports; "full": t anywhere from 0 to 1.
        crop: only the face of an aligned FFHQ image; see `face_crop`.
        first_seed: 0, or others for other pairs.
        batch: pairs at once.

    Raises:
        ValueError: another sampling. Without a distance also as `pretrained.lpips_distance`.
    """
    if sampling not in ("end", "full"):
        raise ValueError(f'sampling is {sampling!r}, expected "end" (t = 0) or "full" (t from 0 to 1)')
    distance = distance or lpips_distance(device=g.mapping.w_mean.device)
    found = []
    for start in bar(range(0, pairs, batch), "ppl", "batch"):
        seeds = range(first_seed + start, first_seed + min(start + batch, pairs))
        images = _steps(g, seeds, epsilon, sampling)
        images = face_crop(images) if crop else images
        if g.resolution > 256:  # VGG was made for images of about that size
            images = F.avg_pool2d(images, g.resolution // 256)
        found.append(distance(*images.chunk(2)).cpu() / epsilon**2)
    return torch.cat(found)


def _steps(g: Generator, seeds: Sequence[int], epsilon: float, sampling: str) -> Tensor:
    """Images at t and at t + epsilon on the line between the two codes of each seed: [2N, 3, R, R], all t first."""
    w1, w2 = (g.mapping(z_from_seeds(g.z_dim, [2 * seed + end for seed in seeds])) for end in (0, 1))  # [N, L, w_dim]
    t = torch.zeros(len(seeds))
    if sampling == "full":
        t = torch.stack([torch.rand((), generator=step_generator(seed, 0, stream=3)) for seed in seeds])
    t = t.to(w1)[:, None, None]
    ws = torch.cat([torch.lerp(w1, w2, t), torch.lerp(w1, w2, t + epsilon)])
    return draw(g, ws, [torch.cat([noise, noise]) for noise in noise_from_seeds(g, seeds)], len(ws))


def face_crop(images: Tensor) -> Tensor:
    """The face in aligned FFHQ images, as StyleGAN's metric cuts it out: [N, 3, R, R] -> [N, 3, R/2, R/2]."""
    eighth = images.shape[-1] // 8
    return images[..., 3 * eighth : 7 * eighth, 2 * eighth : 6 * eighth]


def without_outliers(values: Tensor) -> Tensor:
    """[N] -> those from the 1st to the 99th percentile, both included (rounded outwards, as in StyleGAN)."""
    low = torch.quantile(values, 0.01, interpolation="lower")
    high = torch.quantile(values, 0.99, interpolation="higher")
    return values[(values >= low) & (values <= high)]
