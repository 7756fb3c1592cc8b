"""How much memory does training at 256 pixels take, by batch and precision? One iteration with R1 and path length.

    python -m benchmarks.memory [--batches 2 4] [--precisions float32 float16] [--accumulate 1]

Config-f, fine-tuned with StructureLoss (so the source is there too), each in a process of its own. On a GPU the peak
that PyTorch allocated; on a CPU the peak of the process, less what it had before the networks. Memory grows in a
straight line with the batch: two batches tell the others, and the largest that fits a card.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import subprocess
import sys
import tempfile

from benchmarks.worker import ROOT

CARD = 14.0  # GiB of a T4 that are there for PyTorch


def measure(batch: int, precision: str, accumulate: int) -> float:
    """GiB at the peak of one iteration, in this process."""
    import torch

    from stylegan2 import checkpoints
    from stylegan2.config import TrainConfig
    from stylegan2.networks import build
    from stylegan2.trainer import Trainer
    from stylegan2.transfer import StructureLoss

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    g, d = build(256, "config-f", seed=0)
    images = torch.randint(0, 256, (batch, 3, 256, 256), dtype=torch.uint8)
    with tempfile.TemporaryDirectory() as out:
        config = TrainConfig(
            out=out, images=batch, batch=batch, accumulate=accumulate, precision=precision, fine_tune=True
        )
        data = torch.utils.data.TensorDataset(images)
        data.resolution = 256
        trainer = Trainer.fine_tune(config, data, checkpoints.Checkpoint(g, d=d), [StructureLoss()], device)
        trainer.train_step(images.to(device))  # the first iteration does everything
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20 - before


def main() -> None:
    """Print GiB for every batch and precision, and what fits a card of `CARD` GiB."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--precisions", nargs="+", default=["float32", "float16"])
    parser.add_argument("--accumulate", type=int, default=1)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        batch, precision, parts = options.one.split(",")
        print(json.dumps(measure(int(batch), precision, int(parts))))
        return
    for precision in options.precisions:
        found = {}
        for batch in options.batches:
            command = [sys.executable, "-m", "benchmarks.memory", "--one", f"{batch},{precision},{options.accumulate}"]
            done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
            found[batch] = json.loads(done.stdout.splitlines()[-1])
            print(f"{precision}, batch {batch}: {found[batch]:.1f} GiB", flush=True)
        for (a, x), (b, y) in itertools.pairwise(found.items()):
            each = (y - x) / (b - a)
            fits = int((CARD - x + a * each) / each)
            print(f"  {each:.2f} GiB an image, {x - a * each:.1f} without any: {fits} fit {CARD:g} GiB")


if __name__ == "__main__":
    main()
