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
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.ours import Ours
from benchmarks.peers import PEERS
from benchmarks.workloads import WORKLOADS, Job, Workload
from stylegan2.runtime import keep_memory_warm


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


def entrants(w: Workload, folders: Mapping[str, Path], device: str, mixed: bool) -> list[Contestant]:
    """Who takes part in a workload. On a CPU we always compute with our allocator settings, as `Trainer.run` does.

    Args:
        folders: the peers that are there.
        mixed: does the machine have a lower precision in hardware?
    """
    cuda, chosen = device == "cuda", []
    for precision in ("float32", "mixed")[: 1 + mixed]:
        chosen.append(Contestant(f"ours {precision}", "ours", precision, warm=not cuda))
    for kind in (kind for kind in w.kinds if kind in folders):
        chosen.append(Contestant(kind, kind, folder=folders[kind]))
        if not cuda:
            chosen.append(Contestant(f"{kind} warm", kind, warm=True, folder=folders[kind]))
        elif kind == "nvidia":  # the only peer with a lower precision
            chosen.append(Contestant("nvidia mixed", kind, "mixed", folder=folders[kind]))
    return chosen


# ------------------------------------------------------------------------------------------------- in a worker process
JOBS: list[Job] = []  # the one that this process repeats


def _quiet() -> None:
    warnings.simplefilter("ignore")  # peers warn at every call that PyTorch is newer than they are
    sys.dont_write_bytecode = True  # not into their checkouts
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _start(workload: str, who: Contestant, device: str) -> None:
    if who.warm:
        keep_memory_warm()
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False  # "float32" means float32
    settings = torch.device(device), who.precision
    job = WORKLOADS[workload].make(Ours(*settings) if who.kind == "ours" else PEERS[who.kind][0](who.folder, *settings))
    job.run()  # the first one is slower
    JOBS.append(job)


def _time() -> float:
    """Seconds of one repetition."""
    wait = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
    wait()
    begin = time.perf_counter()
    JOBS[0].run()
    wait()
    return time.perf_counter() - begin


def _output() -> np.ndarray | None:
    result = JOBS[0].output()
    return None if result is None else result.detach().float().cpu().numpy()


def _attempt(work: Callable, *arguments) -> tuple[Any, str | None]:
    """Its result, or else what went wrong: errors of peers' own classes cannot always leave their process."""
    try:
        return work(*arguments), None
    except Exception as error:
        return None, f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


class Worker:
    """A process that holds one contestant. A failure ends its part, not the run."""

    def __init__(self):
        self.result = Result()
        self._pool = ProcessPoolExecutor(1, get_context("spawn"), _quiet)

    def ask(self, work: Callable, *arguments) -> Any:
        """What a function returns there; None after a failure, which `result.error` names."""
        if self.result.error:
            return None
        try:
            answer, self.result.error = self._pool.submit(_attempt, work, *arguments).result()
            return answer
        except BrokenProcessPool:
            self.result.error = "its process died"

    def close(self) -> None:
        """End the process; its memory is free afterwards."""
        self._pool.shutdown()


# ------------------------------------------------------------------------------------------------------------- rounds
def measure(workload: str, contestants: Sequence[Contestant], device: str, rounds: int) -> dict[str, Result]:
    """Time all contestants, `rounds` repetitions each; whoever fails has an error instead of seconds."""
    with ExitStack() as at_the_end:
        workers: dict[str, Worker] = {}
        bar = at_the_end.enter_context(tqdm(total=len(contestants) * (rounds + 1), desc=workload, unit="turn"))

        def ask(name: str, work: Callable, *arguments) -> Any:
            bar.set_postfix_str(name)
            answer = workers[name].ask(work, *arguments)
            bar.update()
            return answer

        for who in contestants:  # one by one: two busy processes on few cores wait for each other's threads
            workers[who.name] = at_the_end.enter_context(closing(Worker()))
            ask(who.name, _start, workload, who, device)
        for number in range(rounds):
            turns, first = [*workers.items()], number % len(workers)  # nobody is always first
            for name, worker in turns[first:] + turns[:first]:
                if (taken := ask(name, _time)) is not None:
                    worker.result.seconds.append(taken)
        outputs = {name: worker.ask(_output) for name, worker in workers.items()}
        ours = outputs.pop("ours float32")
        for name, output in outputs.items():
            if output is not None and ours is not None:
                workers[name].result.deviation = float(np.abs(output - ours).max() / ours.std(ddof=1))
        return {name: worker.result for name, worker in workers.items()}
