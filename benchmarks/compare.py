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
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from tqdm import tqdm

from benchmarks import ROOT, contest, peers, table
from benchmarks.workloads import WORKLOADS, Workload
from stylegan2.runtime import has_bfloat16

QUICK = {"rounds": 2, "budget": 0.0}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    known = "\n".join(f"  {w.name:18}{w.what}" for w in WORKLOADS.values())
    p = argparse.ArgumentParser(
        prog="python -m benchmarks.compare",
        description=__doc__,
        epilog=f"workloads:\n{known}\n\npeers: {', '.join(peers.PEERS)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = p.add_argument
    add("--peer", action="append", default=[], type=peer, metavar="NAME=DIR", help="a peer and its checkout's folder")
    add("--device", default="cpu", choices=("cpu", "cuda"), help="where to compute (default: cpu)")
    add("--only", nargs="+", metavar="WORKLOAD", choices=WORKLOADS, help="these, in this order (default: all)")
    add("--rounds", type=int, default=5, help="repetitions of each contestant (default: 5)")
    sits_out = (
        f"after S seconds at a workload a contestant sits out, with {contest.FEWEST} rounds at least (default: 90)"
    )
    add("--budget", type=float, default=90.0, metavar="S", help=sits_out)
    add("--json", type=Path, metavar="FILE", help="also write everything that was measured to FILE")
    add("--quick", action="store_true", help=f"a first impression: {QUICK['rounds']} rounds")
    return p


def peer(text: str) -> tuple[str, Path]:
    """ "nvidia=DIR" -> ("nvidia", Path)."""
    name, equals, folder = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text}: expected NAME=DIR, NAME one of {', '.join(peers.PEERS)}")
    try:
        return name, peers.check_folder(name, folder)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the table, write the JSON."""
    p = parser()
    options = p.parse_args(arguments)
    if options.rounds < 1:
        p.error(f"--rounds {options.rounds}: expected 1 or more")
    if options.device == "cuda" and not torch.cuda.is_available():
        p.error("--device cuda: PyTorch sees no GPU here")
    chosen = [WORKLOADS[name] for name in options.only or WORKLOADS]
    impossible = [w.name for w in chosen if w.cuda_only and options.device != "cuda"]
    if options.only and impossible:
        p.error(f"--only {', '.join(impossible)}: needs --device cuda")
    if options.quick:
        vars(options).update(QUICK)
    print(run([w for w in chosen if w.name not in impossible], options))


def run(chosen: Sequence[Workload], options: argparse.Namespace) -> str:
    """Measure everything; the table and what it was measured on. The JSON grows with every workload."""
    folders, device, measured = dict(options.peer), options.device, {}
    mixed = has_bfloat16(torch.device(device))
    about = machine(device) | {"rounds": options.rounds}
    about |= {name: commit(folder)[:10] for name, folder in {"ours": ROOT, **folders}.items()}
    for w in chosen:
        who = contest.entrants(w, folders, device, mixed)
        with tqdm(total=len(who) * (options.rounds + 1), unit="turn", dynamic_ncols=True) as bar:

            def progress(name: str, bar: tqdm = bar, w: Workload = w) -> None:
                bar.set_description(f"{w.name}: {name}")
                bar.update()

            measured[w] = contest.measure(w.name, who, device, options.rounds, options.budget, progress)
        if options.json:
            rows = {w.name: {who: asdict(r) for who, r in results.items()} for w, results in measured.items()}
            options.json.write_text(json.dumps({"machine": about, "workloads": rows}, indent=2))
    facts = ", ".join(f"{name} {value}" for name, value in about.items())
    return f"{table.render(measured, list(folders), device)}\n{facts}"


def machine(device: str) -> dict[str, object]:
    """What was computed on; no names of hosts or users."""
    try:
        models = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    except OSError:
        models = []
    return {
        "processor": models[0] if models else platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "GPU": torch.cuda.get_device_name() if device == "cuda" else None,
        "Python": platform.python_version(),
        "PyTorch": torch.__version__,
    }


def commit(folder: Path) -> str:
    """The checkout's commit; "unknown" without git."""
    command = ["git", "-C", str(folder), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


if __name__ == "__main__":
    main()
