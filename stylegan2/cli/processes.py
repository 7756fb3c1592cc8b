"""Verbs in several processes, started from a notebook; see `stylegan2.distributed` for what they do together."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Mapping

import torch

from stylegan2.runtime import hand_back_memory

MUCH = 0.25  # of a GPU's memory, that a notebook should not keep from the processes it starts


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
