"""Our package beside other StyleGAN2 implementations, on your machine's CPU, in one run and one table.

    python -m benchmarks.compare --peer rosinality=DIR --peer nvidia=DIR --peer cartoon=DIR

Peers are checkouts that you made yourself; whichever is not named is left out. Every contestant computes in a process
of its own, and they take turns, round by round, so that a busy machine slows all of them alike. Close other programs
all the same: with few cores, any of them makes small networks many times slower.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks import ROOT, contest, peers
from benchmarks.contest import Result
from benchmarks.workloads import WORKLOADS, Workload
from stylegan2.runtime import has_bfloat16

OURS = ("ours float32", "ours mixed")
UNSTEADY = 1.5  # slowest over fastest repetition
BUSY = f"the slowest repetition took over {UNSTEADY} times as long as the fastest: the machine was busy meanwhile"
LEGEND = """×: how many times faster ours is.
Deviation: the largest difference from ours in float32, in standard deviations.
Peers compute in float32 as they ship; "warm": with our allocator settings; "mixed": ours in bfloat16."""
HEADER = ["workload", "unit", "contestant", "median", *(f"× {name}" for name in OURS), "deviation", "note"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the table, write the JSON."""
    known = "\n".join(f"  {w.name:18}{w.what}" for w in WORKLOADS.values())
    p = argparse.ArgumentParser(
        prog="python -m benchmarks.compare",
        description=__doc__,
        epilog=f"workloads:\n{known}\n\npeers: {', '.join(peers.PEERS)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = p.add_argument
    add("--peer", action="append", default=[], type=peers.peer, metavar="NAME=DIR", help="a peer and its checkout")
    add("--only", nargs="+", metavar="WORKLOAD", choices=WORKLOADS, help="these, in this order (default: all)")
    add("--rounds", type=int, default=5, help="repetitions of each contestant (default: 5)")
    add("--json", type=Path, metavar="FILE", help="also write everything that was measured to FILE")
    options = p.parse_args(arguments)
    if options.rounds < 1:
        p.error(f"--rounds {options.rounds}: expected 1 or more")
    print(run([WORKLOADS[name] for name in options.only or WORKLOADS], options))


def run(chosen: Sequence[Workload], options: argparse.Namespace) -> str:
    """Measure everything; the table and what it was measured on. The JSON grows with every workload."""
    folders, mixed, measured = dict(options.peer), has_bfloat16(torch.device("cpu")), {}
    about = machine() | {"rounds": options.rounds}
    about |= {name: commit(folder) for name, folder in {"ours": ROOT, **folders}.items()}
    for w in chosen:
        measured[w] = contest.measure(w.name, contest.entrants(w, folders, mixed), options.rounds)
        if options.json:
            rows = {w.name: {who: asdict(r) for who, r in results.items()} for w, results in measured.items()}
            options.json.write_text(json.dumps({"machine": about, "workloads": rows}, indent=2))
    facts = ", ".join(f"{name} {value}" for name, value in about.items())
    return f"{table(measured)}\n{facts}"


def table(measured: Mapping[Workload, Mapping[str, Result]]) -> str:
    """In Markdown, a line for every contestant; "×": how many times faster than it ours is."""
    lines = [HEADER, ["---"] * len(HEADER)]
    for w, results in measured.items():
        medians = [results[name].median if name in results else None for name in OURS]
        for name, r in results.items():
            ratios = [f"{r.median / own:.2f}" if r.median and own else "–" for own in medians]
            unsteady = not r.error and max(r.seconds) > UNSTEADY * min(r.seconds)
            value = f"{w.value(r.median):.3g}" if r.median else "failed"
            deviation = "–" if r.deviation is None else f"{r.deviation:.1e}"
            lines.append([w.name, w.unit, name, value, *ratios, deviation, r.error or BUSY * unsteady])
    return "\n".join([*(f"| {' | '.join(cells)} |" for cells in lines), "", LEGEND])


def machine() -> dict[str, object]:
    """What was computed on; no names of hosts or users."""
    known = Path("/proc/cpuinfo")
    model = re.search(r"model name\s*: (.*)", known.read_text()) if known.exists() else None
    return {
        "processor": model[1] if model else platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "Python": platform.python_version(),
        "PyTorch": torch.__version__,
    }


def commit(folder: Path) -> str:
    """The checkout's commit; "unknown" without git."""
    command = ["git", "-C", str(folder), "rev-parse", "--short=10", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


if __name__ == "__main__":
    main()
