"""Several processes for one run, on one machine or many.

    torchrun --nproc_per_node=2 -m stylegan2 train --data ... --out ...

Every process samples the random numbers of an iteration for the whole batch, and process r of n takes images r, r + n,
r + 2 n, ... of it. Sums and means go over all of them. So the number of processes changes no mathematics, only the
order in which numbers are added. (`stylegan2.cli.processes.joined` joins them.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class _Sum(torch.autograd.Function):
    """The sum of a tensor over the processes; its gradient is the sum of theirs. (PyTorch's own is deprecated.)"""

    @staticmethod
    def forward(ctx, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return _Sum.forward(ctx, gradient)


@dataclass(frozen=True)
class World:
    """The processes of a run. Of one process it is the identity everywhere.

    All processes must call a method together, or they wait for each other for ever.
    """

    rank: int = 0  # which one this is
    size: int = 1

    @classmethod
    def here(cls) -> World:
        """That of this process's group, if it has joined one, else this process alone."""
        return cls(dist.get_rank(), dist.get_world_size()) if dist.is_available() and dist.is_initialized() else cls()

    @property
    def is_first(self) -> bool:
        """Does this process write files and print?"""
        return self.rank == 0

    @torch.no_grad()
    def average_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Replace every gradient by the mean over the processes."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        if self.size == 1 or not gradients:
            return
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])  # one message instead of hundreds
        dist.all_reduce(flat)
        flat /= self.size
        for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(mean.view(gradient.shape))

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a tensor over the processes. Its gradient is the mean of theirs: `average_gradients` follows."""
        if self.size == 1:
            return value
        return _Sum.apply(value) / self.size

    def sum(self, value: float) -> float:
        """The sum of a number over the processes."""
        return float(value) if self.size == 1 else float(self.mean(torch.tensor(float(value)).double())) * self.size

    def variance(self, values: Tensor) -> Tensor:
        """Of each channel of images [N, C, H, W], over all images of all processes, which have as many each: [C]."""
        if self.size == 1:
            return values.var(dim=(0, 2, 3))
        moments = self.mean(torch.stack([(values.double() ** k).mean(dim=(0, 2, 3)) for k in (1, 2)]))  # [2, C]
        n = self.size * values[:, 0].numel()
        return ((moments[1] - moments[0] ** 2) * n / (n - 1)).to(values.dtype)

    def means(self, values: Mapping[str, float]) -> dict[str, float]:
        """The mean of every number over the processes; all have the same names."""
        means = self.mean(torch.tensor([*values.values()], dtype=torch.float64))
        return dict(zip(values, means.tolist(), strict=True))

    def any(self, flag: bool) -> bool:
        """Is it true in any process?"""
        return self.sum(flag) > 0

    def of_first(self, value: Any) -> Any:
        """The first process's value."""
        if self.size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values)
        return values[0]

    @torch.no_grad()
    def copy_from_first(self, networks: Iterable[nn.Module]) -> None:
        """Give all processes the first one's numbers."""
        if self.size > 1:
            for network in networks:
                for tensor in network.state_dict().values():
                    dist.broadcast(tensor, 0)

    def share(self, part: int = 0, parts: int = 1) -> slice:
        """Which images of a batch are this process's: part `part` of `parts` of them."""
        return slice(self.rank + self.size * part, None, self.size * parts)
