"""Training of the judge on freshly rendered faces of all domains; see :mod:`stylegan2.pocket.nets.judge`.

Faces are drawn by the statistics of every domain and rendered in every domain, cross pairs too: otherwise the judge
would learn that a webtoon smiles and has pink hair, and would read that into a picture instead of out of it.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from stylegan2 import files
from stylegan2.data.roughen import roughen
from stylegan2.pocket import world
from stylegan2.pocket.nets.judge import (
    AXES,
    CONTINUOUS,
    FLAGS,
    GROUPS,
    SIZE,
    Judge,
    Raw,
    evaluate_judge,
    format_evaluation,
    read_dict,
)
from stylegan2.runtime import keep_memory_warm, pick_dtype
from stylegan2.setting_types import check_seed

NO_EFFECT = ("save_every", "evaluation_faces", "precision")  # settings that may change when a training goes on
TRAINING_SEED = 700_000  # sequences of faces that no data set and no evaluation draws from
TRAINING_FORMAT = "stylegan2 pocket judge, in training"
POOL_FORMAT = "stylegan2 pocket faces for the judge"
MIRRORED = [world.VECTOR_NAMES.index(name) for name in ("yaw", "roll", "parting", "gaze", "light")]


@dataclass(frozen=True)
class JudgeConfig:
    """How the judge is trained.

    Raises:
        ValueError: for numbers that cannot work.
    """

    images: int = 100_000  # shown in all
    batch: int = 64
    own_faces: int = 3500  # rendered per domain with that domain's statistics
    cross_faces: int = 900  # rendered per pair of another domain's statistics and this domain
    lr: float = 3e-3  # at its highest, after a warm-up; falls to 0 along a cosine
    weight_decay: float = 0.02
    seed: int = 0
    save_every: int = 10_000  # images between two states to continue from
    evaluation_faces: int = 500  # per domain, for the errors that are recorded at the end
    precision: str = "auto"  # of the convolutions: "auto", "float32", "bfloat16"

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if self.images < self.batch or self.batch < 2:
            raise ValueError(f"expected images >= batch >= 2, got images={self.images}, batch={self.batch}")
        if min(self.own_faces, self.save_every) < 1 or self.cross_faces < 0:
            raise ValueError("own_faces and save_every must be positive, cross_faces not negative")

    @property
    def steps(self) -> int:
        return self.images // self.batch


# ---------------------------------------------------------------------------------------------------------- the faces
@dataclass
class Pool:
    """Rendered faces and what is known of them."""

    images: Tensor  # uint8 [N, 3, 64, 64]
    attributes: Tensor  # [N, A]
    landmarks: Tensor  # [N, K, 2]
    domain: Tensor  # long [N]

    def __len__(self) -> int:
        return len(self.images)

    def pick(self, index: Tensor) -> Pool:
        return Pool(self.images[index], self.attributes[index], self.landmarks[index], self.domain[index])


def render_pool(own: int, cross: int, seed: int = 0) -> Pool:
    """Render `own` faces for each domain and `cross` for each ordered pair of two domains."""
    parts = []
    for d, domain in enumerate(world.DOMAINS):
        for statistics in world.DOMAINS:
            n = own if statistics == domain else cross
            faces = world.sample(statistics, n, seed=TRAINING_SEED + 10 * seed + d)  # other people in every domain
            images = world.render(faces, domain, SIZE)
            parts.append(Pool(images, faces.vector(), world.landmarks(faces, domain), torch.full((n,), d)))
    names = ("images", "attributes", "landmarks", "domain")
    return Pool(*(torch.cat([getattr(part, name) for part in parts]) for name in names))


def kept_pool(config: JudgeConfig, folder: Path) -> Pool:
    """The pool of a config, rendered once and kept in `folder`: a training that goes on need not draw it again."""
    made_for = [world.VERSION, config.own_faces, config.cross_faces, config.seed]
    path = folder / "judge_pool.pt"
    if path.is_file():
        content = read_dict(path, POOL_FORMAT)
        if content["made_for"] == made_for:
            return Pool(**content["pool"])
    pool = render_pool(config.own_faces, config.cross_faces, config.seed)
    files.write(path, {"format": POOL_FORMAT, "made_for": made_for, "pool": vars(pool)})
    return pool


def _mirror_order() -> list[int]:
    """For each landmark, which one takes its place in a mirror."""
    swap = {"left": "right", "right": "left"}
    names = ["_".join(swap.get(word, word) for word in name.split("_")) for name in world.LANDMARKS]
    return [world.LANDMARKS.index(name) for name in names]


def mirror(pool: Pool, chosen: Tensor) -> Pool:
    """The faces where `chosen` (bool [N]) is true seen in a mirror, with what is known of them."""
    images = torch.where(chosen[:, None, None, None], pool.images.flip(3), pool.images)
    attributes = pool.attributes.clone()
    attributes[:, MIRRORED] *= torch.where(chosen, -1.0, 1.0)[:, None]
    flipped = pool.landmarks[:, _mirror_order()] * torch.tensor([-1.0, 1.0]) + torch.tensor([1.0, 0.0])
    landmarks = torch.where(chosen[:, None, None], flipped, pool.landmarks)
    return Pool(images, attributes, landmarks, pool.domain)


# ----------------------------------------------------------------------------------------------------------- the losses
HEAT_SD = 1.0 / 32  # of the wanted heat around a landmark, in image sides: one cell of the map


def losses(raw: Raw, truth: Pool, grid: Tensor) -> dict[str, Tensor]:
    """Named losses of one batch; their sum is minimised.

    Landmarks: distance in image sides (weighted) and the cross entropy of the heat against a small Gaussian, which
    keeps the heat in one place. Attributes: smooth L1, binary or ordinary cross entropy, by kind.
    """
    squared = (truth.landmarks[:, :, None] - grid).square().sum(3)  # [N, K, 1024]
    wanted = (-squared / (2 * HEAT_SD**2)).softmax(dim=2)
    given, predicted = truth.attributes, raw.attributes
    choices = [F.cross_entropy(predicted[:, columns], given[:, columns].argmax(1)) for columns in GROUPS.values()]
    return {
        "landmarks": 40.0 * (raw.landmarks - truth.landmarks).abs().mean(),
        "heat": -0.25 * (wanted * raw.heat).sum(2).mean(),
        "values": 4.0 * F.smooth_l1_loss(predicted[:, CONTINUOUS], given[:, CONTINUOUS], beta=0.5),
        "flags": F.binary_cross_entropy_with_logits(predicted[:, FLAGS], given[:, FLAGS]),
        "choices": 0.5 * torch.stack(choices).mean(),
        "domain": 0.2 * F.cross_entropy(raw.domain, truth.domain),
    }


# -------------------------------------------------------------------------------------------------------- the training
class _Run:
    """Network, optimiser and place in the schedule: what is saved and continued."""

    def __init__(self, config: JudgeConfig) -> None:
        torch.manual_seed(config.seed)  # initial weights only; everything else has its own generator
        self.config, self.judge, self.step = config, Judge().to(memory_format=torch.channels_last), 0
        self.optimiser = torch.optim.AdamW(self.judge.parameters(), config.lr, weight_decay=config.weight_decay)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, config.lr, total_steps=config.steps, pct_start=0.1, cycle_momentum=False
        )
        self.dtype = pick_dtype(config.precision, torch.device("cpu"))

    def save(self, path: Path) -> None:
        state = {
            "judge": self.judge.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "step": self.step,
            "settings": _settings(self.config),
        }
        files.write(path, {"format": TRAINING_FORMAT, **state})

    def resume(self, path: Path) -> None:
        """Go on where a run with the same settings stopped; a file of other settings is passed over."""
        content = read_dict(path, TRAINING_FORMAT)
        if content["settings"] != _settings(self.config):
            return
        self.judge.load_state_dict(content["judge"])
        self.optimiser.load_state_dict(content["optimiser"])
        self.schedule.load_state_dict(content["schedule"])
        self.step = content["step"]

    def batch(self, pool: Pool) -> Pool:
        """The faces of this step, a function of (seed, step) alone."""
        size, done = self.config.batch, self.step * self.config.batch
        epoch, first = divmod(done, len(pool) // size * size)
        shuffle = torch.Generator().manual_seed((self.config.seed + 1000 * epoch) % 2**63)
        order = torch.randperm(len(pool), generator=shuffle)
        rng = torch.Generator().manual_seed((self.config.seed * 1_000_003 + self.step) % 2**63)
        picked = mirror(pool.pick(order[first : first + size]), torch.rand(size, generator=rng) < 0.5)
        images = picked.images.float().div_(127.5).sub_(1)
        images, landmarks = roughen(images, picked.landmarks, rng)
        return Pool(images.contiguous(memory_format=torch.channels_last), picked.attributes, landmarks, picked.domain)

    def train_step(self, pool: Pool) -> dict[str, float]:
        self.judge.train()
        batch = self.batch(pool)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.dtype == torch.bfloat16):
            raw = self.judge.raw(batch.images)
        parts = losses(raw, batch, self.judge.grid)
        self.optimiser.zero_grad(set_to_none=True)
        torch.stack(list(parts.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(self.judge.parameters(), 5.0)
        self.optimiser.step()
        self.schedule.step()
        self.step += 1
        return {name: float(value.detach()) for name, value in parts.items()}


def _settings(config: JudgeConfig) -> dict:
    settings = {name: value for name, value in vars(config).items() if name not in NO_EFFECT}
    return {**settings, "renderer": world.VERSION}


@torch.no_grad()
def _set_feature_axes(judge: Judge, pool: Pool) -> None:
    """Principal axes of the features over rendered faces of all domains, scaled to a total variance of 100.

    Units are brought to sd 1 first; those that hardly ever fire (a ReLU can die) are not blown up.
    """
    judge.eval()
    chosen = pool.images[:: max(1, len(pool) // 4000)]
    features = torch.cat([judge.raw(part.float().div(127.5).sub(1)).features for part in chosen.split(64)]).double()
    sd = features.std(0)
    scale = 1 / sd.clamp_min(0.1 * float(sd.median()) + 1e-6)
    variances, axes = torch.linalg.eigh(torch.cov((features * scale).T))  # smallest first
    kept, axes = variances.flip(0)[:AXES], axes.flip(1)[:, :AXES]
    judge.feature_mean.copy_(features.mean(0))
    judge.feature_axes.copy_(scale[:, None] * axes * (100 / kept.sum()).sqrt())


def train_judge(
    path: str | os.PathLike,
    images: int = 100_000,
    seed: int = 0,
    scratch: str | os.PathLike = "build/pocket",
    progress: bool = True,
    **settings,
) -> Judge:
    """Train a judge, save it at `path` and its errors beside it as `.json`; called again, a killed training goes on.

    Args:
        path: where the weights go, usually checkpoints/pocket/judge.pt.
        images: shown in all.
        seed: of the initial weights, the faces and their order.
        scratch: folder for the rendered faces and the state of an unfinished training.
        progress: a bar, and the table of errors at the end.
        settings: further fields of JudgeConfig.

    Returns:
        The judge as it was saved.
    """
    config, path = JudgeConfig(images=images, seed=seed, **settings), Path(path)
    keep_memory_warm()
    started, run, state = time.perf_counter(), _Run(config), Path(scratch) / f"{path.stem}_training.pt"
    if state.is_file():
        run.resume(state)
    pool = kept_pool(config, Path(scratch))
    _train(run, pool, state, progress)
    run.judge.eval()
    _set_feature_axes(run.judge, pool)
    run.judge.save(path)
    judge = Judge.load(path)
    minutes = (time.perf_counter() - started) / 60
    errors = {
        "training": {**_settings(config), "minutes": round(minutes, 1)},
        "errors": evaluate_judge(judge, config.evaluation_faces),
    }
    files.write_json(path.with_suffix(".json"), errors)
    state.unlink(missing_ok=True)
    if progress:
        print(format_evaluation(errors["errors"]))
    return judge


def _train(run: _Run, pool: Pool, state: Path, progress: bool) -> None:
    from tqdm.auto import tqdm

    config, recent = run.config, {}
    every = max(1, config.save_every // config.batch)
    start = run.step * config.batch
    with tqdm(total=config.steps * config.batch, initial=start, unit="img", disable=not progress, mininterval=5) as bar:
        while run.step < config.steps:
            for name, value in run.train_step(pool).items():
                recent[name] = recent.get(name, value) * 0.98 + value * 0.02
            bar.update(config.batch)
            if run.step % 50 == 0:
                bar.set_postfix({name: f"{value:.3f}" for name, value in recent.items()}, refresh=False)
            if run.step % every == 0:
                run.save(state)
