"""The judge: a small network that reads attributes and landmarks off any pocket face, rendered or generated.

    reading = Judge.load("checkpoints/pocket/judge.pt").read(images)  # float [N, 3, H, W] in [-1, 1], or uint8
    reading.landmarks, reading.column("smile")                        # [N, 16, 2] in image sides, [N]

It knows all four domains, so it measures how much of a face survives the way from photo to cartoon. Its features define
the *pocket distance* between image sets (:mod:`stylegan2.pocket.measures`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stylegan2 import files
from stylegan2.bars import bar
from stylegan2.files import CheckpointError, check_entries
from stylegan2.pocket import world
from stylegan2.pocket.world.faces import COLUMNS, GROUPS
from stylegan2.runtime import pick_device

AXES = 48  # principal axes of the features that are kept: 99 % of the variance, and sets of a few hundred faces suffice
SHAPE_GAIN = 10.0  # landmarks lie within a few tenths of an image side: brings them to about unit spread
INPUT_SIZE = 64  # pixels of a side of what the network takes, see `as_input`
FORMAT = "stylegan2 pocket judge"
EYES = (world.LANDMARKS.index("eye_left"), world.LANDMARKS.index("eye_right"))
EVALUATION_SEED = 800_000  # sequences of faces that neither a data set nor the judge's training uses

FLAGS = [world.VECTOR_NAMES.index(name) for name in ("glasses", "freckles", "earrings")]
DECIDED = [a.name for a in world.ATTRIBUTES if a.kind in ("binary", "categorical")]  # yes or no, or one of several
CONTINUOUS = sorted(set(range(len(world.VECTOR_NAMES))) - set(FLAGS) - {c for g in GROUPS.values() for c in g})


@dataclass
class Reading:
    """What the judge reads off N faces.

    Attributes:
        attributes: [N, A], columns and units of `Faces.vector()`; flags and choices as probabilities in 0..1.
        landmarks: [N, K, 2], (x, y) of `pocket.LANDMARKS` in image sides, y down.
        features: [N, 48], principal axes of the last hidden layer; mean 0, and variances that add up to 100, over
            rendered faces of all domains.
        domain: [N, 4], probabilities of `pocket.DOMAINS`.
    """

    attributes: Tensor
    landmarks: Tensor
    features: Tensor
    domain: Tensor

    def __len__(self) -> int:
        return len(self.attributes)

    def map(self, change: Callable[[Tensor], Tensor]) -> Reading:
        """Every part changed."""
        return Reading(*map(change, vars(self).values()))

    def __getitem__(self, which: slice | Tensor) -> Reading:
        """Of some of the faces."""
        return self.map(lambda part: part[which])

    def column(self, name: str) -> Tensor:
        """One attribute, [N]. Raises ValueError for a name that is not in `pocket.VECTOR_NAMES`."""
        if name not in world.VECTOR_NAMES:
            raise ValueError(f"unknown attribute {name!r}: expected one of {', '.join(world.VECTOR_NAMES)}")
        return self.attributes[:, world.VECTOR_NAMES.index(name)]

    def interocular(self) -> Tensor:
        """Distance between the centres of the eyes in image sides, [N]: the unit of landmark errors."""
        return interocular(self.landmarks)

    @staticmethod
    def concatenate(parts: Iterable[Reading]) -> Reading:
        """Readings of several batches, in order."""
        return Reading(*map(torch.cat, zip(*(vars(part).values() for part in parts), strict=True)))


def interocular(landmarks: Tensor) -> Tensor:
    """Landmarks [N, K, 2] -> distance between the centres of the eyes [N]."""
    return (landmarks[:, EYES[0]] - landmarks[:, EYES[1]]).norm(dim=1)


def to_float(images: Tensor) -> Tensor:
    """uint8 [N, 3, H, W] -> float in [-1, 1]; float passes. Raises ValueError for anything that is no such batch."""
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"images must be [N, 3, H, W], got {list(images.shape)}")
    if images.dtype == torch.uint8:
        return images.float().div_(127.5).sub_(1)
    if not images.is_floating_point():
        raise ValueError(f"images must be float in [-1, 1] or uint8, got {images.dtype}")
    return images.float()


def as_input(images: Tensor) -> Tensor:
    """Images [N, 3, H, W] in [-1, 1] at the side that the network takes, antialiased."""
    if images.shape[-2:] == (INPUT_SIZE, INPUT_SIZE):
        return images
    return F.interpolate(images, (INPUT_SIZE, INPUT_SIZE), mode="bilinear", antialias=True, align_corners=False)


# ------------------------------------------------------------------------------------------------------- the network
def _conv(in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels))


class Residual(nn.Module):
    """x + two 3x3 convolutions (arXiv 1512.03385)."""

    def __init__(self, channels: int):
        super().__init__()
        self.first, self.second = _conv(channels, channels), _conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> the same shape."""
        return F.relu(x + self.second(F.relu(self.first(x))))


GLIMPSES = ("eye_left", "eye_right", "nose_tip", "mouth_centre", "face_left", "face_right")
GLIMPSE_SIZE, GLIMPSE_REACH = 16, 0.5  # samples per side; from middle to edge, in distances between the eyes


class Glimpses(nn.Module):
    """Upright pieces of the image around landmarks (arXiv 1506.02025), each seen by its own small network.

    Averaged over the whole image, things of two or three pixels (iris, lids, corners of the mouth) are lost.
    """

    def __init__(self, out_features: int = 32):
        super().__init__()
        p, layers = len(GLIMPSES), []
        self.at = [world.LANDMARKS.index(name) for name in GLIMPSES]
        for inputs, outputs, stride in ((3, 24, 1), (24, 32, 2), (32, 32, 2)):
            layers += [nn.Conv2d(inputs * p, outputs * p, 3, stride, 1, groups=p), nn.ReLU(inplace=True)]
        self.net = nn.Sequential(*layers, nn.Conv2d(32 * p, out_features * p, 4, groups=p))
        ticks = (torch.arange(GLIMPSE_SIZE) + 0.5) * (2 / GLIMPSE_SIZE) - 1
        square = torch.stack(torch.meshgrid(ticks, ticks, indexing="xy"), dim=2)
        self.register_buffer("square", square * GLIMPSE_REACH, persistent=False)  # [16, 16, 2], in eye distances

    def forward(self, images: Tensor, landmarks: Tensor) -> Tensor:
        """[N, 3, H, W] and [N, K, 2] -> [N, P * out_features]."""
        across = (landmarks[:, EYES[1]] - landmarks[:, EYES[0]])[:, None, None, None]  # [N, 1, 1, 1, 2]
        down = torch.stack([-across[..., 1], across[..., 0]], dim=-1)
        offset = self.square[..., :1] * across + self.square[..., 1:] * down  # [N, 1, 16, 16, 2]
        grid = (landmarks[:, self.at, None, None] + offset) * 2 - 1  # [N, P, 16, 16, 2]
        taken = F.grid_sample(images, grid.flatten(1, 2), padding_mode="border", align_corners=False)
        pieces = taken.unflatten(2, (len(self.at), GLIMPSE_SIZE)).transpose(1, 2)  # [N, P, 3, 16, 16]
        return self.net(pieces.flatten(1, 2)).flatten(1)


class Judge(nn.Module):
    """Convolutions down to 4x4, and back up to 32x32 for the landmarks.

    A landmark is the mean position under a softmax over the 32x32 map (soft-argmax), which is far more precise than
    regression. Attributes are read from the whole image, the landmarks' places relative to each other, and glimpses.
    """

    def __init__(self, widths: tuple[int, int, int, int] = (32, 56, 96, 144), neck: int = 32, features: int = 160):
        super().__init__()
        a, b, c, d = widths
        points, names, domains = len(world.LANDMARKS), len(world.VECTOR_NAMES), len(world.DOMAINS)
        self.stem = nn.Sequential(nn.PixelUnshuffle(2), _conv(12, a), nn.ReLU(inplace=True), Residual(a))  # 32x32
        self.down16 = nn.Sequential(_conv(a, b, stride=2), nn.ReLU(inplace=True), Residual(b))
        self.down8 = nn.Sequential(_conv(b, c, stride=2), nn.ReLU(inplace=True), Residual(c))
        self.down4 = nn.Sequential(_conv(c, d, stride=2), nn.ReLU(inplace=True))
        self.sideways = nn.ModuleList(_conv(width, neck, kernel=1) for width in (d, c, b, a))
        self.refine = nn.ModuleList([_conv(neck, neck), _conv(neck, neck)])  # 16x16, 32x32
        self.points = nn.Conv2d(neck, points, 1)
        self.glimpses = Glimpses()
        self.hidden = nn.Linear(d + 2 * points + 32 * len(GLIMPSES), features)
        self.attributes = nn.Linear(features, names)
        self.domain = nn.Linear(features, domains)
        cells = (torch.arange(INPUT_SIZE // 2) + 0.5) / (INPUT_SIZE // 2)
        grid = torch.stack(torch.meshgrid(cells, cells, indexing="xy"), dim=2).reshape(-1, 2)  # [1024, 2] (x, y)
        self.register_buffer("grid", grid, persistent=False)
        self.register_buffer("feature_mean", torch.zeros(features))
        self.register_buffer("feature_axes", torch.eye(features, AXES))

    def raw(self, x: Tensor) -> tuple[Reading, Tensor]:
        """Images [N, 3, INPUT_SIZE, INPUT_SIZE] in [-1, 1] -> what training compares with the truth.

        A reading before sigmoid and softmax, its features the last hidden layer as it is [N, F]; and log-probabilities
        of where a landmark lies [N, K, h * w].
        """
        x32 = self.stem(x)
        x16 = self.down16(x32)
        x8 = self.down8(x16)
        x4 = self.down4(x8)
        heat = self.points(self._upwards(x4, x8, x16, x32)).flatten(2).float().log_softmax(dim=2)  # [N, K, 1024]
        landmarks = heat.exp() @ self.grid  # [N, K, 2]
        fixed = landmarks.detach()  # attributes must not pull at the landmarks
        shape = (fixed - fixed.mean(dim=1, keepdim=True)) * SHAPE_GAIN
        seen = [x4.float().mean((2, 3)), shape.flatten(1), self.glimpses(x, fixed).float()]
        features = F.relu(self.hidden(torch.cat(seen, dim=1))).float()  # [N, F]
        return Reading(self.attributes(features).float(), landmarks, features, self.domain(features).float()), heat

    def _upwards(self, x4: Tensor, x8: Tensor, x16: Tensor, x32: Tensor) -> Tensor:
        """A feature pyramid (arXiv 1612.03144): coarse knows which eye, fine knows where exactly."""
        s4, s8, s16, s32 = (side(x) for side, x in zip(self.sideways, (x4, x8, x16, x32), strict=True))
        up = F.interpolate(s4, scale_factor=2) + s8
        up = F.relu(self.refine[0](F.relu(F.interpolate(up, scale_factor=2) + s16)))
        return F.relu(self.refine[1](F.relu(F.interpolate(up, scale_factor=2) + s32)))

    def forward(self, images: Tensor) -> Reading:
        """Images float [N, 3, H, W] in [-1, 1] -> Reading. Sides other than INPUT_SIZE are resized, antialiased."""
        raw, _ = self.raw(as_input(images))
        features = (raw.features - self.feature_mean) @ self.feature_axes
        return Reading(_probabilities(raw.attributes), raw.landmarks, features, raw.domain.softmax(dim=1))

    @torch.inference_mode()
    def _read(self, images: Tensor) -> Reading:
        return self(to_float(images.to(self.grid.device))).map(Tensor.cpu)

    def read(self, images: Tensor, batch: int = 64) -> Reading:
        """Read any number of images, float in [-1, 1] or uint8, on any device; the reading is on the CPU.

        Raises ValueError for no images, or a tensor that is no batch of images.
        """
        if len(images) == 0:
            raise ValueError("there are no images to read")
        was_training = self.training
        self.eval()  # the statistics of one batch must not colour the reading
        parts = [self._read(part) for part in bar(images.split(batch), "judge", "batch")]
        self.train(was_training)
        return Reading.concatenate(parts)

    def save(self, path: str | os.PathLike) -> None:
        """Write the weights as float16 (about 1.4 MB), atomically."""
        state = {k: v.half() if v.is_floating_point() else v for k, v in self.state_dict().items()}
        faces = {"attributes": list(world.VECTOR_NAMES), "landmarks": list(world.LANDMARKS)}
        content = {"format": FORMAT, "version": 1, "renderer": world.VERSION, **faces}
        files.write(Path(path), content | {"state": {k: v.cpu() for k, v in state.items()}})

    @staticmethod
    def load(path: str | os.PathLike, device: torch.device | str = "auto") -> Judge:
        """Open a saved judge in evaluation mode, without gradients for its weights.

        Raises FileNotFoundError, and CheckpointError for a file that is no judge, or one for another renderer.
        """
        content = read_dict(path)
        for key, here in (("attributes", world.VECTOR_NAMES), ("landmarks", world.LANDMARKS)):
            if tuple(content[key]) != tuple(here):
                raise CheckpointError(f"'{path}' reads other {key} than the renderer's: train it again")
        judge = Judge()
        expected = {name: tuple(value.shape) for name, value in judge.state_dict().items()}
        check_entries("judge", content["state"], expected)
        judge.load_state_dict(content["state"])  # into float32
        return judge.to(pick_device(device)).eval().requires_grad_(False)


def _probabilities(logits: Tensor) -> Tensor:
    """Attribute outputs [N, A] -> flags through a sigmoid, choices through a softmax, the others unchanged."""
    out = logits.clone()
    out[:, FLAGS] = logits[:, FLAGS].sigmoid()
    for columns in GROUPS.values():
        out[:, columns] = logits[:, columns].softmax(dim=1)
    return out


# ------------------------------------------------------------------------------------------------------------- files
def read_dict(path: str | os.PathLike, expected: str = FORMAT) -> dict:
    """A dict that `files.write` wrote, with `expected` as its "format"; nothing in it is executed.

    Raises FileNotFoundError, and CheckpointError for a file that is something else.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file '{path}': `make pocket` makes those of the pocket networks")
    try:
        content = files.read(path)
    except CheckpointError as error:
        raise CheckpointError(f"'{path}' cannot be read: expected a file of the {expected!r} format") from error
    if not isinstance(content, dict) or content.get("format") != expected:
        raise CheckpointError(f"'{path}' is something else: expected a file of the {expected!r} format")
    return content


# -------------------------------------------------------------------------------------------------- how far to trust it
def evaluate_judge(judge: Judge, per_domain: int = 500, seed: int = 1) -> dict:
    """The judge's errors on rendered faces that it never saw.

    -> {domain: {"landmarks": {"mean", "p95"}, in distances between the eyes, "domain_accuracy", "correlation":
    {attribute: r}, "accuracy": {flag or choice: share right}, "commonest": {flag or choice: share of its commonest
    value, the accuracy of a blind guess}}}.
    """
    return {domain: _evaluate_domain(judge, domain, per_domain, seed) for domain in world.DOMAINS}


def _evaluate_domain(judge: Judge, domain: str, n: int, seed: int) -> dict:
    faces = world.sample(domain, n, seed=EVALUATION_SEED + seed)
    reading = judge.read(world.render(faces, domain))
    truth, read, points = faces.vector(), reading.attributes, world.landmarks(faces, domain)
    error = (reading.landmarks - points).norm(dim=2) / interocular(points)[:, None]  # [n, K]
    decided = {name: (decisions(read, name), decisions(truth, name)) for name in DECIDED}
    return {
        "landmarks": {"mean": _short(error.mean()), "p95": _short(error.flatten().quantile(0.95))},
        "domain_accuracy": _short((reading.domain.argmax(1) == world.DOMAINS.index(domain)).float().mean()),
        "correlation": {world.VECTOR_NAMES[c]: _short(correlation(read[:, c], truth[:, c])) for c in CONTINUOUS},
        "accuracy": {name: _short((found == true).float().mean()) for name, (found, true) in decided.items()},
        "commonest": {name: _short(true.bincount().max() / n) for name, (_, true) in decided.items()},
    }


def decisions(attributes: Tensor, name: str) -> Tensor:
    """Of attributes [N, A]: the choice [N] of one in DECIDED, 0 or 1 for a flag, else its index."""
    columns = attributes[:, COLUMNS[name]]
    return (columns[:, 0] > 0.5).long() if columns.shape[1] == 1 else columns.argmax(1)


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Pearson's r of two [N]; 0 where one of them does not vary."""
    a, b = a.double() - a.double().mean(), b.double() - b.double().mean()
    return (a @ b) / (a.norm() * b.norm()).clamp_min(1e-12)


def _short(value: Tensor) -> float:
    return round(float(value), 4)
