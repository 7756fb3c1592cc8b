"""From a picture file to what a generator's images are like, and the networks that compare them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stylegan2.data.images import Refused, decode, to_square
from stylegan2.perceptual import JudgeDistance, LpipsDistance

POCKET = 64  # pixels: up to this size our judge compares faces, above it LPIPS


def read_photos(paths: Sequence[str | os.PathLike], resolution: int, device: torch.device | str = "cpu") -> Tensor:
    """Pictures, turned upright and cut to their middle square: [N, 3, R, R] in [-1, 1].

    Raises:
        ValueError: no pictures, or a file that is none (the message names it).
    """
    if not paths:
        raise ValueError("there are no pictures: expected at least one file")
    return torch.stack([_read(Path(path), resolution) for path in paths]).to(device)


def _read(path: Path, resolution: int) -> Tensor:
    try:
        image = to_square(decode(path.read_bytes(), resolution), resolution, "lanczos", crop=True)
    except Refused as error:
        raise ValueError(f"'{path}' is no picture that can be read: {error}") from error
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float().div(127.5).sub(1)


def distance_for(resolution: int, judge: str | os.PathLike, device: torch.device | str = "cpu"):
    """What compares images of that size: the judge's layers for pocket faces, LPIPS for photographs.

    Args:
        resolution: side of the images.
        judge: its file.
        device: where it computes.
    """
    if resolution > POCKET:
        return LpipsDistance(device=device)
    from stylegan2.judge import Judge

    return JudgeDistance(Judge.load(judge, device)).to(device)
