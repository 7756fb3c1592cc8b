"""A discriminator for images twice as large: one that has learned at half the side, and a new block before it.

Fine-tuning needs a discriminator that knows faces, since most of it stays frozen (FreezeD). Ours learns in a game at
half the side, where an image costs a third, and then grows (arXiv 1710.10196): the new block learns to hand on what the
old first layer saw in the image shrunk to half.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from stylegan2 import checkpoints, networks
from stylegan2.augment import AugmentPipe
from stylegan2.data.dataset import LMDBDataset
from stylegan2.networks import Discriminator
from stylegan2.pocket.nets.fit import Fit, FitConfig, load_weights, warm_cosine
from stylegan2.pocket.nets.judge import to_float


@dataclass(frozen=True)
class GrowConfig(FitConfig):
    """Length and rate of the new block's lessons."""

    images: int = 16_000
    batch: int = 16
    lr: float = 3e-3  # at its highest; falls to 0 along a cosine
    augment_p: float = 0.5  # of the photos: generated images are not quite like them
    seed: int = 0


def grown(half: Discriminator, seed: int = 0) -> Discriminator:
    """A discriminator for twice the side: `half`, which is frozen, behind a new block, whose weights are random."""
    _, d = networks.build(2 * half.resolution, "pocket", seed)
    known = {name: value for name, value in half.state_dict().items() if not name.startswith("from_rgb.")}
    new = ("from_rgb.", f"blocks.{d.resolution}.")
    d.load_state_dict({name: value for name, value in d.state_dict().items() if name.startswith(new)} | known)
    for name, parameter in d.named_parameters():
        parameter.requires_grad_(name.startswith(new))
    return d


class Growing(Fit):
    """`half`, a trained discriminator, that grows to the photos' size."""

    def __init__(self, config: GrowConfig, half: Discriminator, photos: LMDBDataset, device: torch.device | str):
        super().__init__(config, lambda: grown(half, config.seed), device)
        self.half, self.photos = half.to(self.device).eval().requires_grad_(False), photos
        self.settings["half"] = checkpoints.fingerprint(self.half)
        self.augment = AugmentPipe("bgc")
        self.optimiser = torch.optim.Adam(
            [p for p in self.model.parameters() if p.requires_grad], config.lr, betas=(0.9, 0.99)
        )
        self.schedule = warm_cosine(self.optimiser, config.steps, 0.05)

    def batch(self) -> tuple[Tensor]:
        """Photos [B, 3, R, R], augmented."""
        rng = self.rng()
        chosen = torch.randint(len(self.photos), (self.config.batch,), generator=rng)
        images = to_float(torch.stack([self.photos[int(k), False] for k in chosen]).to(self.device))
        return (self.augment(images, self.config.augment_p, rng),)

    def losses(self, images: Tensor) -> dict[str, Tensor]:
        wanted = self.half.from_rgb(F.avg_pool2d(images, 2))
        handed_on = self.model.blocks[str(self.model.resolution)](self.model.from_rgb(images))
        error = (handed_on - wanted).square().mean()
        return {"error": error / wanted.square().mean()}

    def finish(self, path: Path, meta: dict) -> tuple[Discriminator, dict]:
        self.write(path, meta)
        with torch.no_grad():
            return self.model, {"error": float(self.losses(*self.batch())["error"])}


def load_grown(path: Path) -> Discriminator:
    """A discriminator that `Growing` saved."""
    weights, _ = load_weights(path)
    resolution = max(int(name.split(".")[1]) for name in weights if name.startswith("blocks."))
    _, d = networks.build(resolution, "pocket")
    d.load_state_dict(weights)
    return d
