"""How fast are we beside another program that uses all cores? By how many threads there are, and how they wait.

    python -m benchmarks.busy [--rounds 3] [--policies default chosen passive one-thread]

Training at 64 pixels (batch 32, freeze-sg), a slider's picture and a search's step, each alone and beside one process
per core that only computes. A policy is set before PyTorch loads, in a process of its own; all take turns; medians.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks import ROOT
from stylegan2 import runtime
from stylegan2.config import TrainConfig
from stylegan2.course import setup
from stylegan2.data.dataset import LMDBDataset
from stylegan2.editing import latents
from stylegan2.editing.projection import ProjectConfig, project
from stylegan2.panels.latent import latent_panel
from stylegan2.pocket.studies.methods import named
from stylegan2.runs import read_log
from stylegan2.trainer import Trainer

POLICIES = {  # variables of OpenMP; "chosen": what the package sets by itself
    "chosen": {},
    "default": {"GOMP_SPINCOUNT": "300000"},  # what libgomp does without any of them; also without `free_threads`
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
    "one-thread": {"OMP_NUM_THREADS": "1"},
}
BURN = "import hashlib\nwhile True: hashlib.sha256(bytes(4 << 20))"  # one core, without waiting for anything


def rate(work: Callable[[], object], count: int) -> float:
    """Of so many things that `work` does, per second."""
    start = time.perf_counter()
    work()
    return count / (time.perf_counter() - start)


def work(images: int, free_threads: bool) -> None:
    """What this process reaches, by task, as JSON."""
    if not free_threads:
        runtime.free_cores = lambda: 1e9
    course = setup("pocket")
    source = course.source()
    g, panel = source.g_ema, latent_panel(source.g_ema)

    def slide(count: int = 100) -> None:
        with panel._silence():
            for i in range(count):
                panel.controls["blend"].value = (i % 50) / 50
                panel.update()

    ws = latents.ws_from_seeds(g, range(2), 0.7)
    photo, settings = latents.render(g, ws[:1]).clamp(-1, 1), ProjectConfig(steps=25, space="w+")
    search = partial(project, g, photo, course.perceptual_distance, settings, ws[1:], progress=False)
    slide(20), search()  # the first ones are slower
    speeds = {"slider, pictures/s": rate(slide, 100), "search, steps/s": rate(search, 25)}
    data = LMDBDataset(course.dataset("pocket:webtoon?n=64"), 64, cache=True)
    with tempfile.TemporaryDirectory() as out:
        config = TrainConfig(
            Path(out), images=images, batch=32, r1_gamma=0.2, workers=0, fine_tune=True, log_images=images // 2,
            snapshot_images=10**6, sample_images=10**6,
        )  # fmt: skip
        Trainer.fine_tune(config, data, source, named("freeze-sg", 64), course.device).run(progress=False)
        speeds["training, images/s"] = read_log(Path(out) / "log.csv")[-1]["images_per_second"]
    print(json.dumps(speeds))


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


def measure(policy: str, images: int) -> dict[str, float]:
    """What a fresh process reaches under a policy, by task."""
    waiting = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_NUM_THREADS")
    environment = {name: value for name, value in os.environ.items() if name not in waiting} | POLICIES[policy]
    command = [sys.executable, "-c", f"from benchmarks.busy import work; work({images}, {policy != 'default'})"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Print a row for every task and policy: alone, beside others, and the share that is left."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=320)
    parser.add_argument("--policies", nargs="+", choices=POLICIES, default=list(POLICIES))
    options = parser.parse_args()
    speeds: dict[tuple[str, str, bool], list[float]] = defaultdict(list)
    for _ in range(options.rounds):
        for policy in options.policies:
            for busy in (False, True):
                with others((os.cpu_count() or 1) * busy):
                    for task, speed in measure(policy, options.images).items():
                        speeds[task, policy, busy].append(speed)
    print("| task | policy | alone | beside others | left |\n|---|---|---|---|---|")
    for task, policy in dict.fromkeys((task, policy) for task, policy, _ in speeds):
        alone, beside = (statistics.median(speeds[task, policy, busy]) for busy in (False, True))
        print(f"| {task} | {policy} | {alone:.1f} | {beside:.1f} | {beside / alone:.0%} |")


if __name__ == "__main__":
    main()
