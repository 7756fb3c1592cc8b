"""The pocket face detector: faces as points of a heat map (CenterNet, arXiv 1904.07850), for rendered webtoon pages.

A fully convolutional network says for every cell of 8x8 pixels how sure it is that a face's middle lies there, where in
the cell, and how large the face is. :mod:`stylegan2.pocket.nets.detector_training` trains it.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from stylegan2 import files
from stylegan2.collect.boxes import MIN_SIZE, Face, distinct
from stylegan2.files import CheckpointError, check_entries, find_root

SHIPPED = Path("checkpoints/pocket/detector.pt")  # below the course's folder
FORMAT = "stylegan2 pocket face detector"
CELL = 8  # pixels of the input to a cell of the maps
SHORT = 192  # the shorter side of a picture as the network sees it
SMALLEST = 14  # pixels of a face as the network sees it: for smaller ones it sees the picture enlarged, too
SURE = 0.4  # confidence from which a peak is a face
TYPICAL = 48.0  # pixels of a face: sizes are logarithms of multiples of it


def _conv(c_in: int, c_out: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(c_in, c_out, 3, stride, dilation, dilation, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(c_out), nn.ReLU(inplace=True))


class FaceNet(nn.Module):
    """Down to 1/16 for an overview, back to 1/8 for places: [N, 3, H, W] -> [N, 4, H/8, W/8].

    The four maps: confidence (before the sigmoid), x and y of the middle within its cell (0..1), and log(side/TYPICAL).
    H and W are multiples of 16.
    """

    def __init__(self):
        super().__init__()
        a, b, c, d = 12, 24, 48, 64  # channels
        self.fine = nn.Sequential(_conv(3, a, 2), _conv(a, b, 2), _conv(b, b), _conv(b, c, 2), _conv(c, c))
        self.wide = nn.Sequential(_conv(c, d, 2), _conv(d, d, 1, 2), _conv(d, d, 1, 2), _conv(d, d))
        self.up = nn.Conv2d(d, c, 1)
        self.join = _conv(c, c)
        self.maps = nn.Conv2d(c, 4, 1)
        nn.init.constant_(self.maps.bias, 0.0)
        with torch.no_grad():
            self.maps.bias[0] = -4.0  # few cells hold a face; else the first steps would only learn that

    def forward(self, x: Tensor) -> Tensor:
        """[N, 3, H, W] in [-1, 1] -> [N, 4, H/8, W/8]"""
        fine = self.fine(x)
        return self.maps(self.join(fine + F.interpolate(self.up(self.wide(fine)), scale_factor=2.0)))

    def save(self, path: str | os.PathLike, meta: dict | None = None) -> None:
        """Write the weights as float16, atomically."""
        state = {k: v.cpu().half() if v.is_floating_point() else v.cpu() for k, v in self.state_dict().items()}
        files.write(Path(path), {"format": FORMAT, "version": 1, "state": state, "meta": meta or {}})


def load(path: str | os.PathLike | None = None, min_size: int = MIN_SIZE, sure: float = SURE) -> PocketDetector:
    """The detector of a file; None: the shipped one. Raises CheckpointError: no such file, or something else."""
    path = _shipped() if path is None else Path(path)
    content = files.read(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT or not isinstance(content.get("state"), dict):
        raise CheckpointError(
            f"'{path}' holds no face detector: expected a file such as checkpoints/pocket/detector.pt"
        )
    network = FaceNet()
    check_entries("face detector", content["state"], {k: tuple(v.shape) for k, v in network.state_dict().items()})
    network.load_state_dict(content["state"])
    return PocketDetector(network, min_size, sure)


def _shipped() -> Path:
    """Beside the code; where the package was installed without the course, in the course's folder."""
    beside = Path(__file__).parents[2] / SHIPPED
    return beside if beside.is_file() else find_root() / SHIPPED


class PocketDetector:
    """A trained network as a detector of faces of at least `min_size` pixels, with a confidence of at least `sure`."""

    def __init__(self, network: FaceNet, min_size: int = MIN_SIZE, sure: float = SURE):
        self.network, self.min_size, self.sure = network.eval().requires_grad_(False), min_size, sure

    def __call__(self, image: Image.Image) -> list[Face]:
        faces: list[Face] = []
        for factor in self._factors(min(image.size)):
            x, real = as_input(image, factor)
            with torch.inference_mode():
                peaks = decode(self.network(x)[0], self.sure)
            faces += [Face(tuple(v / r for v, r in zip(f.box, real * 2, strict=True)), f.score) for f in peaks]
        return distinct([face for face in faces if face.side >= self.min_size])

    def _factors(self, short: int) -> list[float]:
        """Enlargements: the usual one, and twice as large while faces would be too small to be found."""
        factors = [SHORT / short]
        while self.min_size * factors[-1] < SMALLEST and factors[-1] < 1:
            factors.append(min(1.0, 2 * factors[-1]))
        return factors


def as_input(image: Image.Image, factor: float) -> tuple[Tensor, tuple[float, float]]:
    """The picture as the network sees it, [1, 3, H, W], and by how much its width and height were enlarged."""
    width, height = (max(16, round(side * factor / 16) * 16) for side in image.size)
    rgb = image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3)
    x = torch.from_numpy(np.array(rgb)).permute(2, 0, 1)[None].float().div(127.5).sub(1)
    return x, (width / image.width, height / image.height)


def decode(maps: Tensor, sure: float) -> list[Face]:
    """Faces of the four maps [4, h, w], in pixels of the input: cells that are surer than their eight neighbours."""
    heat = maps[0].sigmoid()
    peak = F.max_pool2d(heat[None, None], 3, 1, 1)[0, 0]
    faces = []
    for i, j in ((heat == peak) & (heat >= sure)).nonzero().tolist():
        dx, dy, size = maps[1:, i, j].tolist()
        half = TYPICAL * math.exp(min(max(size, -3.0), 3.0)) / 2
        x, y = (j + dx) * CELL, (i + dy) * CELL
        faces.append(Face((x - half, y - half, x + half, y + half), float(heat[i, j])))
    return faces
