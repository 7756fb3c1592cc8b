"""The random numbers behind a batch of generated images, drawn once and shared."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from stylegan2.networks import MappingNetwork, Stage
from stylegan2.training.losses import mix_styles


@dataclass(frozen=True)
class Draws:
    """What two generators must have in common for their images to be comparable."""

    z: Tensor  # [2, N, z_dim], the two codes of style mixing
    crossover: int  # the layer where the second one takes over
    noise: list[Tensor | None]  # one image per convolution, [N, 1, R, R]

    def part(self, share: slice) -> Draws:
        """Those of some of the images."""
        noise = [None if image is None else image[share] for image in self.noise]
        return Draws(self.z[:, share], self.crossover, noise)

    def ws(self, mapping: MappingNetwork) -> Tensor:
        """The codes that a mapping makes of z, mixed: [N, L, w_dim]."""
        return mix_styles(mapping, self.z[0], self.z[1], self.crossover)


@dataclass(frozen=True)
class Fakes:
    """Generated images and how they came about; part of autograd's graph where one was wanted."""

    draws: Draws
    ws: Tensor  # [N, L, w_dim]
    stages: dict[int, Stage]  # by resolution

    @property
    def images(self) -> Tensor:
        """[N, 3, R, R] in about [-1, 1]."""
        return self.stages[max(self.stages)].rgb
