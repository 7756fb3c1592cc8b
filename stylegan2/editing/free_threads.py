"""Threads for a panel's picture or a search: as many as other programs leave cores for."""

from __future__ import annotations

import os
import time
from typing import Any

import psutil
import torch


def free_cores() -> float:
    """Cores that other programs left idle since the last call (of at least 0.1 s ago, else as it was then)."""
    times, own, now = psutil.cpu_times(), sum(os.times()[:2]), time.monotonic()
    if not times.idle:
        return 1e9  # a sandbox that does not count
    before, latest = _cpu.get("at"), (now, times.idle + getattr(times, "iowait", 0.0) + own)
    if before is None or now - before[0] >= 0.1:
        _cpu["at"] = latest
        if before is not None:
            _cpu["free"] = (latest[1] - before[1]) / (now - before[0])
    return _cpu.get("free", 1e9)


_cpu: dict[str, Any] = {}  # "at": time, and seconds that cores were idle or ours, at the last call; "free": the answer
free_cores()  # the first call has something to compare with


def free_threads(look: float = 0.0) -> int:
    """No more threads than other programs leave cores for, at least one.

    look: watch them for so many seconds first; without, what they did since the last call counts.

    For a panel's picture and a search: threads of short computations wait for each other most of the time, and in vain
    if another program has the core (benchmarks/README.md, "Beside another program"). Other numbers of threads round
    differently: a search decides once, at its start, and a training keeps its threads.
    """
    if look:
        free_cores()
        time.sleep(look)
    return max(1, min(torch.get_num_threads(), int(free_cores() + 0.6)))
