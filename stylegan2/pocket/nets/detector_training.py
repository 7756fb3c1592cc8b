"""Training of the pocket face detector, on rendered webtoon pages whose faces are known.

    python -m stylegan2 pocket detector

Windows of pages are cut at random places and sizes, mirrored and tinted; the loss is CenterNet's (arXiv 1904.07850,
equations 1 to 4): a focal loss for the heat map, absolute differences for place and size.
"""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from stylegan2 import files
from stylegan2.bars import bar
from stylegan2.collect.detectors import Detector, on_pages, overlap
from stylegan2.collect.face_detector import FaceNet, load, truth
from stylegan2.pocket import world
from stylegan2.pocket.nets.judge import read_dict
from stylegan2.pocket.world.pages import Strip, make_strip
from stylegan2.runtime import pick_device
from stylegan2.setting_types import check_seed

FORMAT = "stylegan2 face detector, in training"
WINDOW = 192  # pixels: a side of what the network learns from
EVALUATION_SEED = 1_000_000  # of pages that no training sees
HIT = 0.5  # intersection over union from which a box counts as found


@dataclass(frozen=True)
class DetectorConfig:
    """How the detector is trained.

    Raises:
        ValueError: for numbers that cannot work.
    """

    windows: int = 24_000  # shown in all
    batch: int = 16
    pages: int = 240  # of four panels, drawn once
    lr: float = 3e-3  # at its highest; falls to 0 along a cosine
    seed: int = 0
    save_every: int = 3_000  # windows between two states to continue from

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if self.windows < self.batch or min(self.batch, self.pages, self.save_every) < 1 or self.lr <= 0:
            raise ValueError(f"expected windows >= batch >= 1, pages, save_every and lr above 0, got {self}")

    @property
    def steps(self) -> int:
        return self.windows // self.batch


def cut_window(rng: random.Random, page: Strip) -> tuple[Tensor, Tensor]:
    """A random square of a page as the network sees it.

    Returns:
        uint8 [3, WINDOW, WINDOW], and the boxes of the faces in its pixels, [N, 4]. Faces whose middle lies outside are
        not among them, even if their rim is in sight.
    """
    width, height = page.image.size
    side = min(width * rng.uniform(0.5, 1.3), height)
    x, y = rng.uniform(min(0, width - side), max(0, width - side)), rng.uniform(0, height - side)
    square = (x, y, x + side, y + side)
    window = page.image.transform(
        (WINDOW, WINDOW), Image.Transform.EXTENT, square, Image.Resampling.BILINEAR, fillcolor="white"
    )
    pixels = torch.from_numpy(np.array(window)).permute(2, 0, 1)
    boxes = (torch.tensor(page.boxes).reshape(-1, 4) - torch.tensor([x, y, x, y])) * (WINDOW / side)
    if rng.random() < 0.5:
        pixels = pixels.flip(2)
        boxes = torch.stack([WINDOW - boxes[:, 2], boxes[:, 1], WINDOW - boxes[:, 0], boxes[:, 3]], dim=1)
    if rng.random() < 0.3:
        pixels = pixels[rng.sample(range(3), 3)]  # other colours of hair, skin and sky
    return pixels.contiguous(), boxes


def loss_of(maps: Tensor, wanted: Tensor, cells: Tensor) -> dict[str, Tensor]:
    """The three parts of the loss.

    Args:
        maps: of the network, [N, 4, h, w].
        wanted, cells: of `face_detector.truth`, [N, 4, h, w] and bool [N, h, w].
    """
    heat, count = maps[:, 0], cells.sum().clamp_min(1)
    log_p, log_not_p = F.logsigmoid(heat), F.logsigmoid(-heat)
    p = heat.sigmoid()
    here = -(((1 - p) ** 2) * log_p)[cells].sum()
    elsewhere = -((1 - wanted[:, 0]) ** 4 * p**2 * log_not_p)[~cells].sum()
    differences = (maps[:, 1:] - wanted[:, 1:]).abs().permute(0, 2, 3, 1)[cells]  # [faces, 3]
    return {
        "heat": (here + elsewhere) / count,
        "place": differences[:, :2].sum() / count,
        "size": differences[:, 2].sum() / count,
    }


class _Run:
    """Network, optimiser and place in the schedule: what is saved and continued."""

    def __init__(self, config: DetectorConfig, device: torch.device):
        self.config, self.device, self.step = config, device, 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.network = FaceNet().to(device)
        self.optimiser = torch.optim.Adam(self.network.parameters(), config.lr)

    @property
    def settings(self) -> dict:
        settings = {name: value for name, value in vars(self.config).items() if name != "save_every"}
        return settings | {"renderer": world.VERSION}

    def save(self, path: Path) -> None:
        state = {"network": self.network.state_dict(), "optimiser": self.optimiser.state_dict()}
        files.write(path, {"format": FORMAT, **state, "step": self.step, "settings": self.settings})

    def resume(self, path: Path) -> None:
        """Go on where a run with the same settings stopped; a file of other settings is passed over."""
        content = read_dict(path, FORMAT)
        if content["settings"] == self.settings:
            self.network.load_state_dict(content["network"])
            self.optimiser.load_state_dict(content["optimiser"])
            self.step = content["step"]

    def batch(self, pages: Sequence[Strip]) -> tuple[Tensor, Tensor, Tensor]:
        """Windows float [B, 3, W, W], the maps and cells they should give; by (seed, step)."""
        rng = random.Random(f"{self.config.seed} {self.step}")
        windows = [cut_window(rng, rng.choice(pages)) for _ in range(self.config.batch)]
        x = torch.stack([pixels for pixels, _ in windows]).to(self.device).float().div_(127.5).sub_(1)
        bright, contrast = (torch.tensor([rng.uniform(-1, 1) for _ in windows])[:, None, None, None] for _ in range(2))
        x = x * (1 + 0.3 * contrast.to(self.device)) + 0.2 * bright.to(self.device)
        wanted = [truth(boxes, WINDOW, WINDOW) for _, boxes in windows]
        maps, cells = (torch.stack(part).to(self.device) for part in zip(*wanted, strict=True))
        return x, maps, cells

    def train_step(self, pages: Sequence[Strip]) -> dict[str, float]:
        t = (self.step + 1) / self.config.steps
        for group in self.optimiser.param_groups:
            group["lr"] = self.config.lr * min(t / 0.05, 0.5 + 0.5 * math.cos(math.pi * t))
        x, maps, cells = self.batch(pages)
        parts = loss_of(self.network(x), maps, cells)
        self.optimiser.zero_grad(set_to_none=True)
        torch.stack(list(parts.values())).sum().backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimiser.step()
        self.step += 1
        return {name: float(value.detach()) for name, value in parts.items()}


def train_detector(
    path: str | os.PathLike,
    config: DetectorConfig | None = None,
    device: str = "auto",
    scratch: str | os.PathLike = "build/pocket",
    held_out: int = 100,
    progress: bool = True,
) -> None:
    """Train a detector, save it at `path` and what it finds beside it as `.json`; goes on after a stop.

    Args:
        path: where the weights go, usually checkpoints/pocket/detector.pt.
        config: lengths.
        device: "auto", "cpu" or "cuda".
        scratch: folder for the state of an unfinished training.
        held_out: pages to measure it on.
        progress: bars.
    """
    from tqdm.auto import tqdm

    config, path, started = config or DetectorConfig(), Path(path), time.perf_counter()
    run, state = _Run(config, pick_device(device)), Path(scratch) / f"{path.stem}_training.pt"
    if state.is_file():
        run.resume(state)
    seeds = range(config.seed * config.pages, (config.seed + 1) * config.pages)
    pages = [make_strip(seed) for seed in tqdm(seeds, desc="pages", unit="page", disable=not progress)]
    every, recent = max(1, config.save_every // config.batch), {}
    with tqdm(total=config.steps, initial=run.step, unit="step", disable=not progress, mininterval=5) as bar:
        while run.step < config.steps:
            for name, value in run.train_step(pages).items():
                recent[name] = recent.get(name, value) * 0.98 + value * 0.02
            bar.update()
            if run.step % 20 == 0:
                bar.set_postfix({name: f"{value:.3f}" for name, value in recent.items()}, refresh=False)
            if run.step % every == 0 and run.step < config.steps:
                run.save(state)
    meta = {**run.settings, "minutes": round((time.perf_counter() - started) / 60, 1)}
    run.network.save(path, meta)
    unseen = [make_strip(EVALUATION_SEED + i) for i in range(held_out)]
    files.write_json(path.with_suffix(".json"), {"training": meta, "held out": evaluate(load(path), unseen)})
    state.unlink(missing_ok=True)


def evaluate(detector: Detector, pages: Sequence[Strip]) -> dict[str, float]:
    """What a detector finds on pages with known faces.

    Returns:
        {"pages", "faces", "recall" (faces that a box of its own covers, `HIT`), "precision" (boxes that cover a face),
        "pages_per_second"}.
    """
    started, found = time.perf_counter(), []
    for page in bar(pages, "detect", "page"):
        found.append([face.box for face in on_pages(detector, page.image)])
    seconds = time.perf_counter() - started
    hits = sum(count_hits(boxes, page.boxes) for boxes, page in zip(found, pages, strict=True))
    return {
        "pages": len(pages),
        "faces": sum(len(page.boxes) for page in pages),
        "recall": round(hits / max(1, sum(len(page.boxes) for page in pages)), 4),
        "precision": round(hits / max(1, sum(map(len, found))), 4),
        "pages_per_second": round(len(pages) / seconds, 1),
    }


def count_hits(found: Sequence[Sequence[float]], known: Sequence[Sequence[float]]) -> int:
    """Pairs of a found and a known box that cover each other, each box in one pair at most, the best pairs first."""
    pairs = [(overlap(a, b), i, j) for i, a in enumerate(found) for j, b in enumerate(known)]
    taken: tuple[set[int], set[int]] = (set(), set())
    for score, i, j in sorted(pairs, reverse=True):
        if score >= HIT and i not in taken[0] and j not in taken[1]:
            taken[0].add(i)
            taken[1].add(j)
    return len(taken[0])
