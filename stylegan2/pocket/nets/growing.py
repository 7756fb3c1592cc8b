"""A discriminator for images twice as large: one that has learned at half the side, and a new block before it.

A discriminator learns more slowly than a generator that is taught, and fine-tuning needs one that knows faces: most of
it stays frozen (FreezeD). So it learns in a game of its own at half the side, where an image costs a third, and then
grows, as progressive training does it (arXiv 1710.10196): the new block learns to hand on what the old first layer saw
in the image shrunk to half.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stylegan2 import checkpoints, files, networks
from stylegan2.augment import AugmentPipe
from stylegan2.data.dataset import LMDBDataset
from stylegan2.networks import Discriminator
from stylegan2.pocket.nets.fit import Fit, FitConfig, warm_cosine
from stylegan2.pocket.nets.judge import read_dict, to_float

FORMAT = "stylegan2 pocket discriminator, grown"


@dataclass(frozen=True)
class GrowConfig(FitConfig):
    """Length and rate of the new block's lessons."""

    images: int = 16_000
    batch: int = 16
    lr: float = 3e-3  # at its highest; falls to 0 along a cosine
    augment_p: float = 0.5  # of the photos: generated images are not quite like them
    seed: int = 0
    save_every: int = 8_000


def grown(half: Discriminator, seed: int = 0) -> Discriminator:
    """A discriminator for twice the side: `half` behind a new block, whose weights are random."""
    _, d = networks.build(2 * half.resolution, "pocket", seed)
    known = {name: value for name, value in half.state_dict().items() if not name.startswith("from_rgb.")}
    left = d.load_state_dict(known, strict=False)
    new = {"from_rgb", f"blocks.{d.resolution}"}
    wrong = [name for name in left.missing_keys if not name.startswith(tuple(f"{part}." for part in new))]
    if wrong or left.unexpected_keys:
        raise ValueError(f"half the discriminator does not fit: {', '.join(wrong + left.unexpected_keys)}")
    return d


class _Block(nn.Module):
    """What is new of a grown discriminator: image -> what its old first layer hands on."""

    def __init__(self, d: Discriminator):
        super().__init__()
        self.from_rgb, self.block = d.from_rgb, d.blocks[str(d.resolution)]

    def forward(self, images: Tensor) -> Tensor:
        return self.block(self.from_rgb(images))


class _Growing(Fit):
    def __init__(self, config: GrowConfig, half: Discriminator, device: torch.device):
        self.d, self.half = grown(half, config.seed), half.to(device).eval().requires_grad_(False)
        super().__init__(config, lambda: _Block(self.d), device)
        self.settings["half"] = checkpoints.fingerprint(self.half)
        self.augment = AugmentPipe("bgc")
        self.optimiser = torch.optim.Adam(self.model.parameters(), config.lr, betas=(0.9, 0.99))
        self.schedule = warm_cosine(self.optimiser, config.steps, 0.05)

    def losses(self, photos: LMDBDataset) -> dict[str, Tensor]:
        rng = self.rng()
        chosen = torch.randint(len(photos), (self.config.batch,), generator=rng)
        images = to_float(torch.stack([photos[int(k), False] for k in chosen]).to(self.device))
        images = self.augment(images, self.config.augment_p, rng)
        wanted = self.half.from_rgb(F.avg_pool2d(images, 2))
        error = (self.model(images) - wanted).square().mean()
        return {"error": error / wanted.square().mean()}

    def finish(self, path: Path, photos: LMDBDataset, meta: dict) -> tuple[Discriminator, dict]:
        weights = {name: value.cpu() for name, value in self.d.state_dict().items()}
        files.write(path, {"format": FORMAT, "weights": weights, "meta": meta})
        with torch.no_grad():
            return self.d, {"error": float(self.losses(photos)["error"])}


def load_grown(path: Path) -> Discriminator:
    """A discriminator that `grow` saved."""
    weights = read_dict(path, FORMAT)["weights"]
    resolution = max(int(name.split(".")[1]) for name in weights if name.startswith("blocks."))
    _, d = networks.build(resolution, "pocket")
    d.load_state_dict(weights)
    return d


def grow(
    path: Path, half: Discriminator, photos: LMDBDataset, config: GrowConfig, device: torch.device, scratch: Path
) -> Discriminator:
    """`half`, a trained discriminator, grown to the photos' size, in the file `path`; a killed run goes on."""
    return _Growing(config, half, device).train(path, photos, scratch)
