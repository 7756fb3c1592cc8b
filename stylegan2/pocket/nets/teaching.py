"""Teaching a generator what the renderer knows: attributes of a face -> w -> its picture, and z -> w.

The same face is rendered and drawn by the network, and the difference is the loss: no adversary. Then the mapping
network learns which w a z has: that of the face whose attributes are the quantiles of z.

With one w for all layers, every layer would decide a little of everything. So half of the faces are composed of three
people, and their codes with them: pose, head and hair from the first, features from the second, colours from the third.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stylegan2 import checkpoints, display, files, networks
from stylegan2.bars import bar
from stylegan2.networks import Generator, MappingNetwork, SynthesisNetwork, widths
from stylegan2.pocket import world
from stylegan2.pocket.nets.fit import Fit, FitConfig, load_weights, step_rng, warm_cosine
from stylegan2.pocket.nets.judge import read_dict, to_float
from stylegan2.pocket.nets.muon import Muon, split
from stylegan2.pocket.world.faces import GLASSES
from stylegan2.pocket.world.geometry import geometry
from stylegan2.pocket.world.styles import STYLES
from stylegan2.runtime import pick_dtype

CODES = "stylegan2 pocket attributes to w"
RANGES = {"coarse": (0, 4), "middle": (4, 6), "fine": (6, None)}  # codes that decide a group of attributes
COARSE = (  # what codes 0 to 3 decide: pose, head, cut of the hair
    "yaw", "pitch", "roll", "face_width", "face_height", "jaw",
    "hair_style", "hair_length", "hair_volume", "fringe", "parting",
)  # fmt: skip
FINE = (  # what codes 6 and later decide: colours and light; those between decide all other attributes
    "skin", "skin_warmth", "hair_colour", "eye_colour", "glasses_colour", "blush",
    "background", "background2", "clothes_colour", "light", "texture",
)  # fmt: skip
SPREAD = 3.0  # how much more the pixels with the most detail weigh, on average over a picture
FEATURES = ("eye_left", "eye_right", "nose_tip", "mouth_left", "mouth_centre", "mouth_right")  # weigh more, too
FEATURE, REACH = 4.0, 0.055  # that much more at their middle, and how far around, in sides of the picture
GLASSES_SHARE = 0.5  # of the faces shown wear glasses: thin, and rare among photos
PART = 10_000  # faces described at once


@dataclass(frozen=True)
class TeachingConfig(FitConfig):
    """Lengths and rates of the teaching."""

    images: int = 212_000
    batch: int = 16
    faces: int = 20_000  # rendered, shown several times each
    held_out: int = 500
    lr: float = 0.006  # of the synthesis network's matrices, whose weights have unit scale; half of it for the rest
    head_lr: float = 0.0015  # of what makes w
    warm_up: float = 0.02  # share of the run in which the rate rises
    flat: float = 0.3  # share of the run at the full rate
    seed: int = 0
    resolution: int = world.SIZE


def describe(faces: world.Faces) -> Tensor:
    """What the network is told of faces [N, D]: all attributes, and where things lie in the picture."""
    worn = (faces.glasses > 0)[:, None].float()
    shapes = F.one_hot(faces.glasses, len(GLASSES)).float()[:, 1:]
    phase = faces.texture * math.tau
    places = world.landmarks(faces, "photo").flatten(1)
    parting = geometry(faces, STYLES["photo"]).part_x.view(-1)  # the locks of the hair turn with it
    angles = torch.stack([phase, 16 * parting, 28 * parting], dim=1)
    frame = (faces.glasses_colour - 0.5) * 4 * worn
    return torch.cat([faces.vector(), shapes, frame, places, angles.sin(), angles.cos()], dim=1)


class FaceCodes(nn.Module):
    """Attributes -> w: a linear layer, and a small network beside it.

    Args:
        count: numbers that `describe` gives.
        w_dim: size of w.
    """

    def __init__(self, count: int, w_dim: int = 128):
        super().__init__()
        self.linear = nn.Linear(count, w_dim)
        self.deep = nn.Sequential(nn.Linear(count, 256), nn.LeakyReLU(0.2), nn.Linear(256, w_dim))
        self.register_buffer("mean", torch.zeros(count))
        self.register_buffer("spread", torch.ones(count))

    def w(self, described: Tensor) -> Tensor:
        """w [..., w_dim] of faces that are described [..., D]."""
        x = (described.to(self.mean) - self.mean) / self.spread
        return self.linear(x) + self.deep(x)

    def save(self, path: Path, meta: dict) -> None:
        """Write the network as float16."""
        weights = {name: value.half() for name, value in self.state_dict().items()}
        files.write(path, {"format": CODES, "weights": weights, "meta": meta})

    @classmethod
    def open(cls, path: str | Path, device: str | torch.device = "cpu") -> FaceCodes:
        """What `save` wrote. Raises CheckpointError for another file."""
        weights = {name: value.float() for name, value in read_dict(path, CODES)["weights"].items()}
        codes = cls(len(weights["mean"]), len(weights["linear.bias"])).to(device)
        codes.load_state_dict(weights)
        return codes.eval().requires_grad_(False)


class Taught(nn.Module):
    """Attributes -> w -> image of a side; `count` as of `FaceCodes`."""

    def __init__(self, count: int, resolution: int, w_dim: int = 128):
        super().__init__()
        self.codes = FaceCodes(count, w_dim)
        self.synthesis = SynthesisNetwork(resolution, w_dim, widths(resolution, 2048, w_dim))

    def forward(self, described: Tensor, noise: str | torch.Generator = "const") -> Tensor:
        """Pictures [N, 3, R, R] of faces [N, 3, D]: described are those of whom each has `RANGES`."""
        w, layers = self.codes.w(described), range(self.synthesis.num_ws)
        parts = [w[:, k, None].expand(-1, len(layers[slice(*ends)]), -1) for k, ends in enumerate(RANGES.values())]
        return self.synthesis(torch.cat(parts, dim=1), noise)

    @classmethod
    def load(cls, path: str | Path, device: str | torch.device = "cpu") -> Taught:
        """A taught network that `Teaching` saved."""
        weights, meta = load_weights(path)
        taught = cls(len(weights["codes.mean"]), meta["resolution"]).to(device)
        taught.load_state_dict(weights)
        return taught.eval().requires_grad_(False)


@dataclass(frozen=True, eq=False)
class Lessons:
    """Rendered faces: pictures uint8 [N, 3, R, R], descriptions of whom each has coarse, middle and fine attributes
    [N, 3, D], where their `FEATURES` lie [N, F, 2] in sides of the picture, and which wear glasses bool [N]."""

    images: Tensor
    described: Tensor
    places: Tensor
    glasses: Tensor

    @classmethod
    def render(cls, count: int, seed: int, resolution: int, composed: float = 0.5) -> Lessons:
        """`count` faces of random z; the share `composed` of them, the last ones, of three people each."""
        z = torch.randn(count, 128, generator=torch.Generator().manual_seed(seed))
        faces, images, own = world.from_z(z), [], torch.arange(count)
        whole = own < count - round(count * composed)
        parts = [faces[torch.where(whole, own, own.roll(-k))] for k in range(3)]
        mixed = compose(*parts)
        for first in bar(range(0, count, 500), what="rendering", unit="part", shown=count > 2_000):
            images.append(world.render(mixed[first : first + 500], "photo", resolution))
        places = world.landmarks(mixed, "photo")[:, [world.LANDMARKS.index(name) for name in FEATURES]]
        described = torch.stack([describe(part) for part in parts], 1)
        return cls(torch.cat(images), described, places, mixed.glasses > 0)


def compose(coarse: world.Faces, middle: world.Faces, fine: world.Faces) -> world.Faces:
    """Faces [N] with the attributes of COARSE and FINE from two people and all others from the one between."""
    of = dict.fromkeys(COARSE, coarse) | dict.fromkeys(FINE, fine)
    return world.Faces({name: of.get(name, middle).values[name] for name in middle.values})


def importance(images: Tensor, places: Tensor) -> Tensor:
    """Weights of pixels [N, 1, R, R] with mean 1: more where an image [N, 3, R, R] in -1..1 changes from pixel to
    pixel, and around `places` [N, F, 2]."""
    change = F.pad(images.diff(dim=3).abs().mean(1, keepdim=True), (0, 1, 0, 0))
    change = change + F.pad(images.diff(dim=2).abs().mean(1, keepdim=True), (0, 0, 0, 1))
    change = F.avg_pool2d(change, 5, 1, 2)
    line = (torch.arange(images.shape[-1], device=images.device) + 0.5) / images.shape[-1]
    x, y = (torch.exp(-(((line - places[..., k, None]) / REACH) ** 2)) for k in (0, 1))  # [N, F, R]
    near = (y[..., :, None] * x[..., None, :]).amax(1, keepdim=True)  # [N, 1, R, R]
    weights = 1 + SPREAD * change / change.mean(dim=(2, 3), keepdim=True) + FEATURE * near
    return weights / weights.mean(dim=(2, 3), keepdim=True)


def difference(drawn: Tensor, rendered: Tensor, weights: Tensor) -> dict[str, Tensor]:
    """Mean absolute differences of images in -1..1: of pixels, of images shrunk 2, 4 and 8 times, of neighbours."""
    error = drawn - rendered
    pixels = (error.abs() * weights).mean()
    shrunk = sum((F.avg_pool2d(error, s).abs() * F.avg_pool2d(weights, s)).mean() for s in (2, 4, 8))
    edges = (error.diff(dim=3).abs() * weights[..., 1:]).mean() + (error.diff(dim=2).abs() * weights[..., 1:, :]).mean()
    return {"pixels": pixels, "shrunk": 0.5 * shrunk, "edges": 0.5 * edges}


class Teaching(Fit):
    """A synthesis network, and what makes its codes, that learn to draw what is rendered.

    At every saved state, faces that were not shown are drawn and measured, see `curve` and the folder "lessons".
    """

    clip_norm = 5.0

    def __init__(self, config: TeachingConfig, device: torch.device | str):
        self.lessons = Lessons.render(config.faces, config.seed, config.resolution)
        described = self.lessons.described
        super().__init__(config, lambda: Taught(described.shape[2], config.resolution), device)
        codes, synthesis = self.model.codes, self.model.synthesis
        codes.mean.copy_(described[:, 0].mean(0))
        codes.spread.copy_(described[:, 0].std(0).clamp_min(0.05))
        synthesis.compute_dtype = pick_dtype("auto", self.device)
        head = {"params": codes.parameters(), "lr": config.head_lr}
        matrices, rest = split(synthesis, lambda name, p: name.endswith("weight") and "to_rgb" not in name)
        self.optimiser = Muon([head, matrices, rest | {"lr": config.lr / 2}], config.lr)
        self.schedule = warm_cosine(self.optimiser, config.steps, config.warm_up, config.flat)
        self.held_out = Lessons.render(config.held_out, config.seed + 99, config.resolution)

    def batch(self) -> tuple[Tensor, ...]:
        """Pictures, descriptions and places of some `Lessons`."""
        lessons, rng, n = self.lessons, self.rng(), self.config.batch
        worn, bare = lessons.glasses.nonzero()[:, 0], (~lessons.glasses).nonzero()[:, 0]
        k = int((torch.rand(n, generator=rng) < GLASSES_SHARE).sum())
        parts = [
            group[torch.randint(len(group), (count,), generator=rng)] for group, count in ((worn, k), (bare, n - k))
        ]
        chosen = torch.cat(parts)
        return tuple(part[chosen].to(self.device) for part in (lessons.images, lessons.described, lessons.places))

    def save(self, path: Path) -> None:
        shown = self.step * self.config.batch
        self.curve.append({"images": shown, "held-out error": round(held_out_error(self.model, self.held_out), 5)})
        with torch.no_grad():
            drawn = self.model(self.held_out.described[:8].to(self.device))
        display.save(display.grid(drawn, 8), path.parent / "lessons" / f"{shown:07d}.png")
        super().save(path)

    def losses(self, images: Tensor, described: Tensor, places: Tensor) -> dict[str, Tensor]:
        rendered = to_float(images)
        drawn = self.model(described, self.rng(self.device))
        return difference(drawn, rendered, importance(rendered, places))

    def finish(self, path: Path, meta: dict) -> tuple[Taught, dict]:
        self.write(path, meta)
        return self.model.eval(), {"curve": self.curve}


@torch.no_grad()
def held_out_error(model: Taught, lessons: Lessons) -> float:
    """Mean absolute error (values -1..1) on faces that were not shown."""
    device, total = model.codes.mean.device, 0.0
    for images, described in zip(lessons.images.split(50), lessons.described.split(50), strict=True):
        total += float((model(described.to(device)) - to_float(images.to(device))).abs().sum())
    return total / lessons.images.numel()


# -------------------------------------------------------------------------------------------------------- the mapping
@dataclass(frozen=True)
class MappingConfig(FitConfig):
    """Lengths and rates of the mapping's teaching."""

    images: int = 40_000_000  # codes, that is: shown in all
    faces: int = 2_000_000  # different ones
    batch: int = 2_048
    held_out: int = 10_000
    lr: float = 3.0  # of weights that are a hundred times as large as they act (`lr_multiplier` 0.01)
    warm_up: float = 0.02  # share of the run in which the rate rises
    seed: int = 0


def people(count: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random z [N, 128] and what `describe` says of their faces [N, D], both as float16: a pool is half as large."""
    parts = []
    for first in bar(range(0, count, PART), what="describing", unit="part", shown=count > 20 * PART):
        z = torch.randn(min(PART, count - first), 128, generator=rng).half()
        parts.append((z, describe(world.from_z(z.float())).half()))
    z, described = map(torch.cat, zip(*parts, strict=True))
    return z, described


class MappingTraining(Fit):
    """A mapping network that learns which w a z has."""

    clip_norm = float("inf")  # no clipping: the gradient of such large weights is small

    def __init__(self, config: MappingConfig, taught: Taught, device: torch.device | str):
        g, _ = networks.build(taught.synthesis.resolution, "pocket", config.seed)
        super().__init__(config, lambda: g.mapping, device)
        self.taught, self.settings["taught"] = taught, checkpoints.fingerprint(taught)
        self.optimiser = Muon(split(self.model, lambda name, p: p.ndim == 2), config.lr)
        self.schedule = warm_cosine(self.optimiser, config.steps, config.warm_up)

    @cached_property
    def people(self) -> tuple[Tensor, Tensor]:
        """Those that it learns from."""
        return people(self.config.faces, step_rng(self.config.seed, -1))

    def batch(self) -> tuple[Tensor, Tensor]:
        """z [B, 128], and the w [B, w_dim] of their faces."""
        z, described = self.people
        chosen = torch.randint(len(z), (self.config.batch,), generator=self.rng())
        with torch.no_grad():
            w = self.taught.codes.w(described[chosen].float())
        return z[chosen].float().to(self.device), w

    def losses(self, z: Tensor, w: Tensor) -> dict[str, Tensor]:
        return {"w": (self.model.w(z) - w).square().mean()}

    @torch.no_grad()
    def finish(self, path: Path, meta: dict) -> tuple[MappingNetwork, dict]:
        """Its error: the share of w's variance that the mapping misses, of z that were not shown."""
        self.write(path, meta)
        z, described = (x.float() for x in people(self.config.held_out, torch.Generator().manual_seed(99)))
        w = self.taught.codes.w(described)
        return self.model, {"w_error": float((self.model.w(z) - w).square().mean() / w.var(0).mean())}


def assemble(taught: Taught, mapping: Path) -> Generator:
    """The generator of a taught synthesis network and a mapping that `MappingTraining` saved: z -> w -> image."""
    g, _ = networks.build(taught.synthesis.resolution, "pocket")
    g.synthesis.load_state_dict(taught.synthesis.state_dict())
    g.mapping.load_state_dict(load_weights(mapping)[0])
    g.mapping.update_mean()
    return g
