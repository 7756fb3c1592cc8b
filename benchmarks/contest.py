"""Interleaved measurement: in every round each contestant does one repetition, one after the other.

What a shared machine does meanwhile then hits all of them alike, and medians over rounds can be compared.
"""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.worker import Contestant, Worker, WorkerError, request

FEWEST = 2  # timed repetitions of a contestant, however slow


@dataclass
class Result:
    """One contestant at one workload: seconds of each repetition, or why there are none."""

    seconds: list[float] = field(default_factory=list)
    error: str | None = None
    notes: list[str] = field(default_factory=list)
    deviation: float | None = None  # max |a - b| / std(b), b: ours in float32

    @property
    def median(self) -> float | None:
        """Median seconds of a repetition; None where it failed."""
        return statistics.median(self.seconds) if self.seconds and not self.error else None

    def to_json(self) -> dict:
        """Everything, as plain values."""
        spread = {"median": self.median, "min": min(self.seconds), "max": max(self.seconds)} if self.seconds else {}
        return {
            "seconds": self.seconds,
            **spread,
            "error": self.error,
            "notes": self.notes,
            "deviation": self.deviation,
        }


def entrants(kinds: Sequence[str], variants: bool, folders: dict[str, Path], device: str, mixed: bool):
    """Who takes part in a workload. On a CPU we always compute with our allocator settings, as `Trainer.run` does.

    Args:
        kinds: who can; variants: also in mixed precision and with warm memory.
        folders: the peers that are there.
        mixed: does the machine have a lower precision in hardware?
    """
    cuda, found = device.startswith("cuda"), []
    for kind in kinds:
        if kind == "ours":
            found.append(Contestant("ours", warm=not cuda))
            found += [Contestant("ours", "mixed", warm=not cuda)] if variants and mixed else []
        elif kind in folders:
            found.append(Contestant(kind, folder=str(folders[kind])))
            if variants and not cuda:
                found.append(Contestant(kind, warm=True, folder=str(folders[kind])))
            if variants and cuda and kind == "nvidia":  # the only peer with a lower precision
                found.append(Contestant(kind, "mixed", folder=str(folders[kind])))
    return found


def measure(
    workload: str,
    contestants: Sequence[Contestant],
    device: str,
    scratch: Path,
    rounds: int,
    budget: float,
    progress: Callable[[str], None] = lambda name: None,
) -> dict[str, Result]:
    """Time all contestants; whoever fails has an error instead of seconds.

    Args:
        budget: seconds of timed work after which a contestant sits out the rounds left (it has at least two).
        progress: called with a contestant's name before it starts up and before every repetition.
    """
    results = {who.name: Result() for who in contestants}
    workers: dict[str, Worker] = {}
    try:
        for who in contestants:  # one by one: two busy processes on few cores wait for each other's threads
            progress(who.name)
            with _recorded(results[who.name]):
                workers[who.name] = worker = Worker(scratch, f"{workload}-{who.name}".replace(" ", "-"))
                results[who.name].notes = worker.ask(
                    "start", workload=workload, contestant=request(who), device=device, scratch=str(scratch)
                )
        for number in range(rounds):
            turns = [*workers.items()]
            for name, worker in turns[number % len(turns) :] + turns[: number % len(turns)]:  # nobody always first
                progress(name)
                result = results[name]
                spent = number >= FEWEST and sum(result.seconds) > budget
                if not result.error and not spent:
                    with _recorded(result):
                        result.seconds.append(worker.ask("time"))
        _compare(results, workers, scratch)
    finally:
        for worker in workers.values():
            worker.close()
    return results


@contextlib.contextmanager
def _recorded(result: Result) -> Iterator[None]:
    """Puts a worker's failure into its result instead of ending the run."""
    try:
        yield
    except WorkerError as error:
        result.error = str(error)


def _compare(results: dict[str, Result], workers: dict[str, Worker], scratch: Path) -> None:
    """How far each contestant's output is from ours in float32."""
    import torch

    outputs = {}
    for name, worker in workers.items():
        file = scratch / "output.pt"
        if not results[name].error:
            with _recorded(results[name]):
                if worker.ask("output", file=str(file)):
                    outputs[name] = torch.load(file, weights_only=True)
    reference = outputs.get("ours float32")
    for name, output in outputs.items():
        if reference is not None and name != "ours float32":
            results[name].deviation = ((output - reference).abs().max() / reference.std()).item()
