"""What we ask of the machine: a device, the number type of convolutions, and memory that stays warm."""

from __future__ import annotations

import ctypes
import gc
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch
from torch import nn

ROOM = 0.6  # of a GPU's free memory is what one batch may take: cuDNN and fragmentation need some as well


def has_bfloat16(device: torch.device) -> bool:
    """Does the device multiply bfloat16 in hardware (AMX or AVX-512 BF16 on a CPU, Ampere and later on CUDA)?"""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu":
        return False
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # private: absent in some releases
    return any(getattr(torch.cpu, probe)() for probe in probes if hasattr(torch.cpu, probe))


def pick_device(name: torch.device | str = "auto") -> torch.device:
    """Where to compute: a device, or its name ("cpu", "cuda:1", ...); "auto": a GPU where there is one.

    Raises ValueError for a device that cannot be used here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        gpus = [f"cuda:{i}" for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
        why, usable = str(error).splitlines()[0], ", ".join(["cpu", *gpus])
        raise ValueError(f"device '{name}' cannot be used ({why}): here there are {usable}") from error
    if device.type == "cpu":
        keep_memory_warm()
    return device


def pick_dtype(precision: str, device: torch.device) -> torch.dtype:
    """Type of the convolutions for "float32", "bfloat16", "float16", or "auto": what the device is fast in.

    float16 is the choice of GPUs that have it, but no bfloat16 (Volta, Turing: V100, T4).
    """
    if precision == "auto":
        has_float16 = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (7, 0)
        precision = "bfloat16" if has_bfloat16(device) else "float16" if has_float16 else "float32"
    return getattr(torch, precision)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Compute on so many threads; afterwards on as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def reproducible(device: torch.device) -> Iterator[None]:
    """On a CPU the same work gives the same bits, whatever the number of threads that share it.

    Some operations add up in the order in which threads arrive: two trainings from one seed differed by 0.005 after 64
    images on a CPU with AVX2. PyTorch has others that do not; memory need not be filled for that, which would cost 3 %.
    GPUs are left as they are.
    """
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    filled = torch.utils.deterministic.fill_uninitialized_memory
    if device.type == "cpu":
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.utils.deterministic.fill_uninitialized_memory = filled


def is_out_of_memory(error: Exception) -> bool:
    """Is there not enough memory, on a GPU or in the machine? (PyTorch says so in several ways.)"""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(part in text for part in ("out of memory", "can't allocate memory"))


def let_go(error: Exception) -> None:
    """Free what a failed computation still holds: an error refers to its frames, and these to their activations."""
    traceback.clear_frames(error.__traceback__)
    hand_back_memory()


def hand_back_memory() -> None:
    """Free the memory of a GPU that PyTorch keeps and no variable uses, so that other processes have it."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def free_memory(device: torch.device) -> int:
    """Bytes of a GPU that this process can have: what nobody uses, and what PyTorch keeps without using it."""
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def how_many_fit(most: int, each: int, device: torch.device) -> int:
    """How many of `most` things, such as images, to compute at once, where each takes so many bytes meanwhile.

    On a GPU what fits into `ROOM` of its free memory, at least 1. On a CPU all: results do not depend on its load.
    """
    if device.type != "cuda":
        return most
    return max(1, min(most, int(ROOM * free_memory(device)) // each))


def images_at_once(network: nn.Module, most: int, graph: bool = False) -> int:
    """How many of `most` images a `SynthesisNetwork` should compute together, see `how_many_fit`.

    graph: with all that gradients need, for this network and for another one that takes its images.
    """
    sizes = [4 * width * side**2 for side, width in network.channels.items()]  # bytes of a resolution's features
    # counted at 256 pixels: 3.5 times the largest; with gradients 8 times all of them, 11 with LPIPS, 13.3 with D
    each = 14 * sum(sizes) if graph else 4 * max(sizes)
    return how_many_fit(most, each, next(network.parameters()).device)


def keep_memory_warm() -> None:
    """Make the C library keep freed memory for reuse (glibc only).

    By default every large activation is a fresh mapping, and touching fresh memory costs a page fault for each 4 KiB.
    Training at 64 px on two cores went from 30 to 41 images/s with this alone. The process keeps its peak memory.
    """
    mmap_threshold, trim_threshold, top_pad = -3, -1, -2  # parameters of glibc's mallopt
    with suppress(OSError, AttributeError):  # another system, or another C library
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        mallopt(mmap_threshold, 1 << 30) or mallopt(mmap_threshold, 32 << 20)  # older versions have a limit
        mallopt(trim_threshold, (1 << 31) - 1)
        mallopt(top_pad, 256 << 20)
