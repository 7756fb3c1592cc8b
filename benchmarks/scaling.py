"""Training in several processes against one, side by side: images per second, one thread each.

    python -m benchmarks.scaling [--processes 2] [--images 480]

The pocket networks at 64 pixels with a batch of 16, ADA with p = 0.3, three times in turn; medians.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import stylegan2.pocket.source  # noqa: F401  (rendered sets can be named as sources)
from benchmarks.worker import ROOT
from stylegan2.data.prepare import prepare
from stylegan2.runs import read_log

ROUNDS = 3


def speed(data: Path, out: Path, images: int, processes: int) -> float:
    """Images per second of the second half of a run."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    words = ["-m", "stylegan2", "train", "--data", data, "--out", out, "--images", images, "--augment", "fixed"]
    words += ["--augment-p", 0.3, "--log-images", images // 2, "--snapshot-images", images, "--sample-images", images]
    command = [sys.executable, *(torchrun if processes > 1 else []), *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT, env=environment)
    return read_log(out / "log.csv")[-1]["images_per_second"]


def main() -> None:
    """Print both speeds and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--images", type=int, default=480)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, found = Path(name), {1: [], options.processes: []}
        prepare("pocket:webtoon?n=64", folder / "faces.lmdb", 64, progress=False, workers=0)
        for turn in range(ROUNDS):
            for processes, speeds in found.items():
                out = folder / f"{processes} {turn}"
                speeds.append(speed(folder / "faces.lmdb", out, options.images, processes))
    one, many = (statistics.median(speeds) for speeds in found.values())
    print(f"1 process: {one:.1f} images/s; {options.processes} processes: {many:.1f} images/s, {many / one:.2f} times")


if __name__ == "__main__":
    main()
