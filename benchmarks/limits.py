"""What the machine can do at best: the rate of 3x3 convolutions, and of copies in memory that is already mapped."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch.nn import functional as F

from benchmarks.flops import convolution
from stylegan2.runtime import has_bfloat16

SHAPES = [(1, 512, 64), (1, 256, 128), (1, 128, 256), (16, 128, 32)]  # batch, width, side: config-f's large layers
COPY_BYTES = 256 << 20
ROUNDS = 3


def measure(device: str, shapes=SHAPES, copy_bytes: int = COPY_BYTES) -> dict[str, float]:
    """The best median over all shapes, in GFLOP/s for "float32" and, where it is in hardware, "bfloat16" (both
    channels_last); "copy" in GB/s, bytes read plus bytes written."""
    place = torch.device(device)
    types = [torch.float32] + [torch.bfloat16] * has_bfloat16(place)
    found = {str(dtype).removeprefix("torch."): _convolution_rate(place, dtype, shapes) for dtype in types}
    return found | {"copy": _copy_rate(place, copy_bytes)}


def merge(first: dict[str, float], second: dict[str, float]) -> dict[str, float]:
    """The larger rate of each: other programs can only slow a measurement down."""
    return {key: max(value, second.get(key, 0)) for key, value in first.items()}


def _convolution_rate(device: torch.device, dtype: torch.dtype, shapes: list[tuple[int, int, int]]) -> float:
    best = 0.0
    for n, width, side in shapes:
        x = torch.randn(n, width, side, side, device=device, dtype=dtype).to(memory_format=torch.channels_last)
        weight = torch.randn(width, width, 3, 3, device=device, dtype=dtype).to(memory_format=torch.channels_last)
        with torch.inference_mode():
            seconds = _seconds(lambda x=x, weight=weight: F.conv2d(x, weight, padding=1), device)
        best = max(best, n * convolution(width, width, side**2) / seconds / 1e9)
    return best


def _copy_rate(device: torch.device, size: int) -> float:
    source, target = (
        torch.ones(size, dtype=torch.uint8, device=device),
        torch.zeros(size, dtype=torch.uint8, device=device),
    )
    return 2 * size / _seconds(lambda: target.copy_(source), device) / 1e9


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    """Median of a few; the first call is not counted."""
    times = []
    for _ in range(ROUNDS + 1):
        begin = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - begin)
    return statistics.median(times[1:])
