"""Our package beside other StyleGAN2 implementations, on your machine, in one run and one table.

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
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

from benchmarks import contest, limits, peers, photos, table
from benchmarks.worker import ROOT, Worker
from benchmarks.workloads import WORKLOADS, Workload
from stylegan2.runtime import has_bfloat16

ROUNDS, BUDGET = 5, 90.0
QUICK_ROUNDS, QUICK_BUDGET = 2, 0.0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    known = "\n".join(f"  {w.name:18}{w.what}" for w in WORKLOADS.values())
    p = argparse.ArgumentParser(
        prog="python -m benchmarks.compare",
        description=__doc__,
        epilog=f"workloads:\n{known}\n\npeers: {', '.join(peers.LANDMARKS)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument(
        "--peer", action="append", default=[], metavar="NAME=DIR", help="a peer and the folder of its checkout"
    )
    p.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="where to compute (default: cpu)")
    p.add_argument("--only", nargs="+", metavar="WORKLOAD", help="these workloads, in this order (default: all)")
    p.add_argument("--rounds", type=int, default=ROUNDS, help=f"repetitions of each contestant (default: {ROUNDS})")
    p.add_argument(
        "--budget", type=float, default=BUDGET, metavar="S",
        help=f"a contestant that was timed for S seconds at a workload sits out what is left of its rounds, but has at "
        f"least {contest.FEWEST} (default: {BUDGET:.0f})",
    )  # fmt: skip
    p.add_argument("--json", type=Path, metavar="FILE", help="also write everything that was measured to FILE")
    p.add_argument("--quick", action="store_true", help=f"a first impression: {QUICK_ROUNDS} rounds, few photos")
    return p


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the table, write the JSON."""
    p = parser()
    options = p.parse_args(arguments)
    try:
        folders = read_peers(options.peer)
        chosen = choose(options.only, options.device)
    except ValueError as error:
        p.error(str(error))
    if options.rounds < 1:
        p.error(f"--rounds {options.rounds}: expected 1 or more")
    if options.quick:
        options.rounds, options.budget = min(options.rounds, QUICK_ROUNDS), QUICK_BUDGET
        chosen = [replace(w, amount=photos.QUICK_COUNT) if w.amount == photos.COUNT else w for w in chosen]
    print(table.render(run(chosen, folders, options)))


def read_peers(given: Sequence[str]) -> dict[str, Path]:
    """["nvidia=DIR", ...] -> {"nvidia": Path}. Raises ValueError for what is no NAME=DIR, or no such checkout."""
    folders = {}
    for text in given:
        name, equals, folder = text.partition("=")
        if not equals:
            raise ValueError(f"--peer {text}: expected NAME=DIR, NAME one of {', '.join(peers.LANDMARKS)}")
        folders[name] = peers.check_folder(name, folder)
    return folders


def choose(names: Sequence[str] | None, device: str) -> list[Workload]:
    """The workloads to run. Raises ValueError for unknown names, a missing GPU, or a workload that needs one."""
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: PyTorch sees no GPU here")
    unknown = [name for name in names or () if name not in WORKLOADS]
    if unknown:
        raise ValueError(f"--only {', '.join(unknown)}: unknown; there are {', '.join(WORKLOADS)}")
    chosen = [WORKLOADS[name] for name in names or WORKLOADS]
    impossible = [w.name for w in chosen if w.cuda_only and device != "cuda"]
    if names and impossible:
        raise ValueError(f"--only {', '.join(impossible)}: needs --device cuda")
    return [w for w in chosen if w.name not in impossible]


def run(chosen: Sequence[Workload], folders: dict[str, Path], options: argparse.Namespace) -> dict:
    """Measure everything; the report as plain values."""
    report = {
        "machine": machine(options.device),
        "device": options.device,
        "ours": commit(ROOT),
        "peers": {name: commit(folder) for name, folder in folders.items()},
        "rounds": options.rounds,
        "limits": {},
        "workloads": {},
    }
    with tempfile.TemporaryDirectory(prefix="stylegan2-compare-") as scratch:
        report["limits"] = _limits(Path(scratch), options.device)
        found = {}
        for number, w in enumerate(chosen, 1):
            found[w] = _measure(w, number, len(chosen), folders, options, Path(scratch))
            _add(report, found, options)
        report["limits"] = limits.merge(report["limits"], _limits(Path(scratch), options.device))
    _add(report, found, options)
    return report


def _add(report: dict, found: dict[Workload, dict[str, contest.Result]], options: argparse.Namespace) -> None:
    """Put what was found so far into the report, and into the file: an interruption loses one workload at most."""
    for w, results in found.items():
        report["workloads"][w.name] = entry(w, results, report["limits"], options.device)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2))


def entry(w: Workload, results: dict[str, contest.Result], limit: dict[str, float], device: str) -> dict:
    """The report on one workload: what every contestant did, and what follows from it."""
    values = {name: result.median and w.value(result.median) for name, result in results.items()}
    return {
        "what": w.what,
        "unit": w.unit,
        "flops": w.flops,
        "contestants": {name: {**result.to_json(), "value": values[name]} for name, result in results.items()},
        "derived": table.figures(results, w.flops, limit, device),
    }


def _limits(scratch: Path, device: str) -> dict[str, float]:
    worker = Worker(scratch, "limits")
    try:
        return worker.ask("limits", device=device)
    finally:
        worker.close()


def _measure(
    w: Workload, index: int, total: int, folders: dict[str, Path], options: argparse.Namespace, scratch: Path
) -> dict[str, contest.Result]:
    if w.photos and not photos.folder(scratch).exists():
        photos.write(scratch, photos.QUICK_COUNT if options.quick else photos.COUNT)
    mixed = has_bfloat16(torch.device(options.device))
    who = contest.entrants(w.kinds, w.variants, folders, options.device, mixed)
    with tqdm(total=len(who) * (options.rounds + 1), unit="turn", dynamic_ncols=True) as bar:

        def progress(name: str) -> None:
            bar.set_description(f"[{index}/{total}] {w.name}: {name}")
            bar.update()

        return contest.measure(w.name, who, options.device, scratch, options.rounds, options.budget, progress)


def machine(device: str) -> dict:
    """What was computed on; no names of hosts or users."""
    try:
        models = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    except OSError:
        models = []
    return {
        "processor": models[0] if models else platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "bfloat16": has_bfloat16(torch.device(device)),
        "accelerator": torch.cuda.get_device_name() if device == "cuda" else None,
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def commit(folder: Path) -> str:
    """The checkout's commit, with a plus sign if files were changed since; "unknown" without git."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + "+" * bool(git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


if __name__ == "__main__":
    sys.exit(main())
