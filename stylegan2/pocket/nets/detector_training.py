"""Training of the pocket face detector, on rendered webtoon pages whose faces are known.

Windows of pages are cut at random places and sizes, mirrored and tinted; the loss is CenterNet's (arXiv 1904.07850,
equations 1 to 4): a focal loss for the heat map, absolute differences for place and size.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from stylegan2.bars import bar
from stylegan2.collect.detectors import Detector, on_pages, overlap
from stylegan2.collect.face_detector import CELL, TYPICAL, FaceNet, load
from stylegan2.pocket.nets.fit import Fit, FitConfig, warm_cosine
from stylegan2.pocket.nets.judge import to_float
from stylegan2.pocket.world.pages import Page, make_page

WINDOW = 192  # pixels: a side of what the network learns from
EVALUATION_SEED = 1_000_000  # of pages that no training sees
HIT = 0.5  # least intersection over union of a box with the face that it finds


@dataclass(frozen=True)
class DetectorConfig(FitConfig):
    """How the detector is trained."""

    images: int = 24_000  # windows of pages, shown in all
    batch: int = 16
    pages: int = 240  # of four panels, rendered once
    lr: float = 3e-3  # at its highest; falls to 0 along a cosine
    held_out: int = 100  # pages to measure it on
    seed: int = 0


def cut_window(rng: random.Random, page: Page) -> tuple[Tensor, Tensor]:
    """A random square of a page: uint8 [3, WINDOW, WINDOW], and the boxes of all faces in its pixels, [N, 4]."""
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


def truth(boxes: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """What the maps should be, for boxes [N, 4] in pixels of the input.

    Returns:
        maps [4, h, w]: a bump of height 1 around every middle (equation 1 of the paper; its width grows with the face),
        and in the middles' cells place and size; bool [h, w]: those cells.
    """
    h, w = height // CELL, width // CELL
    maps, cells = torch.zeros(4, h, w), torch.zeros(h, w, dtype=torch.bool)
    rows, columns = torch.arange(h)[:, None] + 0.5, torch.arange(w)[None] + 0.5
    for x0, y0, x1, y1 in boxes.tolist():
        x, y, side = (x0 + x1) / 2 / CELL, (y0 + y1) / 2 / CELL, (x1 - x0 + y1 - y0) / 2
        if not (0 <= x < w and 0 <= y < h):
            continue
        i, j = int(y), int(x)
        sigma = max(0.5, side / CELL / 8)
        bump = torch.exp(-((columns - j - 0.5) ** 2 + (rows - i - 0.5) ** 2) / (2 * sigma**2))
        maps[0] = torch.maximum(maps[0], bump)
        maps[1, i, j], maps[2, i, j], maps[3, i, j] = x - j, y - i, math.log(side / TYPICAL)
        cells[i, j] = True
    return maps, cells


def loss_of(maps: Tensor, wanted: Tensor, cells: Tensor) -> dict[str, Tensor]:
    """The loss's parts, of maps [N, 4, h, w] and what `truth` wants: [N, 4, h, w] and bool [N, h, w]."""
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


class DetectorTraining(Fit):
    """A detector that learns where the faces of rendered pages are."""

    clip_norm = 5.0

    def __init__(self, config: DetectorConfig, device: torch.device | str):
        super().__init__(config, FaceNet, device)
        self.optimiser = torch.optim.Adam(self.model.parameters(), config.lr)
        self.schedule = warm_cosine(self.optimiser, config.steps, 0.05)

    @cached_property
    def pages(self) -> list[Page]:
        """The pages that it learns from."""
        first, count = self.config.seed * self.config.pages, self.config.pages
        return [make_page(seed) for seed in bar(range(first, first + count), "pages", "page")]

    def batch(self) -> tuple[Tensor, Tensor, Tensor]:
        """Windows float [B, 3, W, W], and the maps and cells they should give."""
        rng = random.Random(f"{self.config.seed} {self.step}")
        windows = [cut_window(rng, rng.choice(self.pages)) for _ in range(self.config.batch)]
        x = to_float(torch.stack([pixels for pixels, _ in windows]).to(self.device))
        bright, contrast = (torch.tensor([rng.uniform(-1, 1) for _ in windows])[:, None, None, None] for _ in range(2))
        x = x * (1 + 0.3 * contrast.to(self.device)) + 0.2 * bright.to(self.device)
        wanted = [truth(boxes, WINDOW, WINDOW) for _, boxes in windows]
        maps, cells = (torch.stack(part).to(self.device) for part in zip(*wanted, strict=True))
        return x, maps, cells

    def losses(self, x: Tensor, maps: Tensor, cells: Tensor) -> dict[str, Tensor]:
        return loss_of(self.model(x), maps, cells)

    def finish(self, path: Path, meta: dict) -> tuple[None, dict]:
        self.model.save(path, meta)
        unseen = [make_page(EVALUATION_SEED + i) for i in range(self.config.held_out)]
        return None, {"held out": evaluate(load(path), unseen)}


def evaluate(detector: Detector, pages: Sequence[Page]) -> dict[str, float]:
    """A detector on pages with known faces: {"pages", "faces", "recall", "precision"}.

    Recall: the share of faces with a box of their own that covers them (`HIT`); precision: of boxes that cover a face.
    """
    boxes = [[face.box for face in on_pages(detector, page.image)] for page in bar(pages, "detect", "page")]
    faces = sum(len(page.boxes) for page in pages)
    hits = sum(count_hits(found, page.boxes) for found, page in zip(boxes, pages, strict=True))
    return {
        "pages": len(pages),
        "faces": faces,
        "recall": round(hits / max(1, faces), 4),
        "precision": round(hits / max(1, sum(map(len, boxes))), 4),
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
