"""Training of an in-domain encoder: image in, codes out, through a generator that stays as it is (arXiv 2004.00049).

What it learns from are images: half of them generated, whose codes are known, and half rendered, whose codes nobody
knows. Both must come back when their codes are drawn (equation 3 of the paper, with our perceptual distance in place
of VGG's), and the codes of the generated ones must be the right ones. Training on images is what makes it in-domain:
an encoder that has seen generated ones only gives codes that fit no real face.
"""

from __future__ import annotations

import math
import os
import time
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from stylegan2 import checkpoints, files
from stylegan2.editing.perceptual import psnr
from stylegan2.networks import Encoder, Generator
from stylegan2.pocket import world
from stylegan2.pocket.nets.judge import read_dict
from stylegan2.pocket.nets.perceptual import JudgeDistance
from stylegan2.runtime import pick_device, pick_dtype
from stylegan2.setting_types import check_seed

FORMAT = "stylegan2 encoder, in training"
FACES_SEED = 720_000  # a sequence of faces that no data set, no judge and no evaluation draws from
EVALUATION_SEED = 820_000
NO_EFFECT = ("save_every",)  # settings that may change when a training goes on
WIDTHS = {64: 32, 32: 64, 16: 96, 8: 128, 4: 32}  # narrow at the end: the last filter has w_dim times codes rows


@dataclass(frozen=True)
class EncoderConfig:
    """How an encoder is trained.

    Raises:
        ValueError: for numbers that cannot work.
    """

    images: int = 200_000  # shown in all: an hour on one core, minutes on a GPU
    batch: int = 16  # half generated, half rendered
    faces: int = 12_000  # rendered photos to learn from, seen in a mirror half of the time
    psi: float = 0.9  # of the generated ones: the codes it gives lie about as far from the mean
    pixels: float = 1.0  # weights: of the mean squared difference of pixels
    looks: float = 0.5  # of the perceptual distance
    codes: float = 0.1  # of the mean squared difference of codes, for generated images
    lr: float = 3e-3  # at its highest, after a warm-up; falls to 0 along a cosine
    seed: int = 0
    save_every: int = 10_000  # images between two states to continue from

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if self.images < self.batch or self.batch < 2 or self.batch % 2:
            raise ValueError(f"expected images >= batch >= 2, batch even, got {self.images}, {self.batch}")
        if min(self.faces, self.save_every) < 1 or min(self.pixels, self.looks, self.codes) < 0 or self.lr <= 0:
            raise ValueError("faces, save_every and lr must be positive, weights not negative")

    @property
    def steps(self) -> int:
        return self.images // self.batch


def learning_rate(config: EncoderConfig, step: int) -> float:
    """Linear up over the first fiftieth of the run, then half a cosine down to 0."""
    t = (step + 1) / config.steps
    return config.lr * min(t / 0.02, 0.5 + 0.5 * math.cos(math.pi * t))


class _Run:
    """Encoder, optimiser and place in the schedule: what is saved and continued."""

    def __init__(self, config: EncoderConfig, g: Generator, looks: JudgeDistance, device: torch.device):
        self.config, self.device, self.step = config, device, 0
        self.g, self.looks = deepcopy(g).to(device).eval().requires_grad_(False), looks.to(device)
        self.dtype = pick_dtype("auto", device)
        self.g.synthesis.compute_dtype = self.dtype
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)  # initial weights only
            self.encoder = Encoder(g.resolution, g.num_ws, g.w_dim, _widths(g.resolution)).to(device)
        self.encoder.compute_dtype = self.dtype
        self.optimiser = torch.optim.Adam(self.encoder.parameters(), config.lr, betas=(0.9, 0.99))

    def save(self, path: Path) -> None:
        state = {"encoder": self.encoder.state_dict(), "optimiser": self.optimiser.state_dict()}
        files.write(path, {"format": FORMAT, **state, "step": self.step, "settings": self.settings})

    @property
    def settings(self) -> dict:
        settings = {name: value for name, value in vars(self.config).items() if name not in NO_EFFECT}
        return {**settings, "renderer": world.VERSION, "generator": checkpoints.fingerprint(self.g)}

    def resume(self, path: Path) -> None:
        """Go on where a run with the same settings stopped; a file of other settings is passed over."""
        content = read_dict(path, FORMAT)
        if content["settings"] != self.settings:
            return
        self.encoder.load_state_dict(content["encoder"])
        self.optimiser.load_state_dict(content["optimiser"])
        self.step = content["step"]

    def batch(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        """Images [B, 3, R, R], generated ones first, and the codes of those [B/2, L, w_dim], by (seed, step)."""
        half = self.config.batch // 2
        rng = torch.Generator().manual_seed((self.config.seed * 1_000_003 + self.step) % 2**63)
        z = torch.randn(half, self.g.z_dim, generator=rng).to(self.device)
        chosen, flip = torch.randint(len(faces), (half,), generator=rng), torch.rand(half, generator=rng) < 0.5
        real = faces[chosen].to(self.device).float().div_(127.5).sub_(1)
        real = torch.where(flip.to(self.device)[:, None, None, None], real.flip(3), real)
        with torch.no_grad():
            ws = self.g.mapping(z, self.config.psi)
            return torch.cat([self.g.synthesis(ws, "const").clamp(-1, 1), real]), ws

    def train_step(self, faces: Tensor) -> dict[str, float]:
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.config, self.step)
        images, ws = self.batch(faces)
        parts = self.losses(images, ws)
        self.optimiser.zero_grad(set_to_none=True)
        torch.stack(list(parts.values())).sum().backward()
        nn.utils.clip_grad_norm_(self.encoder.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        return {name: float(value.detach()) for name, value in parts.items()}

    def losses(self, images: Tensor, ws: Tensor) -> dict[str, Tensor]:
        """The weighted parts of the loss."""
        found = self.encoder(images)
        drawn = self.g.synthesis(found, "const")
        with torch.autocast(self.device.type, self.dtype, self.dtype == torch.bfloat16):
            with torch.no_grad():
                target = self.looks.of(images)
            looks = self.looks(drawn, target).mean()
        return {
            "pixels": self.config.pixels * (drawn - images).square().mean(),
            "looks": self.config.looks * looks,
            "codes": self.config.codes * (found[: len(ws)] - ws).square().mean(),
        }


def _widths(resolution: int) -> dict[int, int]:
    """Channels by resolution: `WIDTHS`, and those of 64 above."""
    return {4 << k: WIDTHS.get(4 << k, WIDTHS[64]) for k in range(resolution.bit_length() - 2)}


def train_encoder(
    path: str | os.PathLike,
    g: Generator,
    looks: JudgeDistance,
    config: EncoderConfig | None = None,
    device: str = "auto",
    scratch: str | os.PathLike = "build/pocket",
    progress: bool = True,
) -> Encoder:
    """Train an encoder for a generator, save it at `path` and what it can beside it as `.json`; goes on after a stop.

    Args:
        path: where the weights go, usually checkpoints/pocket/encoder.pt.
        g: the generator whose codes it shall give; stays as it is.
        looks: perceptual distance.
        config: lengths and weights.
        device: "auto", "cpu" or "cuda".
        scratch: folder for the state of an unfinished training.
        progress: a bar.
    """
    config, path, where = config or EncoderConfig(), Path(path), pick_device(device)
    started, run, state = time.perf_counter(), _Run(config, g, looks, where), Path(scratch) / f"{path.stem}_training.pt"
    if state.is_file():
        run.resume(state)
    faces = world.render(world.sample("photo", config.faces, seed=FACES_SEED), "photo", g.resolution)
    _train(run, faces, state, progress)
    minutes = round((time.perf_counter() - started) / 60, 1)
    meta = {**run.settings, "minutes": minutes}
    checkpoints.save_encoder(path, run.encoder, meta, half=True)
    encoder = checkpoints.load_encoder(path, where).encoder
    files.write_json(path.with_suffix(".json"), {"training": meta, "psnr": measure(encoder, run.g, config.psi)})
    state.unlink(missing_ok=True)
    return encoder


def _train(run: _Run, faces: Tensor, state: Path, progress: bool) -> None:
    from tqdm.auto import tqdm

    config, recent = run.config, {}
    every, total = max(1, config.save_every // config.batch), config.steps * config.batch
    with tqdm(total=total, initial=run.step * config.batch, unit="img", disable=not progress, mininterval=5) as bar:
        while run.step < config.steps:
            for name, value in run.train_step(faces).items():
                recent[name] = recent.get(name, value) * 0.98 + value * 0.02
            bar.update(config.batch)
            if run.step % 50 == 0:
                bar.set_postfix({name: f"{value:.4f}" for name, value in recent.items()}, refresh=False)
            if run.step % every == 0 and run.step < config.steps:
                run.save(state)


@torch.no_grad()
def measure(encoder: Encoder, g: Generator, psi: float, count: int = 100) -> dict[str, float]:
    """Median PSNR in dB of images drawn from their codes, on faces it never saw: {"generated", "rendered"}."""
    where, rng = g.mapping.w_mean.device, torch.Generator().manual_seed(EVALUATION_SEED)
    z = torch.randn(count, g.z_dim, generator=rng).to(where)
    rendered = world.render(world.sample("photo", count, seed=EVALUATION_SEED), "photo", g.resolution)
    sets = {
        "generated": g.synthesis(g.mapping(z, psi), "const").clamp(-1, 1),
        "rendered": rendered.to(where).float().div(127.5).sub(1),
    }
    return {name: float(psnr(g.synthesis(encoder(x), "const"), x).median()) for name, x in sets.items()}
