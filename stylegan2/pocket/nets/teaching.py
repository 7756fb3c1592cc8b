"""Teaching a synthesis network what the renderer knows: attributes of a face -> w -> its picture.

A generator has to discover by an adversary alone what its pictures are made of. Here the renderer can say it: the same
face is rendered and drawn by the network, and the difference of the two is the loss. `mapping_training.py` then
teaches the mapping network which w belongs to a z. Real photos have no such teacher: this is how the pocket source
gets in about two hours what takes days on GPUs at full scale.

With one w for all layers, every layer would decide a little of everything. So half of the faces are composed of three
people, and their codes with them: pose, head and hair from the first, features from the second, colours from the third.
That is the order of layers that a large StyleGAN finds by style mixing (arXiv 1812.04948, section 3.1).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stylegan2 import display, files
from stylegan2.bars import bar
from stylegan2.networks import SynthesisNetwork, widths
from stylegan2.pocket import world
from stylegan2.pocket.nets.fit import Fit, FitConfig, warm_cosine
from stylegan2.pocket.nets.judge import read_dict, to_float
from stylegan2.pocket.nets.muon import Muon, split
from stylegan2.pocket.world.faces import GLASSES
from stylegan2.pocket.world.geometry import geometry
from stylegan2.pocket.world.styles import STYLES
from stylegan2.runtime import pick_dtype

FORMAT = "stylegan2 pocket synthesis taught from attributes"
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
    save_every: int = 8_000
    resolution: int = world.SIZE
    precision: str = "auto"  # of the convolutions: "auto", "float32", "bfloat16"


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
        """Write the network as float16; of a `Taught` only what makes w."""
        weights = {name: value.half() for name, value in self.state_dict().items() if not name.startswith("synthesis.")}
        files.write(path, {"format": CODES, "weights": weights, "meta": meta})

    @classmethod
    def open(cls, path: str | Path, device: str | torch.device = "cpu") -> FaceCodes:
        """What `save` wrote. Raises CheckpointError for another file."""
        weights = {name: value.float() for name, value in read_dict(path, CODES)["weights"].items()}
        codes = FaceCodes(len(weights["mean"]), len(weights["linear.bias"])).to(device)
        codes.load_state_dict(weights)
        return codes.eval().requires_grad_(False)


class Taught(FaceCodes):
    """Attributes -> w -> image.

    Args:
        count: numbers that `describe` gives.
        resolution: side of the image.
        w_dim: size of w.
        base: widths of the synthesis network are min(base / side, w_dim).
    """

    def __init__(self, count: int, resolution: int, w_dim: int = 128, base: int = 2048):
        super().__init__(count, w_dim)
        self.synthesis = SynthesisNetwork(resolution, w_dim, widths(resolution, base, w_dim))

    def forward(self, described: Tensor, noise: str = "random") -> Tensor:
        """Pictures [N, 3, R, R] of faces [N, 3, D]: described are those of whom each has `RANGES`."""
        w, layers = self.w(described), range(self.synthesis.num_ws)
        parts = [w[:, k, None].expand(-1, len(layers[slice(*ends)]), -1) for k, ends in enumerate(RANGES.values())]
        return self.synthesis(torch.cat(parts, dim=1), noise)

    @classmethod
    def load(cls, path: str | Path, device: str | torch.device = "cpu") -> Taught:
        """A taught network that `train_teaching` saved."""
        content = read_dict(Path(path), FORMAT)
        taught = cls(*content["sizes"]).to(device)
        taught.load_state_dict({name: value.float() for name, value in content["weights"].items()})
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


class _Teaching(Fit):
    clip_norm = 5.0

    def __init__(self, config: TeachingConfig, lessons: Lessons, device: torch.device):
        described = lessons.described
        super().__init__(config, lambda: Taught(described.shape[2], config.resolution), device)
        self.model.mean.copy_(described[:, 0].mean(0))
        self.model.spread.copy_(described[:, 0].std(0).clamp_min(0.05))
        self.model.synthesis.compute_dtype = pick_dtype(config.precision, device)
        head = {"params": [*self.model.linear.parameters(), *self.model.deep.parameters()], "lr": config.head_lr}
        matrices, rest = split(self.model.synthesis, lambda name, p: name.endswith("weight") and "to_rgb" not in name)
        self.optimiser = Muon([head, matrices, rest | {"lr": config.lr / 2}], config.lr)
        self.schedule = warm_cosine(self.optimiser, config.steps, config.warm_up, config.flat)
        self.held_out = Lessons.render(config.held_out, config.seed + 99, config.resolution)
        self.extra["curve"] = torch.zeros(0, 2)  # images shown, held-out error

    def batches(self, pool: Lessons) -> Iterator[tuple]:
        worn, bare = pool.glasses.nonzero()[:, 0], (~pool.glasses).nonzero()[:, 0]
        while self.step < self.config.steps:
            rng, n = self.rng(), self.config.batch
            k = int((torch.rand(n, generator=rng) < GLASSES_SHARE).sum())
            groups = (worn, k), (bare, n - k)
            parts = [group[torch.randint(len(group), (count,), generator=rng)] for group, count in groups]
            chosen = torch.cat(parts)
            yield tuple(part[chosen].to(self.device) for part in (pool.images, pool.described, pool.places))

    def save(self, path: Path) -> None:
        """Also keeps the held-out error, and a picture of eight faces that were not shown, at this point."""
        shown = self.step * self.config.batch
        point = self.extra["curve"].new_tensor([[shown, measure(self.model, self.held_out)["held_out_error"]]])
        self.extra["curve"] = torch.cat([self.extra["curve"], point])
        with torch.no_grad():
            drawn = self.model(self.held_out.described[:8].to(self.device), "const")
        display.save(display.grid(drawn, 8), path.parent / "lessons" / f"{shown:07d}.png")
        super().save(path)

    def losses(self, images: Tensor, described: Tensor, places: Tensor) -> dict[str, Tensor]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed + self.step)
            drawn = self.model(described)
        rendered = to_float(images)
        return difference(drawn, rendered, importance(rendered, places))

    def finish(self, path: Path, pool: Lessons, meta: dict) -> tuple[Taught, dict]:
        model = self.model.eval()
        sizes = (len(model.mean), self.config.resolution)
        weights = {name: value.half() if value.ndim else value for name, value in model.state_dict().items()}
        files.write(path, {"format": FORMAT, "sizes": sizes, "weights": weights, "meta": meta})
        errors = measure(model, self.held_out)
        last = self.extra["curve"].new_tensor([[self.step * self.config.batch, errors["held_out_error"]]])
        points = [
            {"images": int(shown), "held-out error": round(error, 5)}
            for shown, error in torch.cat([self.extra["curve"], last]).tolist()
        ]
        return model, errors | {"curve": points}


@torch.no_grad()
def measure(model: Taught, lessons: Lessons) -> dict[str, float]:
    """Mean absolute error (values -1..1) on faces that were not shown: plain, and weighted by `importance`."""
    device, total, fine = model.mean.device, 0.0, 0.0
    parts = (part.split(50) for part in (lessons.images, lessons.described, lessons.places))
    for images, described, places in zip(*parts, strict=True):
        images = to_float(images.to(device))
        error = (model(described.to(device), "const") - images).abs()
        weights = importance(images, places.to(device))
        total, fine = total + float(error.sum()), fine + float((error * weights).sum())
    return {"held_out_error": total / lessons.images.numel(), "held_out_error_weighted": fine / lessons.images.numel()}


def train_teaching(path: Path, config: TeachingConfig, device: torch.device, scratch: Path) -> Taught:
    """Teach, and save the network at `path` with its errors beside it; a killed run goes on."""
    lessons = Lessons.render(config.faces, config.seed, config.resolution)
    return _Teaching(config, lessons, device).train(path, lessons, scratch)
