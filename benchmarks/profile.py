"""Where the time of a workload goes, and what fused operators could save at most.

    python -m benchmarks.profile [--only WORKLOAD ...] [--precision float32|mixed]

Operators are grouped into convolutions (filters included), matrix products, passes over memory (pointwise work, sums,
copies and casts) and the rest (random numbers, optimiser, Python). A fused modulate-noise-bias-activate operator can
save passes over memory, never convolutions: the last column is the speed-up if *all* of these passes cost nothing, a
bound that no kernel reaches. An operator that must build with a compiler needs to give 1.2x to be worth it here.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.ours import Ours
from benchmarks.workloads import WORKLOADS, Job
from stylegan2.runtime import keep_memory_warm

DEFAULT = ("generator-256-b4", "generator-256-b1", "slider-64-b1", "train-64-b16", "latent-step-256")
KINDS = {
    "convolutions": ("conv",),
    "matrix products": ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm"),
    "passes": (
        *("aten::mul", "aten::add", "aten::sub", "aten::div", "aten::leaky_relu", "aten::sum", "aten::copy_"),
        *("aten::pow", "aten::lerp", "aten::neg", "aten::cat", "aten::fill_", "aten::rsqrt", "aten::clamp"),
        *("aten::index", "aten::gather", "aten::grid_sampler", "aten::where", "aten::mean", "aten::softplus"),
    ),
}


def kind_of(operator: str) -> str:
    """The group that an operator's name belongs to."""
    for kind, beginnings in KINDS.items():
        if any(operator.startswith(b) or (b == "conv" and b in operator) for b in beginnings):
            return kind
    return "rest"


def shares(microseconds: Mapping[str, float]) -> dict[str, float]:
    """{operator: self time} -> {group: share of the whole}, the shares adding up to 1."""
    total = sum(microseconds.values())
    grouped = dict.fromkeys([*KINDS, "rest"], 0.0)
    for operator, spent in microseconds.items():
        grouped[kind_of(operator)] += spent / total
    return grouped


def bound(share: float) -> float:
    """Speed-up if a share of the time cost nothing (Amdahl's law)."""
    return 1 / (1 - share)


def profiled(job: Job) -> tuple[float, dict[str, float]]:
    """Seconds of one repetition as it is, and each operator's self time in microseconds in another one."""
    job.warm_up()
    begin = time.perf_counter()
    job.run()
    seconds = time.perf_counter() - begin
    with profile(activities=[ProfilerActivity.CPU], acc_events=True) as found:
        job.run()
    spent = {event.key: event.self_cpu_time_total for event in found.key_averages()}
    return seconds, spent


def main() -> None:
    """Print one row per workload."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="WORKLOAD", default=DEFAULT, choices=DEFAULT)
    parser.add_argument("--precision", choices=("float32", "mixed"), default="float32")
    options = parser.parse_args()
    keep_memory_warm()
    print(f"| {options.precision} | s | {' | '.join([*KINDS, 'rest'])} | without passes |")
    print("|---" * (len(KINDS) + 4) + "|")
    for name in options.only:
        with tempfile.TemporaryDirectory() as scratch:
            job = WORKLOADS[name].make(Ours(torch.device("cpu"), options.precision), Path(scratch))
        seconds, spent = profiled(job)
        found = shares(spent)
        row = [f"{share:.0%}" for share in found.values()]
        print(f"| {name} | {seconds:.3f} | {' | '.join(row)} | {bound(found['passes']):.2f}x |", flush=True)


if __name__ == "__main__":
    main()
