"""Training of the judge on rendered faces of all domains; see :mod:`stylegan2.pocket.nets.judge`.

Faces of every domain's statistics are rendered in every domain, cross pairs too: otherwise the judge would learn that a
webtoon smiles and has pink hair, and would read that into a picture instead of out of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from stylegan2.data.roughen import roughen
from stylegan2.pocket import world
from stylegan2.pocket.nets.fit import Fit, FitConfig, mirrored, sets_of_faces
from stylegan2.pocket.nets.judge import (
    AXES,
    CONTINUOUS,
    FLAGS,
    GROUPS,
    INPUT_SIZE,
    Judge,
    evaluate_judge,
    to_float,
)
from stylegan2.runtime import pick_dtype

TRAINING_SEED = 700_000  # sequences of faces that no data set and no evaluation uses
EVALUATED = 500  # faces of each domain, for the errors that are recorded at the end
HEAT_SD = 1.0 / 32  # of the wanted heat around a landmark, in image sides: one cell of the map
MIRRORED = [world.VECTOR_NAMES.index(name) for name in ("yaw", "roll", "parting", "gaze", "light")]


@dataclass(frozen=True)
class JudgeConfig(FitConfig):
    """How the judge is trained."""

    images: int = 100_000  # shown in all
    batch: int = 64
    own_faces: int = 3500  # rendered per domain with that domain's statistics
    cross_faces: int = 900  # rendered per pair of another domain's statistics and this domain
    lr: float = 3e-3  # at its highest, after a warm-up; falls to 0 along a cosine
    weight_decay: float = 0.02
    seed: int = 0

    may_be_zero = ("seed", "cross_faces", "weight_decay")


@dataclass
class Pool:
    """Rendered faces and what is known of them."""

    images: Tensor  # uint8 [N, 3, INPUT_SIZE, INPUT_SIZE]
    attributes: Tensor  # [N, A]
    landmarks: Tensor  # [N, K, 2]
    domain: Tensor  # long [N]

    def __len__(self) -> int:
        return len(self.images)


def render_pool(own: int, cross: int, seed: int = 0) -> Pool:
    """Render `own` faces for each domain and `cross` for each ordered pair of two domains."""
    parts = []
    for statistics, domain, n, stream in sets_of_faces(own, cross, TRAINING_SEED + 10 * seed):
        faces, of_domain = world.sample(statistics, n, seed=stream), torch.full((n,), world.DOMAINS.index(domain))
        images = world.render(faces, domain, INPUT_SIZE)
        parts.append((images, faces.vector(), world.landmarks(faces, domain), of_domain))
    return Pool(*map(torch.cat, zip(*parts, strict=True)))


def _mirror_order() -> list[int]:
    """For each landmark, which one takes its place in a mirror."""
    swap = {"left": "right", "right": "left"}
    names = ["_".join(swap.get(word, word) for word in name.split("_")) for name in world.LANDMARKS]
    return [world.LANDMARKS.index(name) for name in names]


def mirror(pool: Pool, chosen: Tensor) -> Pool:
    """The faces, those where `chosen` (bool [N]) is true flipped left to right."""
    attributes = pool.attributes.clone()
    attributes[:, MIRRORED] *= torch.where(chosen, -1.0, 1.0)[:, None]
    flipped = pool.landmarks[:, _mirror_order()] * torch.tensor([-1.0, 1.0]) + torch.tensor([1.0, 0.0])
    landmarks = torch.where(chosen[:, None, None], flipped, pool.landmarks)
    return Pool(mirrored(pool.images, chosen), attributes, landmarks, pool.domain)


class JudgeTraining(Fit):
    """A judge that learns to read rendered faces, on the CPU."""

    clip_norm = 5.0

    def __init__(self, config: JudgeConfig) -> None:
        super().__init__(config, lambda: Judge().to(memory_format=torch.channels_last), "cpu")
        self.optimiser = torch.optim.AdamW(self.model.parameters(), config.lr, weight_decay=config.weight_decay)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, config.lr, total_steps=config.steps, pct_start=0.1, cycle_momentum=False
        )
        self.dtype = pick_dtype("auto", self.device)

    @cached_property
    def pool(self) -> Pool:
        """The faces that it learns from."""
        return render_pool(self.config.own_faces, self.config.cross_faces, self.config.seed)

    def batch(self) -> tuple[Tensor, ...]:
        """As in `Pool`, but images as the network takes them."""
        pool, size, done = self.pool, self.config.batch, self.step * self.config.batch
        epoch, first = divmod(done, len(pool) // size * size)
        shuffle = torch.Generator().manual_seed((self.config.seed + 1000 * epoch) % 2**63)
        order, rng = torch.randperm(len(pool), generator=shuffle), self.rng()
        chosen = Pool(*(part[order[first : first + size]] for part in vars(pool).values()))
        faces = mirror(chosen, torch.rand(size, generator=rng) < 0.5)
        images, landmarks = roughen(to_float(faces.images), faces.landmarks, rng)
        images = images.contiguous(memory_format=torch.channels_last)
        return images, faces.attributes, landmarks, faces.domain

    def losses(self, images: Tensor, attributes: Tensor, landmarks: Tensor, domain: Tensor) -> dict[str, Tensor]:
        """Landmarks: distance, and cross entropy of the heat against a small Gaussian, which keeps it in one place.

        Attributes: smooth L1, binary or ordinary cross entropy, by kind.
        """
        with torch.autocast("cpu", torch.bfloat16, enabled=self.dtype == torch.bfloat16):
            raw, heat = self.model.raw(images)
        squared = (landmarks[:, :, None] - self.model.grid).square().sum(3)  # [N, K, 1024]
        wanted = (-squared / (2 * HEAT_SD**2)).softmax(dim=2)
        found = raw.attributes
        choices = [F.cross_entropy(found[:, columns], attributes[:, columns].argmax(1)) for columns in GROUPS.values()]
        return {
            "landmarks": 40.0 * (raw.landmarks - landmarks).abs().mean(),
            "heat": -0.25 * (wanted * heat).sum(2).mean(),
            "values": 4.0 * F.smooth_l1_loss(found[:, CONTINUOUS], attributes[:, CONTINUOUS], beta=0.5),
            "flags": F.binary_cross_entropy_with_logits(found[:, FLAGS], attributes[:, FLAGS]),
            "choices": 0.5 * torch.stack(choices).mean(),
            "domain": 0.2 * F.cross_entropy(raw.domain, domain),
        }

    def finish(self, path: Path, meta: dict) -> tuple[Judge, dict]:
        _set_feature_axes(self.model.eval(), self.pool.images)
        self.model.save(path)
        judge = Judge.load(path)
        return judge, {"errors": evaluate_judge(judge, EVALUATED)}


@torch.no_grad()
def _set_feature_axes(judge: Judge, images: Tensor) -> None:
    """Principal axes of the features over rendered faces of all domains, with a total variance of 100.

    Units are brought to sd 1 first, except those that are hardly ever above 0.
    """
    chosen = images[:: max(1, len(images) // 4000)]
    features = torch.cat([judge.raw(to_float(part))[0].features for part in chosen.split(64)]).double()
    sd = features.std(0)
    scale = 1 / sd.clamp_min(0.1 * float(sd.median()) + 1e-6)
    variances, axes = torch.linalg.eigh(torch.cov((features * scale).T))  # smallest first
    kept, axes = variances.flip(0)[:AXES], axes.flip(1)[:, :AXES]
    judge.feature_mean.copy_(features.mean(0))
    judge.feature_axes.copy_(scale[:, None] * axes * (100 / kept.sum()).sqrt())
