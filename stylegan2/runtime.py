"""What we ask of the machine: a device, the number type of convolutions, and memory that stays warm.

Which tensor lies on which device follows these rules in the whole package:

- **What is loaded** (networks, codes of an edit or a projection) goes to the `device` that was named, and by default
  to `pick_device("auto")`, a GPU where there is one. So two things loaded in one process fit each other.
- **What a network makes** stays on the network's device: images, codes ws, features, losses, and the differentiable
  distances of :mod:`stylegan2.perceptual`. Functions of codes and images answer on the device of these. Numbers beside
  them (z, degrees of a direction, amounts of a blend, noise from a generator) may lie anywhere and are moved.
- **What is measured** answers on the CPU: `Judge.read`, all of :mod:`stylegan2.metrics`, counts, directions in W and
  the float64 algebra behind them. It is small, and it is compared with what was counted and rendered there, or goes on
  to NumPy. The images that are measured may lie anywhere.
- **What is read or rendered** as pictures (data sets, photos, `pocket.render`) is on the CPU until it is moved; only
  `Course.photos`, made for the networks of the course, is on the course's device. Files hold CPU tensors.
- **What is shown** (:mod:`stylegan2.display`, panels) may lie anywhere.
- **Seeds** draw on the CPU, so that a seed is the same face on every machine. Training and the views of a text edit
  draw on the device instead, where copying would cost time.
"""

from __future__ import annotations

import ctypes
import sys

import torch


def has_bfloat16(device: torch.device) -> bool:
    """Does the device multiply bfloat16 in hardware (AMX or AVX-512 BF16 on a CPU, Ampere and later on CUDA)?"""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu":
        return False
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # private: absent in some releases
    return any(getattr(torch.cpu, probe)() for probe in probes if hasattr(torch.cpu, probe))


def has_float16(device: torch.device) -> bool:
    """Does a GPU multiply float16 faster than float32, without having bfloat16 (Volta, Turing: V100, T4)?"""
    return device.type == "cuda" and (7, 0) <= torch.cuda.get_device_capability(device) < (8, 0)


def pick_device(name: torch.device | str = "auto") -> torch.device:
    """Where to compute; a CPU's memory is told to stay warm.

    Args:
        name: a device, or its name: "cpu", "cuda", "cuda:1", ...; "auto": a GPU where there is one.

    Raises:
        ValueError: a device that cannot be used here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        gpus = [f"cuda:{i}" for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
        raise ValueError(
            f"device '{name}' cannot be used ({str(error).splitlines()[0]}): here there are {', '.join(['cpu', *gpus])}"
        ) from error
    if device.type == "cpu":
        keep_memory_warm()
    return device


def pick_dtype(precision: str, device: torch.device) -> torch.dtype:
    """Type of the convolutions for "float32", "bfloat16", "float16", or "auto": what the device is fast in."""
    if precision == "auto":
        precision = "bfloat16" if has_bfloat16(device) else "float16" if has_float16(device) else "float32"
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[precision]


def is_out_of_memory(error: Exception) -> bool:
    """Is there not enough memory, on a GPU or in the machine? (PyTorch says so in several ways.)"""
    said = str(error).lower()
    return isinstance(error, MemoryError) or any(part in said for part in ("out of memory", "can't allocate memory"))


# glibc's mallopt: parameter number -> values in bytes, the first that is accepted (older versions have an upper limit)
_KEEP_FREED_MEMORY = {
    -3: (1 << 30, 32 << 20),  # M_MMAP_THRESHOLD
    -1: ((1 << 31) - 1,),  # M_TRIM_THRESHOLD
    -2: (256 << 20,),  # M_TOP_PAD
}


def keep_memory_warm() -> bool:
    """Tell the C library to keep freed memory for reuse; returns whether it could be told (glibc only).

    By default every large activation is a fresh mapping, and touching fresh memory costs a page fault for each 4 KiB.
    Training at 64 px on two cores went from 30 to 41 images/s with this alone. The process holds on to its peak memory.
    Calling it again changes nothing.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return all([any(mallopt(number, value) for value in values) for number, values in _KEEP_FREED_MEMORY.items()])
