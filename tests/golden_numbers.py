"""The weights behind the golden numbers (tests/golden), and how near to these ours must be."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import torch

GOLDEN = Path(__file__).parent / "golden"


def make_weights(shapes: dict[str, list[int]]) -> dict[str, torch.Tensor]:
    """The weights behind the golden numbers: every entry is drawn from a seed that its name gives, then scaled."""
    return {name: draw(name, shape) for name, shape in shapes.items() if not name.endswith(".kernel")}


def draw(name: str, shape: list[int]) -> torch.Tensor:
    """One entry, by its name in the reference's own state dict."""
    rng = np.random.RandomState(zlib.crc32(name.encode()))
    r = torch.from_numpy(np.asarray(rng.standard_normal(shape), np.float32))
    if name.endswith(("noise.weight", "noise_strength", "bias")):
        r *= 0.1
    if name.endswith(("modulation.bias", "affine.bias")):
        r += 1
    return r * 100 if name.startswith(("style.", "mapping.fc")) else r


def assert_close(name: str, ours, theirs):
    """max |a - b| <= 1e-4 std(b), the tolerance that came with the numbers."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape, name
    deviation = np.abs(ours - theirs).max() / theirs.std()
    print(f"{name:12} max|a-b|/std(b) = {deviation:.1e}")
    assert deviation <= 1e-4, f"{name}: {deviation:.2e} standard deviations away"
