"""Training without ADA as three recorded CUDA graphs: what it gains, and how the shipped source was finished.

    python -m benchmarks.cuda_graphs --seconds 20                            # images per second, plain and recorded
    python -m benchmarks.cuda_graphs --seconds 90 --out photo_graphed.pt     # and go on training the source

Networks as small as ours keep a fast GPU waiting for Python: an iteration launches some 1,300 kernels of a few
microseconds each. A CUDA graph launches all of them at once. Everything random is drawn on the device, so that a graph
draws anew at every replay. It can record only what never looks at its data on the way: adaptive augmentation, which
moves some images and not others, is out, and with it fine-tuning on few images.

Without a GPU the steps run one after the other as they are, which is how the tests check them.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from stylegan2 import checkpoints, losses
from stylegan2.config import TrainConfig
from stylegan2.iteration import lazy_adam
from stylegan2.networks import Discriminator, Generator
from stylegan2.pocket import world
from stylegan2.pocket.recipe import Recipe, large_config
from stylegan2.runtime import pick_device, pick_dtype

WARM_UP = 3  # passes before recording, in which PyTorch allocates and chooses algorithms


class GraphedTraining:
    """The iteration of `Trainer` with reused fakes and without augmentation, in three steps without decisions.

    Args:
        config: `batch`, `lr`, `r1_gamma`, intervals and the half-life of the average count; the rest is not used.
        g, d, g_ema: trained in place.
        faces: uint8 [N, 3, R, R] on the device.
    """

    def __init__(self, config: TrainConfig, g: Generator, d: Discriminator, g_ema: Generator, faces: Tensor):
        self.config, self.g, self.d, self.g_ema, self.faces = config, g, d, g_ema, faces
        self.device, self.iteration = faces.device, 0
        g.synthesis.compute_dtype = d.compute_dtype = pick_dtype(config.precision, self.device)
        self.g_optimiser = lazy_adam(list(g.parameters()), config.lr, config.pl_interval)
        self.d_optimiser = lazy_adam(list(d.parameters()), config.lr, config.r1_interval)
        for optimiser in (self.g_optimiser, self.d_optimiser):
            optimiser.param_groups[0]["capturable"] = self.device.type == "cuda"
        self.mean_length = torch.zeros((), device=self.device)
        self.told = {name: torch.zeros((), device=self.device) for name in ("loss_d", "loss_g", "r1", "path_length")}
        self.steps: dict[str, Callable[[], None]] = {"main": self._main, "r1": self._r1, "path": self._path_length}

    def _real(self) -> Tensor:
        index = torch.randint(len(self.faces), (self.config.batch,), device=self.device)
        images = self.faces[index].float().div_(127.5).sub_(1)
        mirrored = torch.rand(self.config.batch, 1, 1, 1, device=self.device) < 0.5
        return torch.where(mirrored, images.flip(3), images)

    def _fakes(self, n: int) -> tuple[Tensor, Tensor]:
        z = torch.randn(2, n, self.g.z_dim, device=self.device)
        crossover = torch.randint(1, self.g.num_ws, (), device=self.device)
        mix = torch.rand((), device=self.device) < self.config.style_mixing
        second = (torch.arange(self.g.num_ws, device=self.device) >= crossover) & mix  # [L]
        ws = torch.where(second[:, None], self.g.mapping(z[1]), self.g.mapping(z[0]))
        return self.g.synthesis(ws, "random"), ws

    def _main(self) -> None:
        real, (fake, _) = self._real(), self._fakes(self.config.batch)
        logits = self.d(torch.cat([real, fake.detach()]), batches=2)
        self._update(self.d_optimiser, losses.discriminator_loss(*logits.chunk(2)), "loss_d")
        self.d.requires_grad_(False)
        self._update(self.g_optimiser, losses.generator_loss(self.d(fake)), "loss_g")
        self.d.requires_grad_(True)
        half_life = self.config.ema_half_life(self.config.images)
        losses.update_average(self.g_ema, self.g, 0.5 ** (self.config.batch / half_life))

    def _r1(self) -> None:
        weight = self.config.r1_weight(self.g.resolution) / 2 * self.config.r1_interval
        self._update(self.d_optimiser, losses.r1_penalty(self.d, self._real()), "r1", weight)

    def _path_length(self) -> None:
        fake, ws = self._fakes(max(1, self.config.batch // self.config.pl_batch_shrink))
        lengths = losses.path_lengths(fake, ws, torch.randn_like(fake))
        self.mean_length.lerp_(lengths.detach().mean(), self.config.pl_decay)
        penalty = (lengths - self.mean_length.clone()).square().mean()
        self._update(self.g_optimiser, penalty, "path_length", self.config.pl_weight * self.config.pl_interval)

    def _update(self, optimiser: torch.optim.Optimizer, loss: Tensor, name: str, weight: float = 1.0) -> None:
        optimiser.zero_grad(set_to_none=True)
        (loss * weight).backward()
        optimiser.step()
        self.told[name].copy_(loss.detach())

    def record(self) -> None:
        """Replace the three steps by replays of their recordings. Needs CUDA."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                for step in self.steps.values():
                    step()
        torch.cuda.current_stream().wait_stream(stream)
        pool = torch.cuda.graph_pool_handle()
        for name, step in self.steps.items():
            for optimiser in (self.g_optimiser, self.d_optimiser):
                optimiser.zero_grad(set_to_none=True)  # gradients must come from the graph's own memory
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=pool, stream=stream):
                step()
            self.steps[name] = graph.replay

    def step(self) -> None:
        """One iteration; R1 and path length at their intervals."""
        self.steps["main"]()
        if self.iteration % self.config.r1_interval == 0:
            self.steps["r1"]()
        if self.iteration % self.config.pl_interval == 0:
            self.steps["path"]()
        self.iteration += 1

    def run(self, seconds: float) -> float:
        """Train for a while; images per second."""
        begin, first = time.perf_counter(), self.iteration
        while time.perf_counter() - begin < seconds:
            self.step()
            if self.device.type == "cuda" and self.iteration % 50 == 0:
                torch.cuda.synchronize()  # else replays queue up far ahead of the clock
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return (self.iteration - first) * self.config.batch / (time.perf_counter() - begin)


def start(device: torch.device, faces: int, source: Path) -> GraphedTraining:
    """The source's last run (`recipe.large_config`), from a model."""
    model = checkpoints.load(source, device)
    rendered = torch.as_tensor(world.render(world.sample("photo", faces), "photo", model.g_ema.resolution))
    g = model.g or copy.deepcopy(model.g_ema).requires_grad_(True)
    return GraphedTraining(large_config(Recipe()), g, model.d, model.g_ema, rendered.to(device))


def main(arguments: Sequence[str] | None = None) -> None:
    """Time both ways; save what was trained if wanted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20, help="training time of each way (default: 20)")
    parser.add_argument("--faces", type=int, default=30_000, help="rendered photos to train on (default: 30,000)")
    parser.add_argument("--source", type=Path, default=Path("checkpoints/pocket/photo.pt"), help="model to go on from")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, ...")
    parser.add_argument("--out", type=Path, metavar="FILE.pt", help="save the trained source")
    options = parser.parse_args(arguments)
    device = pick_device(options.device)
    torch.manual_seed(0)
    training = start(device, options.faces, options.source)
    training.run(min(3.0, options.seconds))  # warm up
    print(f"as it is: {training.run(options.seconds):,.0f} images/s on {device}")
    if device.type == "cuda":
        training.record()
        print(f"recorded: {training.run(options.seconds):,.0f} images/s")
    if options.out:
        training.g_ema.mapping.update_mean()
        meta = {"images": training.iteration * training.config.batch, "from": str(options.source)}
        checkpoints.save(options.out, g_ema=training.g_ema, g=training.g, d=training.d, half=True, meta=meta)
        print(f"{training.iteration:,} iterations in {options.out}")


if __name__ == "__main__":
    main()
