"""Speed at pocket scale: faces drawn, images trained on, pictures for a slider, and the cost of importing the package.

    python -m benchmarks.pocket [--seconds 5]

Machines are noisy: every figure is the median of five rounds.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import torch

from stylegan2 import display, networks
from stylegan2.data import pocket
from stylegan2.runtime import keep_memory_warm
from stylegan2.training.config import TrainConfig
from stylegan2.training.trainer import Trainer
from stylegan2.widgets import LIVE_QUALITY

ROUNDS = 5


def rate(work: Callable[[], int], seconds: float) -> float:
    """Median things per second; `work` does some and returns how many."""
    work()
    found = []
    for _ in range(ROUNDS):
        done, begin = 0, time.perf_counter()
        while time.perf_counter() - begin < seconds / ROUNDS:
            done += work()
        found.append(done / (time.perf_counter() - begin))
    return statistics.median(found)


def draw(domain: str) -> Callable[[], int]:
    """Sample and render 64 faces at 64 px."""
    return lambda: len(pocket.render(pocket.sample(domain, 64), domain))


def train(precision: str, augment_p: float) -> Callable[[], int]:
    """16 iterations at batch 16: one whole round of the lazy regularisers."""
    g, d = networks.build(64, "pocket")
    faces = pocket.render(pocket.sample("webtoon", 16), "webtoon")
    config = TrainConfig(tempfile.gettempdir(), augment="fixed", augment_p=augment_p, precision=precision)
    trainer = Trainer(config, faces, g, d)

    def work() -> int:
        for _ in range(16):
            trainer.train_step(faces)
        return 16 * len(faces)

    return work


def slide() -> Callable[[], int]:
    """One slider event: w to an encoded picture."""
    g = networks.build(64, "pocket")[0].eval().requires_grad_(False)
    ws = g.mapping(torch.zeros(1, g.z_dim))
    return lambda: bool(display.jpeg_bytes(display.to_pil(g.synthesis(ws, "const")[0], 4), LIVE_QUALITY))


def import_seconds(statement: str) -> float:
    """Median wall time of a fresh Python that runs one statement."""
    found = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-c", statement], check=True)
        found.append(time.perf_counter() - begin)
    return statistics.median(found)


def main() -> None:
    """Print one line per figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5, help="for each figure")
    seconds = parser.parse_args().seconds
    torch_alone, both = import_seconds("import torch"), import_seconds("import torch, stylegan2")
    print(f"import stylegan2 adds {both - torch_alone:+.3f} s to import torch ({torch_alone:.2f} s)")
    for domain in pocket.DOMAINS:
        print(f"renderer, {domain}: {rate(draw(domain), seconds):.0f} faces/s at 64 px")
    print(f"slider, w to JPEG: {1000 / rate(slide(), seconds):.1f} ms")
    keep_memory_warm()
    for precision in ("float32", "auto"):
        for p in (0.0, 0.3):
            speed = rate(train(precision, p), seconds * 4)
            print(f"training, {precision}, ADA p = {p}: {speed:.1f} images/s at batch 16")


if __name__ == "__main__":
    main()
