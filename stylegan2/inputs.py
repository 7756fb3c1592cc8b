"""The random numbers behind a batch of generated images, sampled once and shared."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stylegan2.losses import mix_styles
from stylegan2.networks import MappingNetwork, Stage


@dataclass(frozen=True)
class Inputs:
    """What two generators must have in common for their images to be comparable."""

    z: Tensor  # [2, N, z_dim], the two codes of style mixing
    crossover: int  # the layer where the second one takes over
    noise: list[Tensor | None]  # one image per convolution, [N, 1, R, R]

    def part(self, share: slice) -> Inputs:
        """Those of some of the images."""
        noise = [None if image is None else image[share] for image in self.noise]
        return Inputs(self.z[:, share], self.crossover, noise)

    def ws(self, mapping: MappingNetwork) -> Tensor:
        """The codes that a mapping makes of z, mixed: [N, L, w_dim]."""
        return mix_styles(mapping, self.z[0], self.z[1], self.crossover)


@dataclass(frozen=True)
class Fakes:
    """Generated images and how they came about; part of autograd's graph where one was wanted."""

    inputs: Inputs
    ws: Tensor  # [N, L, w_dim]
    stages: dict[int, Stage]  # by resolution

    @property
    def images(self) -> Tensor:
        """[N, 3, R, R] in about [-1, 1]."""
        return self.stages[max(self.stages)].rgb


def step_generator(seed: int, step: int, stream: int = 0) -> torch.Generator:
    """The random numbers of one iteration: a CPU generator seeded from (seed, step, stream)."""
    mixed = (seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9 + stream * 0x94D049BB133111EB) % 2**63
    return torch.Generator().manual_seed(mixed)
