"""Interleaved measurement: in every round each contestant does one repetition, one after the other.

What a shared machine does meanwhile hits all of them alike, and medians over rounds can be compared. Each computes in a
process of its own: allocator settings cannot be undone, and the names of peers' modules clash.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from benchmarks.peers import PEERS
from benchmarks.workloads import WORKLOADS, Job, Ours, Workload
from stylegan2.runtime import keep_memory_warm

SPAWN = get_context("spawn")


class Contestant(NamedTuple):
    """Who computes, and how; warm: with our allocator settings (`keep_memory_warm`)."""

    name: str  # in the report: "ours float32", "nvidia", "nvidia warm", ...
    kind: str  # "ours" or the name of a peer
    precision: str = "float32"  # or "mixed"
    warm: bool = False
    folder: Path | None = None  # of a peer


@dataclass
class Result:
    """One contestant at one workload: seconds of each repetition, or why there are none."""

    seconds: list[float] = field(default_factory=list)
    error: str | None = None
    deviation: float | None = None  # max |a - b| / std(b), b: ours in float32

    @property
    def median(self) -> float | None:
        """Median seconds of a repetition; None where it failed."""
        return statistics.median(self.seconds) if self.seconds and not self.error else None


def entrants(w: Workload, folders: Mapping[str, Path], mixed: bool) -> list[Contestant]:
    """Who takes part in a workload. We always compute with our allocator settings, as `Trainer.run` does on a CPU.

    Args:
        folders: the peers that are there.
        mixed: does the machine have a lower precision in hardware?
    """
    chosen = [Contestant(f"ours {p}", "ours", p, warm=True) for p in ("float32", "mixed")[: 1 + mixed]]
    for kind in (kind for kind in w.peers if kind in folders):
        chosen.append(Contestant(kind, kind, folder=folders[kind]))
        chosen.append(Contestant(f"{kind} warm", kind, warm=True, folder=folders[kind]))
    return chosen


# ------------------------------------------------------------------------------------------------- in a worker process
JOBS: list[Job] = []  # the one that this process repeats


def _quiet() -> None:
    warnings.simplefilter("ignore")  # peers warn at every call that PyTorch is newer than they are
    sys.dont_write_bytecode = True  # not into their checkouts
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _start(workload: str, who: Contestant) -> None:
    if who.warm:
        keep_memory_warm()
    job = WORKLOADS[workload].make(Ours(who.precision) if who.kind == "ours" else PEERS[who.kind][0](who.folder))
    job.run()  # the first one is slower
    JOBS.append(job)


def _time() -> float:
    """Seconds of one repetition."""
    begin = time.perf_counter()
    JOBS[0].run()
    return time.perf_counter() - begin


def _output() -> np.ndarray | None:
    result = JOBS[0].output()
    return None if result is None else result.detach().float().numpy()


def _attempt(work: Callable, *arguments) -> tuple[Any, str | None]:
    """Its result, or else what went wrong: errors of peers' own classes cannot always leave their process."""
    try:
        return work(*arguments), None
    except Exception as error:
        return None, f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


# ------------------------------------------------------------------------------------------------------------- rounds
def ask(process: ProcessPoolExecutor, result: Result, work: Callable, *arguments) -> Any:
    """What a function returns in a contestant's process; None after a failure, which the result then names."""
    if result.error:
        return None
    try:
        answer, result.error = process.submit(_attempt, work, *arguments).result()
        return answer
    except BrokenProcessPool:
        result.error = "its process died"


def turns(names: Sequence[str], rounds: int) -> list[str]:
    """Who is next: everybody once in a round, and nobody is always first."""
    firsts = [number % len(names) for number in range(rounds)]
    return [name for first in firsts for name in (*names[first:], *names[:first])]


def measure(workload: str, contestants: Sequence[Contestant], rounds: int) -> dict[str, Result]:
    """Time all contestants, `rounds` repetitions each; whoever fails has an error instead of seconds."""
    results = {who.name: Result() for who in contestants}
    with ExitStack() as at_the_end:
        processes = {name: at_the_end.enter_context(ProcessPoolExecutor(1, SPAWN, _quiet)) for name in results}
        for who in contestants:  # one by one: two busy processes on few cores wait for each other's threads
            ask(processes[who.name], results[who.name], _start, workload, who)
        for name in tqdm(turns([*results], rounds), workload, unit="turn"):
            if (taken := ask(processes[name], results[name], _time)) is not None:
                results[name].seconds.append(taken)
        outputs = {name: ask(processes[name], result, _output) for name, result in results.items()}
    ours = outputs.pop("ours float32")
    for name, output in outputs.items():
        if output is not None and ours is not None:
            results[name].deviation = float(np.abs(output - ours).max() / ours.std(ddof=1))
    return results
