"""A training run of half a second for the tests, and a process that runs, kills and resumes several of them.

    python tests/tiny_training.py JOBS.json

imports PyTorch once, then forks for every job: {"out": folder, "kill_before_step": 7, ...} (see `run_job`).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from stylegan2 import checkpoints
from stylegan2.config import TrainConfig
from stylegan2.networks import Discriminator, Generator, resolutions
from stylegan2.trainer import Trainer
from stylegan2.transfer import Method


class Pictures(Dataset):
    """Images in memory, uint8 [N, 3, R, R], read as `LMDBDataset` is: by an index or (index, flip)."""

    def __init__(self, images: Tensor):
        self.images, self.resolution = images, images.shape[-1]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, item) -> Tensor:
        index, flip = item if isinstance(item, tuple) else (item, False)
        return self.images[index].flip(2) if flip else self.images[index]


def random_pictures(count: int = 10, resolution: int = 8, seed: int = 0) -> Pictures:
    """Noise, the same for a seed."""
    rng = torch.Generator().manual_seed(seed)
    return Pictures(torch.randint(0, 256, (count, 3, resolution, resolution), generator=rng, dtype=torch.uint8))


def tiny_networks(resolution: int = 8, width: int = 6, seed: int = 0) -> tuple[Generator, Discriminator]:
    """Networks of a few thousand parameters."""
    channels = {r: width for r in resolutions(resolution)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Generator(resolution, 8, 8, 2, channels), Discriminator(resolution, channels)


def tiny_config(out, **changes) -> TrainConfig:
    """16 iterations in which every interval ends at other iterations than a snapshot is written."""
    settings = {
        "images": 64, "batch": 4, "seed": 5, "precision": "float32",
        "r1_interval": 5, "pl_interval": 3, "augment_interval": 2, "augment_images": 300, "augment_p": 0.3,
        "snapshot_images": 16, "keep": 3, "sample_images": 24, "sample_rows": 1, "sample_columns": 3, "log_images": 12,
    }  # fmt: skip
    return TrainConfig(out=out, **(settings | changes))


def tiny_trainer(out, methods=(), **changes) -> Trainer:
    """Tiny networks, ten pictures, tiny settings."""
    return Trainer(tiny_config(out, **changes), random_pictures(), *tiny_networks(), methods=methods)


# --------------------------------------------------------------------------------------------------- killed and resumed


def run_job(job: dict) -> None:
    """One run in this process.

    job: "out" and, if wanted, "settings" of the config; "kill_before_step"; "kill_writing": killed when the snapshot
    of so many images is complete but does not bear its name yet; "interrupt_in_step": gets SIGINT, as from Ctrl-C.
    """
    torch.set_num_threads(1)
    trainer = tiny_trainer(job["out"], **job.get("settings", {}))
    train_step, replace = trainer.train_step, os.replace

    def step(real: Tensor) -> None:
        if trainer.step == job.get("kill_before_step"):
            os.kill(os.getpid(), signal.SIGKILL)
        if trainer.step == job.get("interrupt_in_step"):
            os.kill(os.getpid(), signal.SIGINT)
        train_step(real)

    def replace_or_die(source, target, **options) -> None:
        if "kill_writing" in job and Path(target).name == f"{job['kill_writing']:09d}.pt":
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target, **options)

    trainer.train_step, os.replace = step, replace_or_die
    trainer.run(progress=False)


def fork_job(job: dict) -> int:
    """A job in a process of its own, what it says in OUT.txt; returns the exit code, negative for a signal.

    "kill_after_snapshots": killed from outside, at whatever point it is, when so many snapshots lie there.
    "truncate": before it starts, the newest snapshot loses its second half.
    """
    if job.get("truncate"):
        newest = sorted(Path(job["out"]).glob("snapshots/*.pt"))[-1]
        os.truncate(newest, newest.stat().st_size // 2)
    process = os.fork()
    if process == 0:
        said = os.open(f"{job['out']}.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(said, 1)
        os.dup2(said, 2)
        code = 1
        try:
            run_job(job)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
    while (
        "kill_after_snapshots" in job
        and len(list(Path(job["out"]).glob("snapshots/*.pt"))) < job["kill_after_snapshots"]
    ):
        time.sleep(0.001)
    if "kill_after_snapshots" in job:
        os.kill(process, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def source(seed: int = 3, resolution: int = 16) -> checkpoints.Checkpoint:
    """A model to start from, with a mean w of its own."""
    g, d = tiny_networks(resolution, seed=seed)
    g.mapping.update_mean(100)
    with torch.no_grad():  # all noise strengths and biases begin at 0, and half of what is tested would be trivially so
        for name, p in g.named_parameters():
            if name.endswith(("noise_strength", "bias")):
                p.add_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(len(name))))
    return checkpoints.Checkpoint(g_ema=g, d=d)


def fine_tuner(out, *methods: Method, start=None, **changes) -> Trainer:
    settings = {"images": 80, "fine_tune": True, "augment": "none", "snapshot_images": 80, "sample_images": 40}
    return Trainer.fine_tune(
        tiny_config(out, **settings | changes), random_pictures(resolution=16), start or source(), methods
    )


if __name__ == "__main__":
    jobs = json.loads(Path(sys.argv[1]).read_text())
    torch.optim.Adam([torch.zeros(1, requires_grad=True)])  # imports what takes a second, once for all processes
    print(json.dumps([fork_job(job) for job in jobs]))


def dies_at(monkeypatch, training: type, number: int) -> list[int]:
    """Ctrl-C comes in the `number`th step of a training of the pocket networks; the steps that were begun."""
    one_step, steps = training.train_step, []

    def dies(run, *batch):
        steps.append(run.step)
        if len(steps) == number:
            raise KeyboardInterrupt
        return one_step(run, *batch)

    monkeypatch.setattr(training, "train_step", dies)
    return steps
