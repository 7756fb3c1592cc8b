"""What one repetition of each workload does, for any contestant: functions (contestant, scratch folder) -> Job."""

from __future__ import annotations

import io
import os
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from benchmarks import photos
from benchmarks.ours import Ours, Schedule
from benchmarks.worker import ROOT
from stylegan2 import display, networks
from stylegan2.panels.panel import LIVE_QUALITY
from stylegan2.pocket import world


@dataclass
class Job:
    """run: one repetition. warm_up: once before, by default a repetition. output: what is compared, if anything."""

    run: Callable[[], object]
    output: Callable[[], Tensor | None] = lambda: None
    warm_up: Callable[[], object] | None = None

    def __post_init__(self):
        self.warm_up = self.warm_up or self.run


def _networks(resolution: int, preset: str) -> tuple[networks.Generator, networks.Discriminator]:
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


# --------------------------------------------------------------------------------------------------------- generators


def generate(resolution: int, preset: str, batch: int) -> Callable[[Ours, Path], Job]:
    def make(contestant: Ours, scratch: Path) -> Job:
        g, _ = _networks(resolution, preset)
        z = _z(batch, g.z_dim).to(contestant.device)
        draw = contestant.generator(g).from_z

        @torch.no_grad()
        def run() -> Tensor:
            return draw(z)

        return Job(run, output=run)

    return make


SLIDES = 10  # slider events per repetition
SLIDER_SIDE = 384  # pixels, as the panels show it


def slide(contestant: Ours, scratch: Path) -> Job:
    """One w after the other to the bytes of a JPEG: ours as a panel does it, others by Pillow at the same quality."""
    g, _ = _networks(64, "pocket")
    scale = SLIDER_SIDE // g.resolution
    ws = g.mapping(_z(SLIDES, g.z_dim)).detach().to(contestant.device)
    draw = contestant.generator(g).from_ws
    encode = _encode_as_panel if type(contestant) is Ours else _encode_by_pillow

    @torch.no_grad()
    def run() -> list[bytes]:
        return [encode(draw(w[None])[0], scale) for w in ws]

    def output() -> Tensor:
        with torch.no_grad():
            return draw(ws[:1])

    return Job(run, output)


def _encode_as_panel(image: Tensor, scale: int) -> bytes:
    return display.jpeg_bytes(display.to_pil(image, scale), LIVE_QUALITY)


def _encode_by_pillow(image: Tensor, scale: int) -> bytes:
    pixels = (image.permute(1, 2, 0) * 127.5 + 128).clamp(0, 255).to(torch.uint8).cpu().numpy()
    picture, buffer = Image.fromarray(pixels), io.BytesIO()
    large = picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.BICUBIC)
    large.save(buffer, "JPEG", quality=LIVE_QUALITY)
    return buffer.getvalue()


def optimise_latent(contestant: Ours, scratch: Path) -> Job:
    """W+ towards a fixed picture, as projection and StyleCLIP do it, without the cost of their losses' networks."""
    g, _ = _networks(256, "config-f")
    ws = g.mapping(_z(1, g.z_dim)).detach().clone().to(contestant.device)  # [1, 14, 512]
    target = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(3)).to(contestant.device) * 2 - 1
    draw = contestant.generator(g).from_ws
    latent = ws.clone().requires_grad_(True)
    optimiser = torch.optim.Adam([latent], lr=0.01)

    def run() -> None:
        loss = F.mse_loss(draw(latent), target)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()

    def output() -> Tensor:
        """The gradient at the start."""
        start = ws.clone().requires_grad_(True)
        return torch.autograd.grad(F.mse_loss(draw(start), target), start)[0]

    return Job(run, output)


# ----------------------------------------------------------------------------------------------------------- training

ITERATIONS = 16  # one round of the lazy regularisers: R1 once, path length four times


def train(resolution: int, preset: str, batch: int) -> Callable[[Ours, Path], Job]:
    def make(contestant: Ours, scratch: Path) -> Job:
        g, d = _networks(resolution, preset)
        real = world.render(world.sample("webtoon", batch), "webtoon")
        if resolution != real.shape[-1]:
            real = F.interpolate(real.float(), size=resolution, mode="bilinear").round().to(torch.uint8)
        run = contestant.trainer(g, d, real, Schedule(r1_gamma=2e-4 * resolution**2 / batch))
        return Job(lambda: run(ITERATIONS), warm_up=lambda: run(1))

    return make


# --------------------------------------------------------------------------------------------------------------- data

SIZES, WORKERS, READS = (128, 256), 2, 256


def prepare(contestant: Ours, scratch: Path) -> Job:
    out = photos.fresh_folders(Path.cwd())

    def run() -> None:
        contestant.prepare(photos.folder(scratch), next(out), SIZES, WORKERS)

    return Job(run, output=lambda: photos.lightness(photos.newest(Path.cwd()), 256))


def read(contestant: Ours, scratch: Path) -> Job:
    """Random reads of the LMDB that we prepared (the layout is the same), to float batches of 16."""
    read, count = contestant.reader(photos.lmdb(scratch, SIZES), SIZES[-1]), photos.count(scratch)
    rng = random.Random(0)

    def run() -> None:
        for _ in range(READS // 16):
            read([rng.randrange(count) for _ in range(16)])

    return Job(run, output=lambda: read(list(range(16))))


FIRST_IMAGE = """
from stylegan2 import checkpoints, display
from stylegan2.editing import latents
g = checkpoints.load({checkpoint!r}, "cpu").g_ema
display.save(display.to_pil(latents.draw(g, latents.ws_from_seeds(g, [0]))[0]), "first.png")
"""


def first_image(contestant: Ours, scratch: Path) -> Job:
    """A fresh Python: import, load the shipped checkpoint, save one image."""
    code = FIRST_IMAGE.format(checkpoint=str(ROOT / "checkpoints" / "pocket" / "photo.pt"))
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | {"PYTHONPATH": str(ROOT)}
    return Job(lambda: subprocess.run([sys.executable, "-c", code], check=True, env=environment))
