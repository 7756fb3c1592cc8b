"""Several processes: join those of torchrun, or start verbs in some from a notebook; see `stylegan2.distributed`."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
import torch.distributed as dist

from stylegan2.distributed import World
from stylegan2.runtime import hand_back_memory

MUCH = 0.25  # of a GPU's memory, that a notebook should not keep from the processes it starts


@contextmanager
def joined() -> Iterator[World]:
    """The world that `torchrun` started this process in, while the block lasts; without torchrun this process alone.

    CUDA devices communicate by NCCL, CPUs by gloo; a process takes the GPU of its number on its machine.
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
    # after a restart the store still holds the addresses of processes that ended: every attempt uses its own part
    store = dist.PrefixStore(f"attempt {os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size)
    try:
        yield World.here()
    finally:
        dist.destroy_process_group()


def launch(processes: int, verb: str, **options: object) -> None:
    """Run a verb in several processes of this machine by torchrun, from a notebook too; prints its output as it comes.

        launch(2, "train", data="data/webtoon.lmdb", out="runs/two", source="photo.pt", method="freeze-sg")

    The kernel first hands back the GPU memory that it does not use, and says how much its variables hold if that is
    much. `options` are the verb's own; True for a switch. Raises RuntimeError with its error, or its last lines.
    """
    hand_back_memory()
    if held := _held_by_kernel():
        print(held, flush=True)
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    words += ["-m", "stylegan2", verb]
    for name, value in options.items():
        words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    each = max(1, (os.cpu_count() or 1) // processes)
    code, lines = run_printing(words, {"OMP_NUM_THREADS": str(each)} | os.environ)
    if code:
        why = next((line for line in lines if line.startswith("error:")), "".join(lines[-20:])).strip()
        advice = f"; {held}" if held and "not enough memory" in why else ""
        raise RuntimeError(f"{verb} in {processes} processes ended with {code}: {why}{advice}")


def run_printing(words: list[str], environment: Mapping[str, str]) -> tuple[int, list[str]]:
    """Run a program and print its output as it comes; its return code, and the last of its lines."""
    pipe, lines = subprocess.PIPE, []
    with subprocess.Popen(words, env=environment, stdout=pipe, stderr=subprocess.STDOUT) as running:
        for line in io.TextIOWrapper(running.stdout, newline="", errors="replace"):  # a bar's carriage returns stay
            lines = [*lines[-200:], line]
            print(line, end="", flush=True)
    return running.returncode, lines


def _held_by_kernel() -> str:
    """How much of the GPU this process holds and what to do about it, if that is more than `MUCH` of it; or ""."""
    if not torch.cuda.is_available():
        return ""
    held, free, total = (size / 2**30 for size in (torch.cuda.memory_reserved(), *torch.cuda.mem_get_info()))
    advice = "if that is too little, `del` trainers and images that you no longer need, or restart the kernel"
    sizes = f"{held:.1f} of the GPU's {total:.1f} GiB, {free:.1f} are free"
    return f"this notebook holds {sizes}: {advice}" if held >= MUCH * total else ""
