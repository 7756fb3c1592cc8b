"""Teaching a mapping network which w belongs to a z: the one of the face whose attributes are the quantiles of z.

Pairs cost nothing: z is random, `world.from_z` says whose face it is, and the taught network which w draws it. With
the mapping, every z has a face, and the faces of random z have the variety of the pocket world.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from stylegan2 import checkpoints, files, networks
from stylegan2.bars import bar
from stylegan2.networks import Generator, MappingNetwork
from stylegan2.pocket import world
from stylegan2.pocket.nets.fit import Fit, FitConfig, step_rng, warm_cosine
from stylegan2.pocket.nets.judge import read_dict
from stylegan2.pocket.nets.muon import Muon, split
from stylegan2.pocket.nets.teaching import Taught, describe

PART = 10_000  # faces described at once
FORMAT = "stylegan2 pocket mapping taught from attributes"


@dataclass(frozen=True)
class MappingConfig(FitConfig):
    """Lengths and rates of the teaching."""

    unit = "codes"
    codes: int = 40_000_000  # shown in all
    faces: int = 2_000_000  # different ones
    batch: int = 2_048
    held_out: int = 10_000
    lr: float = 3.0  # of weights that are a hundred times as large as they act (`lr_multiplier` 0.01)
    warm_up: float = 0.02  # share of the run in which the rate rises
    seed: int = 0
    save_every: int = 4_000_000


def people(count: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random z [N, 128] and what `describe` says of their faces [N, D], both as float16: a pool is half as large."""
    parts = []
    for first in bar(range(0, count, PART), what="describing", unit="part", shown=count > 20 * PART):
        z = torch.randn(min(PART, count - first), 128, generator=rng).half()
        parts.append((z, describe(world.from_z(z.float())).half()))
    z, described = map(torch.cat, zip(*parts, strict=True))
    return z, described


class _Mapping(Fit):
    clip_norm = float("inf")  # no clipping: the gradient of such large weights is small

    def __init__(self, config: MappingConfig, taught: Taught, device: torch.device):
        g, _ = networks.build(taught.synthesis.resolution, "pocket", config.seed)
        super().__init__(config, lambda: g.mapping, device)
        self.settings["taught"] = checkpoints.fingerprint(taught)
        self.optimiser = Muon(split(self.model, lambda name, p: p.ndim == 2), config.lr)
        self.schedule = warm_cosine(self.optimiser, config.steps, config.warm_up)

    def batches(self, taught: Taught) -> Iterator[tuple[Tensor, Tensor]]:
        z, described = people(self.config.faces, step_rng(self.config.seed, -1))
        while self.step < self.config.steps:
            chosen = torch.randint(len(z), (self.config.batch,), generator=self.rng())
            with torch.no_grad():
                w = taught.w(described[chosen].float())
            yield z[chosen].float().to(self.device), w

    def losses(self, z: Tensor, w: Tensor) -> dict[str, Tensor]:
        return {"w": (self.model.w(z) - w).square().mean()}

    def finish(self, path: Path, taught: Taught, meta: dict) -> tuple[MappingNetwork, dict]:
        weights = {name: value.cpu() for name, value in self.model.state_dict().items()}
        files.write(path, {"format": FORMAT, "weights": weights, "meta": meta})
        return self.model, measure(self.model, taught, self.config.held_out)


def train_mapping(
    path: Path, taught: Taught, config: MappingConfig, device: torch.device, scratch: Path
) -> MappingNetwork:
    """Teach, and save the mapping at `path` with its errors beside it; a killed run goes on."""
    return _Mapping(config, taught, device).train(path, taught, scratch)


@torch.no_grad()
def measure(mapping: MappingNetwork, taught: Taught, count: int, seed: int = 99) -> dict[str, float]:
    """Of z that were not shown: share of w's variance that the mapping misses, and how far its pictures are off."""
    z, described = (x.float() for x in people(count, torch.Generator().manual_seed(seed)))
    w = taught.w(described)
    error = (mapping.w(z) - w).square().mean() / w.var(0).mean()
    few = [taught.synthesis(mapping.broadcast(x[:100]), "const") for x in (mapping.w(z), w)]
    return {"w_error": float(error), "pictures_apart": float((few[0] - few[1]).abs().mean())}


def assemble(taught: Taught, mapping: Path) -> Generator:
    """The generator of a taught synthesis network and a mapping that `train_mapping` saved: z -> w -> image."""
    g, _ = networks.build(taught.synthesis.resolution, "pocket")
    g.synthesis.load_state_dict(taught.synthesis.state_dict())
    g.mapping.load_state_dict(read_dict(mapping, FORMAT)["weights"])
    g.mapping.update_mean()
    return g
