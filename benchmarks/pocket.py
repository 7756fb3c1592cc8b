"""Speed of what only this course has: faces drawn, and the cost of importing the package.

    python -m benchmarks.pocket [--seconds 5]

Machines are noisy: every figure is the median of five rounds. (Training and sliders: `benchmarks.compare`.)
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from stylegan2.pocket import world

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
    return lambda: len(world.render(world.sample(domain, 64), domain))


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
    for domain in world.DOMAINS:
        print(f"renderer, {domain}: {rate(draw(domain), seconds):.0f} faces/s at 64 px")


if __name__ == "__main__":
    main()
