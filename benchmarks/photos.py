"""Made-up photos for the workloads on data: a folder of JPEG files in class folders, and the LMDB made of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import stylegan2.pocket.source  # noqa: F401  (rendered sets can be named as sources)
from stylegan2.data.dataset import LMDBDataset
from stylegan2.data.prepare import prepare

COUNT, QUICK_COUNT, SIDE, CLASSES = 600, 100, 512, 2


def folder(scratch: Path) -> Path:
    """Where the photos lie: one folder per class, since the original script takes no others."""
    return scratch / "photos"


def write(scratch: Path, count: int = COUNT, side: int = SIDE) -> None:
    """Write the photos, once: smooth colours with shapes at every scale and some grain, about 100 kB each."""
    rng = np.random.default_rng(0)
    grain = rng.normal(0, 6, (side, side, 3))
    for k in range(count):
        layers = [rng.normal(128, 60 / 2**i, (n, n, 3)) for i, n in enumerate((4, 16, 64))]
        large = [_enlarge(layer, side) for layer in layers]
        pixels = sum(large) - 256 + np.roll(grain, k * 7, axis=(0, 1))
        path = folder(scratch) / f"class{k % CLASSES}" / f"{k:04d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=90)


def _enlarge(layer: np.ndarray, side: int) -> np.ndarray:
    picture = Image.fromarray(layer.clip(0, 255).astype(np.uint8))
    return np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC)).astype(np.float32)


def count(scratch: Path) -> int:
    """Number of photos."""
    return sum(1 for _ in folder(scratch).rglob("*.jpg"))


def lmdb(scratch: Path, sizes: tuple[int, ...]) -> Path:
    """The LMDB of all photos, prepared by whoever asks first."""
    out = scratch / "photos.lmdb"
    prepare(folder(scratch), out, sizes, workers=0, progress=False)  # at once where it is complete
    return out


def fresh_folders(parent: Path) -> Iterator[Path]:
    """A new place for every repetition; what the one before wrote is removed first."""
    number = 0
    while True:
        out = parent / f"out-{number}"
        yield out
        shutil.rmtree(parent / f"out-{number - 1}", ignore_errors=True)
        number += 1


def newest(parent: Path) -> Path:
    """What the last repetition wrote."""
    return max(parent.glob("out-*"), key=lambda path: int(path.name[4:]))


def lightness(path: Path, resolution: int, images: int = 16) -> torch.Tensor:
    """Grey values of the first images, to compare two LMDBs: colour may be stored at half resolution."""
    dataset = LMDBDataset(path, resolution)
    pixels = torch.stack([dataset[i] for i in range(min(images, len(dataset)))]).float()
    return torch.tensordot(torch.tensor([0.299, 0.587, 0.114]), pixels, dims=([0], [1]))
