"""Several processes for one run, on one machine or many.

    torchrun --nproc_per_node=2 -m stylegan2 train --data ... --out ...

Everything random of an iteration is drawn for the whole batch, by every process alike, and process r of n takes images
r, r + n, r + 2 n, ... of it. Sums and means go over all of them. So the number of processes changes no mathematics,
only the order in which numbers are added.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from stylegan2.runtime import hand_back_memory

MUCH = 0.25  # of a GPU's memory, that a notebook should not keep from the processes it starts


class _Mean(torch.autograd.Function):
    """The mean over the processes. Backward is the mean of their gradients, since `average_gradients` comes after it:
    then every process's parameters have the gradient of the mean of all processes' losses.
    """

    @staticmethod
    def forward(ctx, value: Tensor) -> Tensor:
        value = value.clone()
        dist.all_reduce(value)
        return value / dist.get_world_size()

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return _Mean.apply(gradient)


@dataclass(frozen=True)
class World:
    """The processes of a run. Of one process it is the identity everywhere.

    Every method is called by all processes at the same moment, or they wait for each other for ever.

    Attributes:
        rank: which one this is, from 0.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def here(cls) -> World:
        """The one that was `joined`, else this process alone."""
        return cls(dist.get_rank(), dist.get_world_size()) if dist.is_available() and dist.is_initialized() else cls()

    @property
    def is_first(self) -> bool:
        """Does this process write files, and talk?"""
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
        """The mean of a tensor over the processes; gradients pass, see `_Mean`."""
        return value if self.size == 1 else _Mean.apply(value)

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
        if self.size == 1:
            return dict(values)
        found = self.mean(torch.tensor([*values.values()], dtype=torch.float64))
        return dict(zip(values, found.tolist(), strict=True))

    def any(self, flag: bool) -> bool:
        """Does any process say yes?"""
        return bool(flag) if self.size == 1 else self.sum(flag) > 0

    def of_first(self, value: str | None) -> str | None:
        """What the first process says."""
        if self.size == 1:
            return value
        said = [value]
        dist.broadcast_object_list(said)
        return said[0]

    @torch.no_grad()
    def copy_from_first(self, networks: Iterable[nn.Module]) -> None:
        """Give all processes the first one's numbers."""
        if self.size > 1:
            for network in networks:
                for tensor in network.state_dict().values():
                    dist.broadcast(tensor, 0)

    def share(self, part: int = 0, parts: int = 1) -> slice:
        """Which images of a batch are this process's; of them, part `part` of `parts`."""
        return slice(self.rank + self.size * part, None, self.size * parts)


@contextmanager
def joined() -> Iterator[World]:
    """The world that `torchrun` started this process in, while the block lasts; without torchrun this process alone.

    CUDA devices talk by NCCL, CPUs by gloo; a process takes the GPU of its number on its machine.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield World()
        return
    if torch.cuda.is_available():
        here, gpus = int(os.environ["LOCAL_WORLD_SIZE"]), torch.cuda.device_count()
        if here > gpus:
            raise ValueError(f"{here} processes on this machine, but {gpus} GPUs: NCCL needs one for each process")
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    store, rank, size = next(dist.rendezvous("env://"))
    # after a restart the addresses of the dead are still in the store: every attempt gets a corner of its own
    store = dist.PrefixStore(f"attempt {os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size)
    try:
        yield World.here()
    finally:
        dist.destroy_process_group()


def launch(processes: int, verb: str, **options: object) -> None:
    """Run a verb in several processes of this machine, from a notebook too; what it says is printed as it comes.

        launch(2, "train", data="data/webtoon.lmdb", out="runs/two", source="photo.pt", method="freeze-sg")

    A notebook's kernel is one process, and a GPU belongs to the process that uses it: the others are started with
    torchrun, as from a shell. They share its memory with the kernel, so that first hands back what it does not use;
    what its variables still hold is said if it is much.

    Args:
        processes: how many; on a machine with GPUs one for each.
        verb: of the command line, mostly "train".
        options: its own; True for a switch.

    Raises:
        RuntimeError: it failed; its error, or the last lines that it said.
    """
    hand_back_memory()
    if held := _held_by_kernel():
        print(held, flush=True)
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    words += ["-m", "stylegan2", verb]
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        words += [flag] if value is True else [flag, str(value)]
    threads = {} if "OMP_NUM_THREADS" in os.environ else {"OMP_NUM_THREADS": str(_threads_each(processes))}
    code, said = run_printing(words, os.environ | threads)
    if code:
        why = next((line for line in said if line.startswith("error:")), "".join(said[-20:])).strip()
        advice = f"; {held}" if held and "not enough memory" in why else ""
        raise RuntimeError(f"{verb} in {processes} processes ended with {code}: {why}{advice}")


def run_printing(words: list[str], environment: Mapping[str, str]) -> tuple[int, list[str]]:
    """Run a program and print what it says as it comes; its return code, and the last of its lines."""
    pipe, said = subprocess.PIPE, []
    with subprocess.Popen(words, env=environment, stdout=pipe, stderr=subprocess.STDOUT) as running:
        for line in io.TextIOWrapper(running.stdout, newline="", errors="replace"):  # a bar's carriage returns stay
            said = [*said[-200:], line]
            print(line, end="", flush=True)
    return running.returncode, said


def _held_by_kernel() -> str:
    """How much of the GPU this process holds and what to do about it, if that is more than `MUCH` of it; or ""."""
    if not torch.cuda.is_available():
        return ""
    held, (free, total) = torch.cuda.memory_reserved(), torch.cuda.mem_get_info()
    if held < MUCH * total:
        return ""
    return (
        f"this notebook holds {held / 2**30:.1f} of the GPU's {total / 2**30:.1f} GiB, {free / 2**30:.1f} are free: if "
        "that is too little, `del` trainers and images that you no longer need, or restart the kernel"
    )


def _threads_each(processes: int) -> int:
    return max(1, (os.cpu_count() or 1) // processes)
