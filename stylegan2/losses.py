"""Losses of StyleGAN2. They know networks and tensors, nothing of files, logs or optimisers."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from stylegan2.networks import Generator, MappingNetwork


def generator_loss(fake_logits: Tensor) -> Tensor:
    """Non-saturating logistic loss of the generator, E[softplus(-D(G(z)))] (arXiv 1406.2661, section 3).

    fake_logits: [N, 1]. Returns a scalar.
    """
    return F.softplus(-fake_logits).mean()


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Logistic loss of the discriminator, E[softplus(-D(x))] + E[softplus(D(G(z)))] (arXiv 1406.2661, equation 1).

    Logits: [N, 1]. Returns a scalar.
    """
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def r1_penalty(discriminator: Callable[[Tensor], Tensor], real: Tensor) -> Tensor:
    """R1: E[|grad_x D(x)|^2] at real images (arXiv 1801.04406, equation 9), to be weighted with gamma / 2.

    real: [N, 3, H, W]. Returns a scalar whose gradient reaches the discriminator (double backward).
    """
    real = real.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(discriminator(real).sum(), real, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()


def path_lengths(images: Tensor, ws: Tensor, noise: Tensor) -> Tensor:
    """|J_w^T y| per image (arXiv 1912.04958, equation 4): how far the image moves when w does.

    images [N, 3, H, W], made from ws [N, L, w_dim] with a graph; noise: y, standard normal [N, 3, H, W], divided by
    sqrt(H W) here, so that sizes are comparable -> [N], with a graph for the double backward.
    """
    weighted = (images * noise).sum() / math.sqrt(images.shape[2] * images.shape[3])
    (gradient,) = torch.autograd.grad(weighted, ws, create_graph=True)
    return gradient.square().sum(dim=2).mean(dim=1).sqrt()


class PathLengthRegulariser:
    """E[(|J_w^T y| - a)^2] with a running mean a (equation 4), which makes the generator smooth in w.

    As in the authors' code and in rosinality's, a takes in this batch's lengths before they are compared with it, and
    the gradient goes through that too. decay: how fast a follows. over_all: the mean of a tensor over all processes
    of a run, which gradients pass. `mean` (a 0-dim tensor), a, is the only state.
    """

    def __init__(
        self,
        decay: float = 0.01,
        device: torch.device | str = "cpu",
        over_all: Callable[[Tensor], Tensor] = lambda value: value,
    ):
        self.decay, self.over_all = decay, over_all
        self.mean = torch.zeros((), device=device)

    def __call__(self, images: Tensor, ws: Tensor, noise: Tensor) -> Tensor:
        """Arguments as in `path_lengths`. Moves the mean, returns the scalar penalty."""
        return self.penalty(path_lengths(images, ws, noise))

    def penalty(self, lengths: Tensor) -> Tensor:
        """The same of the lengths [N] of a whole batch."""
        mean = torch.lerp(self.mean, self.over_all(lengths.mean()), self.decay)
        self.mean = mean.detach()
        return (lengths - mean).square().mean()


def blur(images: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of images [N, 3, H, W], sigma in pixels, edges mirrored; sigma 0 returns `images` itself."""
    reach = min(math.ceil(3 * sigma), images.shape[-1] - 1)
    if reach == 0:
        return images
    x = torch.arange(-reach, reach + 1, dtype=images.dtype, device=images.device)
    taps = torch.exp(-0.5 * (x / sigma).square())
    row = (taps / taps.sum()).expand(3, 1, 1, -1)  # [3, 1, 1, 2 * reach + 1]
    padded = F.pad(images, [reach] * 4, mode="reflect")
    return F.conv2d(F.conv2d(padded, row, groups=3), row.transpose(2, 3), groups=3)


def sample_crossover(num_ws: int, probability: float, rng: torch.Generator) -> int:
    """The layer where style mixing changes codes: 1..num_ws-1 with the given probability, else num_ws (no mixing)."""
    mix = torch.rand((), generator=rng) < probability
    layer = torch.randint(1, num_ws, (), generator=rng)  # in any case: every step takes as many random numbers
    return int(layer) if mix else num_ws


def mix_styles(mapping: MappingNetwork, z1: Tensor, z2: Tensor, crossover: int) -> Tensor:
    """ws of z1 before layer `crossover` and of z2 from there on (arXiv 1812.04948, section 3.1): [N, L, w_dim]."""
    ws = mapping(z1)
    return ws if crossover >= mapping.num_ws else torch.cat([ws[:, :crossover], mapping(z2)[:, crossover:]], dim=1)


def requires_graph(ws: Tensor) -> Tensor:
    """ws itself when gradients flow through it, else a leaf that asks for them: path length under a frozen mapping."""
    return ws if ws.requires_grad else ws.detach().requires_grad_(True)


@torch.no_grad()
def update_average(average: Generator, model: Generator, beta: float) -> None:
    """Exponential moving average of parameters: average = beta * average + (1 - beta) * model.

    Buffers (the fixed noise) are copied, all but `w_mean`, which belongs to the average's own mapping (`update_mean`).
    """
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - beta)
    for (name, a), b in zip(average.named_buffers(), model.buffers(), strict=True):
        if not name.endswith("w_mean"):
            a.copy_(b)
