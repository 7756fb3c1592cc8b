"""How everything in checkpoints/pocket/ is made, from nothing: `make pocket`, or `python -m stylegan2 pocket`.

    judge     a network that reads attributes and landmarks off any face, trained on rendered faces
    photo     the source model: a generator and a discriminator trained from scratch on rendered photos, in three runs
    webtoon   the baseline: the source fine-tuned with ADA + FreezeD on 1,000 webtoon faces
    report    how good they are, measured by the judge, and contact sheets

Every step is seeded, shows its progress, resumes where it was killed, and is skipped when its result is there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from stylegan2 import checkpoints, display, metrics, networks
from stylegan2.data import pocket
from stylegan2.data.dataset import LMDBDataset
from stylegan2.data.prepare import prepare
from stylegan2.editing.latents import draw, ws_from_seeds
from stylegan2.judge import Judge
from stylegan2.judge_training import train_judge
from stylegan2.networks import Generator
from stylegan2.runtime import pick_device
from stylegan2.training.config import TrainConfig
from stylegan2.training.logs import read_log
from stylegan2.training.snapshots import snapshot_files
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
    warmup_images: int = 93_104  # images shown to the discriminator in the source's warm-up run
    photo_images: int = 150_000  # in the long run after it
    large_images: int = 1_200_000  # and in the last one, in large batches: for a GPU
    curve_images: int = 20_000  # between two points of the source's learning curve
    webtoon_images: int = 20_000
    judge_images: int = 100_000
    seed: int = 0
    device: str = "auto"  # of the training; measuring is done on the CPU

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
    train_judge(recipe.path("judge"), images=recipe.judge_images, seed=recipe.seed)


def warmup_config(recipe: Recipe) -> TrainConfig:
    """The source model's first run: shapes and colours."""
    return TrainConfig(
        out=recipe.work / "photo_warmup",
        images=recipe.warmup_images,
        seed=recipe.seed,
        r1_gamma=0.2,  # ADA's heuristic gives 0.05; its paper's own settings are about four times theirs
        blur_sigma=2.0,  # without this warm-up D looks at grain and edges first, and G answers with noise for eyes
        blur_images=40_000,
        pl_interval=8,  # half of the usual cost; smoothness comes early at this size
        augment="none",  # 30,000 faces are more than this run can learn by heart
        snapshot_images=8_000,
        sample_images=4_000,
    )


def photo_config(recipe: Recipe) -> TrainConfig:
    """The source model's second run, from the weights of the first: everything else."""
    return TrainConfig(
        out=recipe.work / "photo",
        images=recipe.photo_images,
        seed=recipe.seed + 1,  # other data order and latents than in the first run
        r1_gamma=0.2,
        pl_interval=8,
        augment="none",
        reuse_fakes=True,  # a tenth more images in the same time
        snapshot_images=recipe.curve_images,
        keep=1_000,  # all of them: the report measures how the distance falls
        sample_images=8_000,
        log_images=1_600,
    )


def large_config(recipe: Recipe) -> TrainConfig:
    """The source model's third run: details and variety, from four times as many images in each iteration."""
    return TrainConfig(
        out=recipe.work / "photo_large",
        images=recipe.large_images,
        batch=64,
        seed=recipe.seed + 2,
        r1_gamma=0.2,
        pl_interval=8,
        ema_rampup=None,  # the average starts from a good one
        augment="none",
        reuse_fakes=True,
        snapshot_images=10 * recipe.curve_images,
        keep=1_000,
        sample_images=100_000,
        log_images=12_800,
    )


def photo_runs(recipe: Recipe) -> dict[Path, TrainConfig]:
    """The source's runs, each from the weights of the one before: {the file a run leaves: its settings}."""
    return {
        recipe.work / "photo_warmup.pt": warmup_config(recipe),
        recipe.work / "photo_long.pt": photo_config(recipe),
        recipe.path("photo"): large_config(recipe),
    }


def make_photo(recipe: Recipe) -> None:
    """Train the source model from scratch; runs before the last one are skipped where their result is there."""
    g, d = networks.build(SIZE, "pocket", recipe.seed)
    start = checkpoints.Checkpoint(g_ema=g, g=g, d=d)
    for path, config in photo_runs(recipe).items():
        if path == recipe.path("photo") or not path.exists():
            trainer = Trainer(
                config, recipe.dataset("photo"), start.g, start.d, start.g_ema, device=pick_device(recipe.device)
            )
            _train(recipe, path, trainer, with_discriminator=True, before=start.info)
        start = checkpoints.load(path)


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


def baseline_trainer(recipe: Recipe, domain: str, config: TrainConfig) -> Trainer:
    """The source, about to be fine-tuned to a domain: ADA and FreezeD, nothing that keeps structure."""
    source = checkpoints.load(recipe.path("photo"))
    return Trainer.fine_tune(config, recipe.dataset(domain), source, [FreezeD(32)], pick_device(recipe.device))


def make_webtoon(recipe: Recipe) -> None:
    """Fine-tune the source to webtoons."""
    trainer = baseline_trainer(recipe, "webtoon", baseline_config(recipe, "webtoon"))
    _train(recipe, recipe.path("webtoon_baseline"), trainer)


def _train(
    recipe: Recipe, path: Path, trainer: Trainer, with_discriminator: bool = False, before: dict | None = None
) -> None:
    """Run to the end and save the averaged generator (a source also has what fine-tuning starts from).

    before: what the file that the run started from says of itself, when the run is only the second half of a training.
    """
    g_ema = trainer.run()
    if trainer.step < trainer.config.steps:
        raise KeyboardInterrupt(f"stopped at {trainer.images_seen:,} images; the same command goes on from there")
    before = before or {}
    meta = {"images": trainer.images_seen + before.get("images", 0), "seed": recipe.seed, "frozen": trainer.frozen}
    meta |= {"seconds": training_seconds(trainer.folder) + before.get("seconds", 0), "precision": trainer.precision}
    parts = {"g": trainer.g, "d": trainer.d} if with_discriminator else {}
    checkpoints.save(path, g_ema=g_ema, **parts, half=True, meta=meta | {"renderer": pocket.VERSION})


def training_seconds(run: Path) -> int:
    """Seconds that a run trained, also when it was interrupted: its log holds images and images/s, line by line."""
    seconds, before = 0.0, 0.0
    for row in read_log(run / "log.csv"):
        seconds += (row["images"] - before) / row["images_per_second"]
        before = row["images"]
    return round(seconds)


@torch.no_grad()
def generate(g: Generator, count: int, seed: int = 1) -> Tensor:
    """`count` images without truncation, uint8 [count, 3, R, R]."""
    z = torch.randn(count, g.z_dim, generator=step_generator(seed, 0))
    return display.to_uint8(draw(g, g.mapping(z)))


def contact_sheet(recipe: Recipe, name: str, domain: str) -> None:
    """32 rendered faces above 32 generated ones, as checkpoints/pocket/NAME.jpg."""
    rendered = pocket.render(pocket.sample(domain, 32, seed=7), domain, SIZE)
    generated = generate(checkpoints.load(recipe.path(name)).g_ema, 32, seed=7)
    sheets = {"rendered": rendered, "generated": generated}
    pictures = [display.label(display.grid(images, 8, scale=2), f"32 {kind}") for kind, images in sheets.items()]
    display.save(display.stack(pictures, gap=10), recipe.shipped / f"{name}.jpg")


@torch.no_grad()
def paired(source: Generator, target: Generator, count: int, same: str, seed: int = 1) -> tuple[Tensor, Tensor]:
    """`count` pairs from source and target, uint8 [count, 3, R, R] each; same="w": one code through both, made by the
    source's mapping; same="z": each through its own mapping."""
    z = torch.randn(count, source.z_dim, generator=step_generator(seed, 0))
    ws = source.mapping(z), (source if same == "w" else target).mapping(z)
    return tuple(display.to_uint8(draw(g, w)) for g, w in zip((source, target), ws, strict=True))


def measure_structure(judge: Judge, source: Generator, target: Generator, domain: str) -> dict:
    """Landmark error between source and target for the same w and for the same z, as plain values."""
    found = {}
    for same in ("w", "z"):
        pair = paired(source, target, REPORT_FACES, same)
        error = metrics.measure_landmark_error(judge, *pair, "photo", domain)
        print(f"same {same}: {error}")
        found[f"landmark_error_same_{same}"] = asdict(error)
    return found


def make_report(recipe: Recipe) -> None:
    """Measure what is shipped; writes checkpoints/pocket/report.json and the contact sheets."""
    judge = Judge.load(recipe.path("judge"))
    photo, webtoon = (checkpoints.load(recipe.path(name)) for name in ("photo", "webtoon_baseline"))
    results = {"photo": photo.info | metrics.report_model(judge, generate(photo.g_ema, REPORT_FACES), "photo")}
    measured = metrics.report_model(judge, generate(webtoon.g_ema, REPORT_FACES), "webtoon")
    results["webtoon_baseline"] = webtoon.info | measured
    results["webtoon_baseline"] |= measure_structure(judge, photo.g_ema, webtoon.g_ema, "webtoon")
    results["photo"]["curve"] = photo_curve(recipe, judge)
    curve_sheet(recipe, results["photo"]["curve"], results["photo"]["pocket_distance"]["floor"])
    contact_sheet(recipe, "photo", "photo")
    contact_sheet(recipe, "webtoon_baseline", "webtoon")
    domain_sheets(recipe)
    pair_sheet(recipe, photo.g_ema, webtoon.g_ema)
    for name in ("photo", "webtoon_baseline"):
        timeline(recipe, name)
    part = recipe.shipped / ".report.part"
    part.write_text(json.dumps(results, indent=2))
    os.replace(part, recipe.shipped / "report.json")


def photo_curve(recipe: Recipe, judge: Judge) -> list[dict[str, float]]:
    """Pocket distance of the source against images shown: where runs start, and at each snapshot of the later ones.

    Empty where the runs are not: they are in `recipe.work`, which is not shipped.
    """
    points, reference = [], None
    starts = list(photo_runs(recipe).items())
    for (start, _), (_, config) in zip(starts, starts[1:], strict=False):
        if not start.exists():
            return []
        shown, every = checkpoints.load(start).info["images"], config.snapshot_images
        run = {int(path.stem): path for path in snapshot_files(config.out)}
        files = {0: start} | {images: path for images, path in run.items() if _regular(images, every, max(run))}
        reference = reference or metrics.rendered_reference(judge, "photo", REPORT_FACES)  # rendered and read once
        for images, path in files.items():
            if points and points[-1]["images"] == shown + images:  # where one run ends the next one starts
                continue
            faces = generate(checkpoints.load(path, g_ema_only=True).g_ema, REPORT_FACES)
            distance = metrics.measure_pocket_distance(judge, faces, reference).value
            points.append({"images": shown + images, "pocket distance": distance})
            print(f"{shown + images:,} images: pocket distance {distance:.1f}")
    return points


def _regular(images: int, every: int, last: int) -> bool:
    """Is this a snapshot after `every` images, or the last one? (Others were written where a run was interrupted.)"""
    return images % every < 64 or images == last


def curve_sheet(recipe: Recipe, points: list[dict[str, float]], floor: float) -> None:
    """photo_curve.jpg: the source's learning curve above the distance of photos to photos."""
    if points:
        rows = [{**point, "floor": floor} for point in points]
        picture = display.figure_to_pil(display.curves(rows, {"photo": ["pocket distance", "floor"]}))
        display.save(picture, recipe.shipped / "photo_curve.jpg")


def pair_sheet(recipe: Recipe, source: Generator, target: Generator) -> None:
    """pairs.jpg: the same codes w through the source and through the fine-tuned generator."""
    ws = ws_from_seeds(source, range(10), truncation=0.8)
    pairs = {"source": draw(source, ws), "fine-tuned": draw(target, ws)}
    display.save(display.rows(pairs, scale=2), recipe.shipped / "pairs.jpg")


def timeline(recipe: Recipe, name: str, most: int = 6) -> None:
    """NAME_timeline.jpg: the first row of a run's sample pictures, from its start to its end."""
    files = sorted((recipe.work / name / "samples").glob("*.png"))
    if not files:  # the run was made elsewhere: the picture that is there stays
        return
    chosen = sorted({files[round(i * (len(files) - 1) / (most - 1))] for i in range(most)})
    rows = []
    for file in chosen:
        with Image.open(file) as sheet:
            row = sheet.convert("RGB").crop((0, 0, sheet.width, SIZE))
        rows.append(display.label(row.resize((row.width * 2, row.height * 2)), f"{int(file.stem):,} images", 130))
    display.save(display.stack(rows), recipe.shipped / f"{name}_timeline.jpg")


def domain_sheets(recipe: Recipe) -> None:
    """domains.jpg: the same eight people in all four domains; worlds.jpg: each domain by its own statistics."""
    faces = pocket.sample("photo", 8, seed=3)
    drawn = {domain: pocket.render(faces, domain, 128) for domain in pocket.DOMAINS}
    display.save(display.rows(drawn), recipe.shipped / "domains.jpg")
    own = [display.grid(pocket.render(pocket.sample(domain, 24), domain, 96), 12) for domain in pocket.DOMAINS]
    titled = [display.label(sheet, domain) for sheet, domain in zip(own, pocket.DOMAINS, strict=True)]
    display.save(display.stack(titled), recipe.shipped / "worlds.jpg")


STEPS: dict[str, Callable[[Recipe], None]] = {
    "judge": make_judge,
    "photo": make_photo,
    "webtoon": make_webtoon,
    "report": make_report,
}
