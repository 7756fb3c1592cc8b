"""rosinality/stylegan2-pytorch and its descendant Cartoon-StyleGAN, driven through the interface of `ours.Ours`.

They compute with their own code as it ships; `stubs.py` replaces what stops them from importing.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import sys
import types
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import stubs
from benchmarks.ours import Drawing, Schedule
from stylegan2.checkpoints import rosinality
from stylegan2.networks import Discriminator, Generator


class Rosinality:
    """rosinality/stylegan2-pytorch, and what was made from it.

    Args:
        folder: its checkout.
        device: where to compute.
    """

    def __init__(self, folder: Path, device: torch.device, precision: str = "float32"):
        if precision != "float32":
            raise ValueError("it computes in float32 only")
        self.folder, self.device = folder, device
        if device.type == "cpu":
            stubs.no_compiler()
        stubs.missing_packages()
        self.notes = []
        self._stands_in = stubs.torchvision()
        sys.path.insert(0, str(folder))

    def generator(self, g: Generator) -> Drawing:
        """Their generator with our weights. Their projector leaves gradients of the weights on; they are off here."""
        model = stubs.import_with_widths(self.folder / "model.py", "model", g.synthesis.channels)
        net = self._their_generator(model, g).eval().requires_grad_(False)
        return Drawing(
            lambda z: net([z], randomize_noise=False)[0],
            lambda ws: net([ws], input_is_latent=True, randomize_noise=False)[0],
        )

    def _their_generator(self, model: types.ModuleType, g: Generator) -> nn.Module:
        net = model.Generator(g.resolution, g.w_dim, len(g.mapping.layers))
        net.load_state_dict(rosinality.from_generator(g))
        return net.to(self.device)

    def trainer(self, g: Generator, d: Discriminator, real: Tensor, schedule: Schedule) -> Callable[[int], None]:
        """Their own `train` function, told to begin where all regularisers are due."""
        model = stubs.import_with_widths(self.folder / "model.py", "model", g.synthesis.channels)
        nets = [self._their_generator(model, g) for _ in range(2)]
        critic = model.Discriminator(d.resolution)
        critic.load_state_dict(rosinality.from_discriminator(d))
        critic.to(self.device)
        train = self._their_train()
        optimisers = [
            torch.optim.Adam(net.parameters(), lr=schedule.lr * c, betas=(0.0, 0.99**c))
            for net, c in ((nets[0], schedule.g_ratio), (critic, schedule.d_ratio))
        ]

        def run(iterations: int) -> None:
            first = schedule.r1_interval
            args = self._arguments(g, real, schedule, first, first + iterations - 1)
            # as their loader gives it; a new tensor for every iteration, since they ask for its gradient in place
            loader = [(real.float() / 127.5 - 1) for _ in range(iterations)]
            train(args, loader, *nets[:1], *self._source(nets[1]), critic, *optimisers, nets[1], self.device)

        return run

    def _their_train(self) -> Callable:
        stubs.plain_grid_sample(importlib.import_module("non_leaking"))
        return importlib.import_module("train").train

    def _source(self, g_ema: nn.Module) -> tuple[nn.Module, ...]:
        """More networks that `train` wants after the generator."""
        return ()

    def _arguments(self, g: Generator, real: Tensor, schedule: Schedule, first: int, last: int):
        return types.SimpleNamespace(
            iter=last, start_iter=first, batch=len(real), latent=g.z_dim, n_sample=1, distributed=False, wandb=False,
            mixing=schedule.style_mixing, augment=True, augment_p=schedule.augment_p,
            r1=schedule.r1_gamma, d_reg_every=schedule.r1_interval,
            path_regularize=schedule.pl_weight, g_reg_every=schedule.pl_interval,
            path_batch_shrink=schedule.pl_batch_shrink,
            freezeD=-1, freezeG=-1, freezeStyle=-1, freezeFC=False, structure_loss=-1,
        )  # fmt: skip

    def prepare(self, photos: Path, out: Path, sizes: tuple[int, ...], workers: int) -> None:
        """What their prepare_data.py does with its arguments."""
        import lmdb

        with contextlib.suppress(RuntimeError):
            multiprocessing.set_start_method("fork")  # so that worker processes have the stubs too
        self._say_what_stands_in()
        script = importlib.import_module("prepare_data")
        with lmdb.open(str(out), map_size=1 << 40, readahead=False) as env:
            script.prepare(env, script.datasets.ImageFolder(str(photos)), workers, sizes=sizes)

    def reader(self, path: Path, resolution: int) -> Callable[[list[int]], Tensor]:
        """Their dataset with the three transforms of their training script (to a tensor, to [-1, 1]; flip left out)."""
        self._say_what_stands_in()
        dataset = importlib.import_module("dataset").MultiResolutionDataset(str(path), _to_tensor, resolution)
        return lambda indices: torch.stack([dataset[i] for i in indices])

    def _say_what_stands_in(self) -> None:
        note = "torchvision is not installed: its resize, crop and listing of folders are done by a few lines of ours"
        if self._stands_in and note not in self.notes:
            self.notes.append(note)


def _to_tensor(image) -> Tensor:
    """Stands in for torchvision's ToTensor and in-place Normalize: [3, H, W] in [-1, 1]."""
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
    return pixels.float().div_(255).sub_(0.5).div_(0.5)


class Cartoon(Rosinality):
    """happy-jihye/Cartoon-StyleGAN, the original of this course: rosinality's code, with a source generator."""

    def _source(self, g_ema: nn.Module) -> tuple[nn.Module, ...]:
        return (g_ema,)
