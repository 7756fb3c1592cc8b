"""What the processes of tests/test_distributed.py run: a few iterations, and what came out.

torchrun --nproc_per_node=2 tests/distributed_run.py OUT STEPS [ACCUMULATE] [die]
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch
from tiny_training import random_pictures, tiny_config, tiny_networks

from stylegan2.cli.processes import joined
from stylegan2.trainer import Trainer


def run(out: Path, steps: int, accumulate: int = 1, dies: bool = False) -> None:
    """Train, and let the first process write gradients of the first iteration, parameters and states."""
    torch.set_num_threads(1)
    with joined() as world:
        g, d = tiny_networks(16, 6, seed=1)
        settings = {"batch": 16, "images": 16 * steps, "augment": "adaptive", "augment_p": 0.5, "augment_interval": 2}
        settings |= {"accumulate": accumulate, "snapshot_images": 16 * 4, "log_images": 16, "seed": 3}
        trainer = Trainer(tiny_config(out / "run", **settings), random_pictures(count=64, resolution=16), g, d)
        start = {name: p.detach().clone() for name, p in parameters(trainer)}
        gradients: list[torch.Tensor] = []
        step, average = trainer.train_step, world.average_gradients

        def watched(real: torch.Tensor) -> None:
            if dies and trainer.step == 6 and world.rank == 1 and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
                os.kill(os.getpid(), signal.SIGKILL)
            if trainer.step == 0:
                spy(trainer, gradients, average)
            step(real)
            if trainer.step == 1:
                trainer.world = world

        trainer.train_step = watched
        trainer.run(progress=False)
        if world.is_first:
            moved = {name: p.detach() - start[name] for name, p in parameters(trainer)}
            result = {"gradients": gradients, "moved": moved, "ada": (trainer.ada.p, trainer.ada.r_t)}
            result |= {"pl": float(trainer.path_length.mean), "last": trainer.last, "ranks": world.size}
            torch.save(result, out / "result.pt")


def parameters(trainer: Trainer):
    return [(f"{k}.{n}", p) for k, net in (("G", trainer.g), ("D", trainer.d)) for n, p in net.named_parameters()]


def spy(trainer: Trainer, gradients: list[torch.Tensor], average) -> None:
    """Keep the gradients of every update of an iteration, after they were averaged."""

    class Watching(type(trainer.world)):
        def average_gradients(self, parameters) -> None:
            parameters = list(parameters)
            average(parameters)
            gradients.append(torch.cat([p.grad.flatten().clone() for p in parameters if p.grad is not None]))

    trainer.world = Watching(trainer.world.rank, trainer.world.size)


if __name__ == "__main__":
    run(Path(sys.argv[1]), int(sys.argv[2]), int((sys.argv[3:] or [1])[0]), "die" in sys.argv)
