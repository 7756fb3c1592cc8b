"""How everything in checkpoints/pocket/ is made, from nothing: `make pocket`, or `python -m stylegan2 pocket`.

    judge     a network that reads attributes and landmarks off any face, trained on rendered faces
    photo     the source model: a generator and a discriminator trained from scratch on rendered photos
    webtoon   the baseline: the source fine-tuned with ADA + FreezeD on 1,000 webtoon faces
    report    how good they are, measured by the judge, and contact sheets

Every step is seeded, shows its progress, resumes where it was killed, and is skipped when its result is there.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from stylegan2 import checkpoints, display, networks
from stylegan2.data import pocket
from stylegan2.data.dataset import LMDBDataset
from stylegan2.data.prepare import prepare
from stylegan2.training.config import TrainConfig
from stylegan2.training.trainer import Trainer, step_generator
from stylegan2.training.transfer import FreezeD

SIZE = 64
REPORT_FACES = 2000  # faces on either side of a distance


@dataclass(frozen=True)
class Recipe:
    """Where things go and how long the steps take. The lengths are those of the shipped files."""

    shipped: Path = Path("checkpoints/pocket")
    work: Path = Path("build/pocket")  # datasets and runs: large, resumable, not shipped
    photo_faces: int = 30_000  # rendered photos to learn from
    photo_images: int = 200_000  # images shown to the discriminator
    webtoon_images: int = 24_000
    judge_images: int = 150_000
    seed: int = 0

    def path(self, name: str) -> Path:
        """A shipped file, e.g. path("photo") -> checkpoints/pocket/photo.pt."""
        return self.shipped / f"{name}.pt"

    def dataset(self, domain: str) -> LMDBDataset:
        """The domain's rendered faces as an LMDB held in memory, rendered at first use."""
        count = pocket.dataset_size(domain) or self.photo_faces
        folder = self.work / f"{domain}-{count}-v{pocket.VERSION}.lmdb"
        prepare(f"pocket:{domain}?n={count}", folder, sizes=(SIZE,))
        return LMDBDataset(folder, cache=True)


def make_judge(recipe: Recipe) -> None:
    """Train the judge and write its held-out errors beside it."""
    from stylegan2.judge import train_judge

    train_judge(recipe.path("judge"), images=recipe.judge_images, seed=recipe.seed)


def photo_config(recipe: Recipe) -> TrainConfig:
    """The source model's settings."""
    return TrainConfig(
        out=recipe.work / "photo",
        images=recipe.photo_images,
        seed=recipe.seed,
        r1_gamma=0.2,  # ADA's heuristic gives 0.05; its paper's own settings are about four times theirs
        pl_interval=8,  # half of the usual cost; smoothness comes early at this size
        augment="none",  # 30,000 faces are more than this run can learn by heart
        snapshot_images=8_000,
        sample_images=4_000,
    )


def make_photo(recipe: Recipe) -> None:
    """Train the source model from scratch."""
    g, d = networks.build(SIZE, "pocket", recipe.seed)
    _train(recipe, "photo", Trainer(photo_config(recipe), recipe.dataset("photo"), g, d), with_discriminator=True)


def baseline_config(recipe: Recipe, domain: str) -> TrainConfig:
    """Settings of the baseline: StyleGAN2-ADA fine-tuning, as in the paper's comparison."""
    return TrainConfig(
        out=recipe.work / f"{domain}_baseline",
        images=recipe.webtoon_images,
        seed=recipe.seed,
        fine_tune=True,
        r1_gamma=0.2,
        snapshot_images=4_000,
        sample_images=2_000,
    )


def make_webtoon(recipe: Recipe) -> None:
    """Fine-tune the source to webtoons: ADA and FreezeD, nothing that keeps structure."""
    source = checkpoints.load(recipe.path("photo"))
    config = baseline_config(recipe, "webtoon")
    trainer = Trainer(config, recipe.dataset("webtoon"), source.g, source.d, source.g_ema, [FreezeD(32)])
    _train(recipe, "webtoon_baseline", trainer)


def _train(recipe: Recipe, name: str, trainer: Trainer, with_discriminator: bool = False) -> None:
    """Run to the end and ship the averaged generator (a source also ships what fine-tuning starts from)."""
    start, before = time.time(), trainer.images_seen
    g_ema = trainer.run()
    if trainer.step < trainer.config.steps:
        raise SystemExit(f"stopped at {trainer.images_seen:,} images; the same command goes on from there")
    meta = {"images": trainer.images_seen, "seed": recipe.seed, "renderer": pocket.VERSION, "frozen": trainer.frozen}
    meta |= {"seconds": round(time.time() - start), "resumed_at": before}
    parts = {"g": trainer.g, "d": trainer.d} if with_discriminator else {}
    checkpoints.save(recipe.path(name), g_ema=g_ema, **parts, half=True, meta=meta)


@torch.no_grad()
def generate(g, count: int, seed: int = 1, batch: int = 50) -> Tensor:
    """`count` images without truncation, uint8 [count, 3, R, R]."""
    z = torch.randn(count, g.z_dim, generator=step_generator(seed, 0))
    return torch.cat([display.to_uint8(g(chunk, noise="const")) for chunk in z.split(batch)])


def contact_sheet(recipe: Recipe, name: str, domain: str) -> None:
    """32 rendered faces above 32 generated ones, as checkpoints/pocket/NAME.png."""
    rendered = pocket.render(pocket.sample(domain, 32, seed=7), domain, SIZE)
    generated = generate(checkpoints.load(recipe.path(name)).g_ema, 32, seed=7)
    sheets = {"rendered": rendered, "generated": generated}
    pictures = [display.label(display.grid(images, 8, scale=2), f"32 {kind}") for kind, images in sheets.items()]
    display.save(display.stack(pictures, gap=10), recipe.shipped / f"{name}.png")


def make_report(recipe: Recipe) -> None:
    """Measure what is shipped; writes checkpoints/pocket/report.json and the contact sheets."""
    from stylegan2.judge import Judge
    from stylegan2.metrics import report_model

    judge = Judge.load(recipe.path("judge"))
    results = {}
    for name, domain in {"photo": "photo", "webtoon_baseline": "webtoon"}.items():
        contact_sheet(recipe, name, domain)
        found = checkpoints.load(recipe.path(name))
        results[name] = {**found.info, **report_model(judge, generate(found.g_ema, REPORT_FACES), domain)}
    part = recipe.shipped / ".report.part"
    part.write_text(json.dumps(results, indent=2))
    os.replace(part, recipe.shipped / "report.json")


STEPS: dict[str, Callable[[Recipe], None]] = {
    "judge": make_judge,
    "photo": make_photo,
    "webtoon": make_webtoon,
    "report": make_report,
}
