"""How fast are we beside another program that uses all cores? By how many threads there are, and how they wait.

    python -m benchmarks.busy [--rounds 5]

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
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import product
from multiprocessing import get_context
from pathlib import Path

from torch.utils.data import default_collate

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
}
TASKS = {"slider, pictures/s": 60, "search, steps/s": 20, "training, images/s": 96}  # and how many in a turn
BURN = "import hashlib\nwhile True: hashlib.sha256(bytes(4 << 20))"  # one core, without waiting for anything
WORK: dict[str, Callable[[int], object]] = {}  # by task, in its own process: does so many pictures, steps or images


def prepare(folder: Path, policy: str) -> None:
    """Fill `WORK`, under a policy."""
    if policy == "default":
        runtime.free_cores = lambda: 1e9
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

    WORK.update(zip(TASKS, (slide, search, train), strict=True))


def rate(task: str) -> float:
    """Do a turn of the task, in this process; how many a second."""
    start = time.perf_counter()
    WORK[task](TASKS[task])
    return TASKS[task] / (time.perf_counter() - start)


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
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_NUM_THREADS"):
        os.environ.pop(name, None)
    os.environ.update(POLICIES[policy])  # a process begins with the variables of this one
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(1, get_context("spawn")) as process:
        process.submit(prepare, Path(folder), policy).result()
        yield lambda task: process.submit(rate, task).result()


def main() -> None:
    """Print a row for every task and policy: alone, beside others, and both as shares of the default alone."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    speeds: dict[tuple[str, str, bool], list[float]] = defaultdict(list)
    with ExitStack() as stack:
        workers = {policy: stack.enter_context(worker(policy)) for policy in POLICIES}
        for task, policy in product(TASKS, workers):
            workers[policy](task)  # the first ones are slower
        for _, task, busy in product(range(options.rounds), TASKS, (False, True)):
            with others((os.cpu_count() or 1) * busy):
                for policy, ask in workers.items():
                    speeds[task, policy, busy].append(ask(task))
    print("| task | policy | alone | beside others | alone, of default alone | beside |\n|---|---|---|---|---|---|")
    for task, policy in product(TASKS, workers):
        both = [speeds[task, policy, busy] for busy in (False, True)]
        rates = (f"{statistics.median(rates):.1f}" for rates in both)
        whole = speeds[task, "default", False]
        shares = (f"{statistics.median(a / b for a, b in zip(rates, whole, strict=True)):.0%}" for rates in both)
        print("|", " | ".join([task, policy, *rates, *shares]), "|")


if __name__ == "__main__":
    main()
