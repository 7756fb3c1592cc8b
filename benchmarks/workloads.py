"""The rows of `compare`'s table, what one repetition of each does, and our own package as a contestant."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from stylegan2 import display, networks
from stylegan2.config import TrainConfig
from stylegan2.networks import Discriminator, Generator
from stylegan2.panels.panel import LIVE_QUALITY, jpeg_bytes
from stylegan2.pocket import world
from stylegan2.runtime import pick_dtype
from stylegan2.trainer import Trainer

CPU = torch.device("cpu")
SLIDES = 10  # slider events per repetition
SLIDER_SIDE = 384  # pixels, as the panels show it
BATCH = 16  # images of a training's iteration
ITERATIONS = 16  # one round of the lazy regularisers: R1 once, path length four times


class Render(NamedTuple):
    """The two ways into a generator, both with the fixed noise."""

    from_z: Callable[[Tensor], Tensor]  # [N, z_dim] -> [N, 3, R, R]
    from_ws: Callable[[Tensor], Tensor]  # [N, L, w_dim] -> [N, 3, R, R]


class Ours:
    """This package; precision "float32", or "mixed": the best type that the machine has in hardware.

    Its methods are the interface that `peers.py` gives to other implementations.
    """

    def __init__(self, precision: str = "float32"):
        self.precision = "float32" if precision == "float32" else "auto"

    def generator(self, g: Generator) -> Render:
        """`g` itself, ready to render."""
        g.eval().requires_grad_(False).synthesis.compute_dtype = pick_dtype(self.precision, CPU)
        return Render(lambda z: g(z, noise="const"), lambda ws: g.synthesis(ws, "const"))

    def trainer(self, g: Generator, d: Discriminator, real: Tensor, config: TrainConfig) -> Callable[[int], None]:
        """A function that trains for some iterations on the same batch of uint8 images [N, 3, R, R]."""
        trainer = Trainer(replace(config, precision=self.precision), real, g, d, device=CPU)

        def run(iterations: int) -> None:
            for _ in range(iterations):
                trainer.train_step(real)

        return run


@dataclass
class Job:
    """run: one repetition. output: what is compared, if anything."""

    run: Callable[[], object]
    output: Callable[[], Tensor | None] = lambda: None


@dataclass(frozen=True)
class Workload:
    """A row of the table; make: contestant -> Job, amount: of `unit` per repetition."""

    name: str
    what: str
    make: Callable[[Ours], Job]
    unit: str  # "s/image", "ms", "s/step": less is better; "images/s": more is better
    amount: float = 1.0
    peers: tuple[str, ...] = ("nvidia", "rosinality", "cartoon")

    def value(self, seconds: float) -> float:
        """Seconds of a repetition in `unit`."""
        per_unit = seconds / self.amount
        return 1 / per_unit if self.unit.endswith("/s") else 1000 * per_unit if self.unit == "ms" else per_unit


def _networks(resolution: int, preset: str) -> tuple[Generator, Discriminator]:
    """The same for every contestant. Biases and noise are zero at the start of a training: here they are not."""
    g, d = networks.build(resolution, preset)
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, p in g.named_parameters():
            if name.endswith(("bias", "noise_strength")):
                p += 0.1 * torch.randn(p.shape, generator=rng)
    return g, d


def _z(n: int, z_dim: int) -> Tensor:
    return torch.randn(n, z_dim, generator=torch.Generator().manual_seed(2))


def generate(resolution: int, preset: str, batch: int) -> Callable[[Ours], Job]:
    def make(contestant: Ours) -> Job:
        g, _ = _networks(resolution, preset)
        z = _z(batch, g.z_dim)
        render = torch.no_grad()(contestant.generator(g).from_z)
        return Job(lambda: render(z), output=lambda: render(z))

    return make


def slide(contestant: Ours) -> Job:
    """One w after the other to the bytes of a JPEG, at the panels' quality."""
    g, _ = _networks(64, "pocket")
    scale = SLIDER_SIDE // g.resolution
    ws = g.mapping(_z(SLIDES, g.z_dim)).detach()
    render = torch.no_grad()(contestant.generator(g).from_ws)
    encode = lambda image: jpeg_bytes(display.to_pil(image, scale), LIVE_QUALITY)  # noqa: E731
    return Job(lambda: [encode(render(w[None])[0]) for w in ws], output=lambda: render(ws[:1]))


def optimise_latent(contestant: Ours) -> Job:
    """W+ towards a fixed picture, as projection and StyleCLIP do it, without the cost of their losses' networks."""
    g, _ = _networks(256, "config-f")
    ws = g.mapping(_z(1, g.z_dim)).detach()  # [1, 14, 512]
    target = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(3)) * 2 - 1
    render = contestant.generator(g).from_ws
    latent = ws.clone().requires_grad_(True)
    optimiser = torch.optim.Adam([latent], lr=0.01)

    def run() -> None:
        loss = F.mse_loss(render(latent), target)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()

    def gradient() -> Tensor:
        start = ws.clone().requires_grad_(True)
        return torch.autograd.grad(F.mse_loss(render(start), target), start)[0]

    return Job(run, output=gradient)


def train(contestant: Ours) -> Job:
    g, d = _networks(64, "pocket")
    real = world.render(world.sample("webtoon", BATCH), "webtoon", 64)
    config = TrainConfig(tempfile.gettempdir(), batch=BATCH, r1_gamma=0.0512, augment="fixed", augment_p=0.3)
    run = contestant.trainer(g, d, real, config)
    return Job(lambda: run(ITERATIONS))


ROWS = (
    Workload("generator-256-b4", "config-f 256 px, z to image, batch 4", generate(256, "config-f", 4), "s/image", 4),
    Workload("generator-256-b1", "config-f 256 px, z to image, batch 1", generate(256, "config-f", 1), "s/image"),
    Workload("slider-64-b1", "pocket slider, w to the bytes of a 384 px JPEG", slide, "ms", SLIDES),
    Workload("latent-step-256", "latent optimisation, config-f 256 px, W+", optimise_latent, "s/step"),
    Workload(
        "train-64-b16", "training, pocket 64 px, batch 16, ADA p = 0.3", train,
        unit="images/s", amount=BATCH * ITERATIONS, peers=("nvidia",),
    ),
)  # fmt: skip
WORKLOADS = {w.name: w for w in ROWS}
