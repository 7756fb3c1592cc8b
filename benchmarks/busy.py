"""How fast are we beside another program that uses all cores? By how many threads there are, and how they wait.

    python -m benchmarks.busy [--rounds 5] [--policies default chosen passive one-thread]

Training the pocket model (batch 32, freeze-sg), a slider's picture and a search's step, each alone and beside one
process per core that only computes. A policy is set before PyTorch loads, so each has a process of its own; these take
turns of a few seconds, because a machine is not equally fast all the time. Medians over the rounds; shares are medians
of each round's own.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from itertools import product
from pathlib import Path

from torch.utils.data import default_collate

from benchmarks import ROOT
from stylegan2 import runtime
from stylegan2.config import TrainConfig
from stylegan2.course import setup
from stylegan2.data.dataset import LMDBDataset
from stylegan2.editing import latents
from stylegan2.editing.projection import ProjectConfig, project
from stylegan2.panels.latent import latent_panel
from stylegan2.pocket.studies.methods import named
from stylegan2.trainer import Trainer

POLICIES = {  # variables of OpenMP; "chosen": what the package sets by itself
    "default": {"GOMP_SPINCOUNT": "300000"},  # what libgomp does without any of them; also without `free_threads`
    "chosen": {},
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
    "one-thread": {"OMP_NUM_THREADS": "1"},
}
TASKS = {"slider, pictures/s": 60, "search, steps/s": 20, "training, images/s": 96}  # and how many in a turn
BURN = "import hashlib\nwhile True: hashlib.sha256(bytes(4 << 20))"  # one core, without waiting for anything


def serve(free_threads: bool) -> None:
    """Do the task that a line of standard input names, again and again; answer with its rate."""
    if not free_threads:
        runtime.free_cores = lambda: 1e9
    answers = sys.stdout
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(sys.stderr):
        tasks = dict(zip(TASKS, make_tasks(Path(folder)), strict=True))
        for line in sys.stdin:
            name, start = line.rstrip("\n"), time.perf_counter()
            tasks[name](TASKS[name])
            print(TASKS[name] / (time.perf_counter() - start), file=answers, flush=True)


def make_tasks(folder: Path) -> tuple[Callable[[int], object], ...]:
    """What does so many pictures, steps and images."""
    course = setup("pocket")
    source = course.source()
    g, panel = source.g_ema, latent_panel(source.g_ema)
    ws = latents.ws_from_seeds(g, range(2), 0.7)
    photo = latents.render(g, ws[:1]).clamp(-1, 1)
    data = LMDBDataset(course.dataset("pocket:webtoon?n=64"), cache=True)
    config = TrainConfig(folder, batch=32, r1_gamma=0.2, workers=0, fine_tune=True)
    trainer = Trainer.fine_tune(config, data, source, named("freeze-sg", course.resolution), course.device)
    real = default_collate([data[i] for i in range(32)])

    def slide(count: int) -> None:
        with panel._silence():
            for i in range(count):
                panel.controls["blend"].value = (i % 50) / 50
                panel.update()

    def search(count: int) -> None:
        settings = ProjectConfig(steps=count, space="w+")
        project(g, photo, course.perceptual_distance, settings, ws[1:], progress=False)

    def train(count: int) -> None:
        with runtime.reproducible(course.device):
            for _ in range(count // 32):
                trainer.train_step(real)

    return slide, search, train


@contextmanager
def others(count: int) -> Iterator[None]:
    """So many processes that compute, until the end."""
    burning = [subprocess.Popen([sys.executable, "-c", BURN]) for _ in range(count)]
    try:
        yield
    finally:
        for process in burning:
            process.kill()
            process.wait()


@contextmanager
def worker(policy: str) -> Iterator[Callable[[str], float]]:
    """A process under a policy; asked for a task, it does it and answers with the rate that it reached."""
    waiting = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_NUM_THREADS")
    environment = {name: value for name, value in os.environ.items() if name not in waiting} | POLICIES[policy]
    # `stylegan2` first: it sets variables that PyTorch reads when it is imported
    command = [
        sys.executable,
        "-c",
        f"import stylegan2; from benchmarks.busy import serve; serve({policy != 'default'})",
    ]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, cwd=ROOT, env=environment, **pipes) as process:

        def ask(task: str) -> float:
            print(task, file=process.stdin, flush=True)
            return float(process.stdout.readline())

        yield ask
        process.stdin.close()


def main() -> None:
    """Print a row for every task and policy: alone, beside others, and both as shares of the first policy alone."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--policies", nargs="+", choices=POLICIES, default=list(POLICIES))
    options = parser.parse_args()
    speeds: dict[tuple[str, str, bool], list[float]] = defaultdict(list)
    with ExitStack() as stack:
        workers = {policy: stack.enter_context(worker(policy)) for policy in options.policies}
        for task, policy in product(TASKS, workers):
            workers[policy](task)  # the first ones are slower
        for _, task, busy in product(range(options.rounds), TASKS, (False, True)):
            with others((os.cpu_count() or 1) * busy):
                for policy, ask in workers.items():
                    speeds[task, policy, busy].append(ask(task))
    first = options.policies[0]
    print(f"| task | policy | alone | beside others | alone, of {first} alone | beside |\n|---|---|---|---|---|---|")
    for task, policy in product(TASKS, workers):
        both = [speeds[task, policy, busy] for busy in (False, True)]
        rates = (f"{statistics.median(rates):.1f}" for rates in both)
        whole = speeds[task, first, False]
        shares = (f"{statistics.median(a / b for a, b in zip(rates, whole, strict=True)):.0%}" for rates in both)
        print("|", " | ".join([task, policy, *rates, *shares]), "|")


if __name__ == "__main__":
    main()
