"""Our own package as a contestant. Its methods are the interface that `peers.py` gives to the other implementations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from stylegan2.config import TrainConfig
from stylegan2.networks import Discriminator, Generator
from stylegan2.runtime import pick_dtype
from stylegan2.trainer import Trainer

CPU = torch.device("cpu")


class Render(NamedTuple):
    """The two ways into a generator, both with the fixed noise."""

    from_z: Callable[[Tensor], Tensor]  # [N, z_dim] -> [N, 3, R, R]
    from_ws: Callable[[Tensor], Tensor]  # [N, L, w_dim] -> [N, 3, R, R]


class Ours:
    """This package; precision "float32", or "mixed": the best type that the machine has in hardware."""

    def __init__(self, precision: str = "float32"):
        self.precision = "float32" if precision == "float32" else "auto"

    def generator(self, g: Generator) -> Render:
        """`g` itself, ready to render."""
        g.eval().requires_grad_(False).synthesis.compute_dtype = pick_dtype(self.precision, CPU)
        return Render(lambda z: g(z, noise="const"), lambda ws: g.synthesis(ws, "const"))

    def trainer(self, g: Generator, d: Discriminator, real: Tensor, config: TrainConfig) -> Callable[[int], None]:
        """A function that trains for some iterations on the same batch of uint8 images [N, 3, R, R]."""
        trainer = Trainer(replace(config, precision=self.precision), real, g, d, device=CPU)

        def run(iterations: int) -> None:
            for _ in range(iterations):
                trainer.train_step(real)

        return run
