"""How everything in checkpoints/pocket/ is made: `make pocket`, or `python -m stylegan2 pocket`.

    judge       a network that reads attributes and landmarks off any face, trained on rendered faces
    photo       the source model: a generator and a discriminator trained from scratch on rendered photos, in three runs
    targets     the source fine-tuned to webtoon, storybook and portrait faces, by several methods
    scoreboard  the comparison of all methods (hours on a CPU; `python -m stylegan2 scoreboard` has options)
    clip        a tiny CLIP, trained on rendered faces and what can be said of them
    edits       what its text edits do, measured by the judge
    encoder     from an image straight to codes of the source model
    routes      how well codes are found, and how quickly, on every route
    detector    finds faces on rendered webtoon pages
    report      how good source and baseline are, measured by the judge, and contact sheets

The lengths are those of the shipped files. One of them was made a little differently: the source's third run was done
in two pieces on a GPU, the second with CUDA graphs (benchmarks/README.md).

Every step is seeded, shows its progress, resumes where it was killed, and is skipped when its result is there.

Longer than other modules: the steps stand in the order in which they run, each beside its pictures.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from stylegan2 import checkpoints, display, files, networks
from stylegan2.config import TrainConfig
from stylegan2.data.dataset import LMDBDataset
from stylegan2.data.prepare import prepare
from stylegan2.inputs import step_generator
from stylegan2.editing import figures
from stylegan2.editing.latents import render, ws_from_seeds
from stylegan2.networks import Generator
from stylegan2.pocket import measures, world
from stylegan2.pocket.nets.clip_training import ClipConfig, train_clip
from stylegan2.pocket.nets.detector_training import DetectorConfig, train_detector
from stylegan2.pocket.nets.encoder_training import EncoderConfig, train_encoder
from stylegan2.pocket.nets.judge import Judge
from stylegan2.pocket.nets.judge_training import train_judge
from stylegan2.pocket.nets.perceptual import JudgeDistance
from stylegan2.pocket.studies import projection as routes
from stylegan2.pocket.studies import scoreboard, scoreboard_view, text_edits
from stylegan2.pocket.studies.scoreboard import Entry, Study, methods_study
from stylegan2.published.clip_model import ClipModel
from stylegan2.runs import read_log, snapshot_files
from stylegan2.runtime import pick_device
from stylegan2.trainer import Trainer
from stylegan2.transfer import METHODS, StructureLoss

SIZE = 64
REPORT_FACES = 2000  # faces on either side of a distance
SHOWN_SEEDS = (46, 51, 61, 179, 33, 2, 14, 24, 110, 52)  # for pictures: chosen for what the baseline loses in them


@dataclass(frozen=True)
class Recipe:
    """Where things go and how long the steps take."""

    shipped: Path = Path("checkpoints/pocket")
    work: Path = Path("build/pocket")  # datasets and runs: large, resumable, not shipped
    photo_faces: int = 30_000  # rendered photos to learn from
    warmup_images: int = 93_104  # images shown to the discriminator in the source's warm-up run
    photo_images: int = 150_000  # in the long run after it
    large_images: int = 444_224  # and in the last one, in large batches: for a GPU
    curve_images: int = 20_000  # between two points of the source's learning curve
    target_images: int = 24_000
    webtoon_seeds: tuple[int, ...] = (0, 1, 2)  # of the scoreboard; the other domains have one
    judge_images: int = 100_000
    clip_images: int = 3_000_000  # shown to the tiny CLIP: for a GPU
    clip_faces: int = 24_000  # rendered per domain for it
    text_faces: int = 50  # that each text edit is tried on
    encoder_images: int = 40_000  # shown to the encoder
    encoder_faces: int = 12_000  # rendered for it
    route_images: int = 100  # of either kind, on every route from image to codes
    detector_windows: int = 24_000  # of rendered pages, shown to the face detector
    detector_pages: int = 240
    held_out_pages: int = 100  # that the detector is tried on
    seed: int = 0
    device: str = "auto"  # for training and measuring

    def path(self, name: str) -> Path:
        """A shipped file, e.g. path("photo") -> checkpoints/pocket/photo.pt."""
        return self.shipped / f"{name}.pt"

    def load(self, name: str) -> checkpoints.Checkpoint:
        """A shipped model, on the recipe's device."""
        return checkpoints.load(self.path(name), self.device)

    def judge(self) -> Judge:
        """The shipped judge, on the recipe's device."""
        return Judge.load(self.path("judge"), self.device)

    @property
    def photos(self) -> LMDBDataset:
        """The rendered photos as an LMDB held in memory, rendered at first use."""
        folder = self.work / f"photo-{self.photo_faces}-v{world.VERSION}.lmdb"
        prepare(f"pocket:photo?n={self.photo_faces}", folder, sizes=(SIZE,))
        return LMDBDataset(folder, cache=True)

    @property
    def study(self) -> Study:
        """How targets are trained and compared."""
        files = {"source": self.path("photo"), "judge": self.path("judge"), "work": self.work / "scoreboard"}
        return Study(**files, images=self.target_images, faces=REPORT_FACES, device=self.device)


def make_judge(recipe: Recipe) -> None:
    """Train the judge and write its held-out errors beside it."""
    train_judge(recipe.path("judge"), images=recipe.judge_images, seed=recipe.seed)


def make_clip(recipe: Recipe) -> None:
    """Train the tiny CLIP and write its retrieval beside it."""
    pool = {"own_faces": recipe.clip_faces, "cross_faces": recipe.clip_faces // 6}
    config = ClipConfig(images=recipe.clip_images, seed=recipe.seed, **pool)
    train_clip(recipe.path("clip"), config, recipe.device, recipe.work)


def make_edits(recipe: Recipe) -> None:
    """Write what the judge says of the edits by the tiny CLIP."""
    clip = ClipModel.load(recipe.path("clip"), recipe.device)
    judge, source = recipe.judge(), recipe.load("photo").g_ema
    rows = text_edits.run(source, clip, judge, text_edits.PROMPTS, recipe.text_faces)
    files.write_json(recipe.shipped / "text_edits.json", rows)


def make_encoder(recipe: Recipe) -> None:
    """Train the source's encoder and write what it can beside it."""
    looks = JudgeDistance(recipe.judge())
    config = EncoderConfig(images=recipe.encoder_images, faces=recipe.encoder_faces, seed=recipe.seed)
    source = recipe.load("photo").g_ema
    train_encoder(recipe.path("encoder"), source, looks, config, recipe.device, recipe.work)


def make_detector(recipe: Recipe) -> None:
    """Train the face detector and write what it finds beside it."""
    config = DetectorConfig(windows=recipe.detector_windows, pages=recipe.detector_pages, seed=recipe.seed)
    train_detector(recipe.path("detector"), config, recipe.device, recipe.work, recipe.held_out_pages)


def make_routes(recipe: Recipe) -> None:
    """Write how well codes are found on every route (routes.json), with pictures."""
    g, judge = recipe.load("photo").g_ema, recipe.judge()
    encoder = checkpoints.load_encoder(recipe.path("encoder"), recipe.device).encoder
    images, drawn = routes.evaluation_images(g, recipe.route_images), {}

    def keep(kind: str, route: str, found: Tensor) -> None:
        drawn.setdefault(kind, {})[route] = found

    rows = routes.compare_routes(g, encoder, judge, images, on_route=keep)
    for kind, found in drawn.items():
        display.save(routes.sheet(images[kind], found), recipe.shipped / f"routes_{kind}.jpg")
    files.write_json(recipe.shipped / "routes.json", rows)


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
        last = path == recipe.path("photo")
        if last or not path.exists():
            nets = start.g, start.d, start.g_ema
            trainer = Trainer(config, recipe.photos, *nets, device=pick_device(recipe.device))
            _finish(recipe, path, trainer, start.info, last)
        start = checkpoints.load(path, recipe.device)


SHIPPED = {  # target models that come with the course
    "webtoon": tuple(METHODS),
    "storybook": ("baseline", "freeze-sg"),
    "portrait": ("baseline", "freeze-sg"),
}


def shipped_entries() -> dict[str, Entry]:
    """File name -> the training it comes from, e.g. "webtoon_freeze-sg"."""
    chosen = {(domain, name) for domain, names in SHIPPED.items() for name in names}
    entries = methods_study(SHIPPED, size=SIZE)
    return {f"{e.domain}_{e.name}": e for e in entries if (e.domain, e.name) in chosen}


def make_targets(recipe: Recipe) -> None:
    """Fine-tune the source to the target domains, by the methods that are shipped."""
    for name, entry in shipped_entries().items():
        print(f"{name}: {', '.join(map(str, entry.methods))}")
        scoreboard.train_entry(recipe.study, entry)
        shutil.copyfile(recipe.study.model(entry), recipe.path(name))


def make_scoreboard(recipe: Recipe) -> None:
    """Train and measure all methods: webtoon with several seeds, the other domains with one, and the settings."""
    entries = [
        *methods_study(("webtoon",), recipe.webtoon_seeds),
        *methods_study([d for d in SHIPPED if d != "webtoon"]),
    ]
    rows = scoreboard.rows(scoreboard.run(recipe.study, entries))
    files.write_json(recipe.shipped / "scoreboard.json", rows)
    scoreboard_pictures(recipe)
    swept = scoreboard.rows(scoreboard.run(recipe.study, _swept(recipe.webtoon_seeds)))
    files.write_text(recipe.shipped / "SCOREBOARD.md", scoreboard_view.page(rows, swept))
    files.write_json(recipe.shipped / "sweeps.json", swept)


def _swept(seeds: Sequence[int]) -> list[Entry]:
    """The sweep with one seed, and its best StructureLoss with all."""
    entries = scoreboard.sweep_study(seeds=seeds)
    return [e for e in entries if e.seed == seeds[0] or e.methods[-1] == StructureLoss(weight=3.0, relative=True)]


def scoreboard_pictures(recipe: Recipe) -> None:
    """scoreboard.jpg: webtoon's scatter plot; scoreboards.jpg: all of them, with swaps; methods.jpg: faces.

    methods.jpg has the same codes through every method's webtoon model.
    """
    rows = scoreboard.read_rows(recipe.shipped / "scoreboard.json")
    whole = [row for row in rows if row["swap"] is None]
    pictures = {
        "scoreboard": scoreboard_view.scatter(whole, ["webtoon"], ceiling=False),
        "scoreboards": scoreboard_view.scatter(rows),
    }
    for name, figure in pictures.items():
        display.save(figures.to_pil(figure), recipe.shipped / f"{name}.jpg")
    targets = {name: f"webtoon_{name}" for name in SHIPPED["webtoon"]}
    display.save(same_codes(recipe, targets), recipe.shipped / "methods.jpg")


def same_codes(recipe: Recipe, targets: dict[str, str], seeds: Iterable[int] = SHOWN_SEEDS) -> Image.Image:
    """A row of the source's faces, and one of the same codes w through each target: {label: name of its file}."""
    source = recipe.load("photo").g_ema
    ws = ws_from_seeds(source, seeds, truncation=0.8)
    drawn = {label: render(recipe.load(name).g_ema, ws) for label, name in targets.items()}
    return display.rows({"source": render(source, ws), **drawn}, scale=2)


def _finish(recipe: Recipe, path: Path, trainer: Trainer, before: dict, last: bool) -> None:
    """Run to the end and save the averaged generator, D, and if it is not the last run, G to go on with.

    before: what the file that the run started from says of itself.
    """
    g_ema = trainer.run()
    if trainer.step < trainer.config.steps:
        raise KeyboardInterrupt(f"stopped at {trainer.images_seen:,} images; the same command goes on from there")
    meta = {"images": trainer.images_seen + before.get("images", 0), "seed": recipe.seed, "frozen": trainer.frozen}
    meta |= {"seconds": training_seconds(trainer.folder) + before.get("seconds", 0), "precision": trainer.precision}
    parts = {"d": trainer.d} if last else {"g": trainer.g, "d": trainer.d}
    checkpoints.save(path, g_ema=g_ema, **parts, half=True, meta=meta | {"renderer": world.VERSION})


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
    return display.to_uint8(render(g, g.mapping(z)))


def contact_sheet(recipe: Recipe, name: str, domain: str) -> None:
    """32 rendered faces above 32 generated ones, as checkpoints/pocket/NAME.jpg."""
    rendered = world.render(world.sample(domain, 32, seed=7), domain, SIZE)
    generated = generate(recipe.load(name).g_ema, 32, seed=7)
    sheets = {"rendered": rendered, "generated": generated}
    pictures = [display.label(display.grid(images, 8, scale=2), f"32 {kind}") for kind, images in sheets.items()]
    display.save(display.stack(pictures, gap=10), recipe.shipped / f"{name}.jpg")


def paired(source: Generator, target: Generator, count: int, same: str, seed: int = 1) -> tuple[Tensor, Tensor]:
    """`count` pairs from source and target, uint8 [count, 3, R, R] each; same="w": one code through both, made by the
    source's mapping; same="z": each through its own mapping."""
    z = torch.randn(count, source.z_dim, generator=step_generator(seed, 0))
    return generate(source, count, seed), scoreboard.images(source, target, z, same)


def measure_structure(judge: Judge, source: Generator, target: Generator, domain: str) -> dict:
    """Landmark error between source and target for the same w and for the same z, as plain values."""
    found = {}
    for same in ("w", "z"):
        pair = paired(source, target, REPORT_FACES, same)
        error = measures.measure_landmark_error(judge, *pair, "photo", domain)
        print(f"same {same}: {error}")
        found[f"landmark_error_same_{same}"] = asdict(error)
    return found


def make_report(recipe: Recipe) -> None:
    """Measure what is shipped; writes checkpoints/pocket/report.json and the contact sheets."""
    judge = recipe.judge()
    photo, webtoon = (recipe.load(name) for name in ("photo", "webtoon_baseline"))
    results = {"photo": photo.info | measures.report_model(judge, generate(photo.g_ema, REPORT_FACES), "photo")}
    measured = measures.report_model(judge, generate(webtoon.g_ema, REPORT_FACES), "webtoon")
    results["webtoon_baseline"] = webtoon.info | measured
    results["webtoon_baseline"] |= measure_structure(judge, photo.g_ema, webtoon.g_ema, "webtoon")
    results["photo"]["curve"] = photo_curve(recipe, judge) or _curve_before(recipe, photo.info["images"])
    curve_sheet(recipe, results["photo"]["curve"], results["photo"]["pocket_distance"]["floor"])
    contact_sheet(recipe, "photo", "photo")
    for domain in SHIPPED:
        contact_sheet(recipe, f"{domain}_freeze-sg", domain)
    domain_sheets(recipe)
    pair_sheet(recipe)
    timeline(recipe, "photo")
    files.write_json(recipe.shipped / "report.json", results)


def _curve_before(recipe: Recipe, images: int) -> list[dict[str, float]]:
    """The learning curve of the report that is there, if it is of this model: its runs were made elsewhere."""
    report = recipe.shipped / "report.json"
    curve = json.loads(report.read_text())["photo"]["curve"] if report.exists() else []
    return curve if curve and curve[-1]["images"] == images else []


def photo_curve(recipe: Recipe, judge: Judge) -> list[dict[str, float]]:
    """Pocket distance of the source against images shown: where runs start, and at each snapshot of the later ones.

    Empty where the runs are not: they are in `recipe.work`, which is not shipped.
    """
    points, reference = [], None
    starts, configs = zip(*photo_runs(recipe).items(), strict=True)
    if not all(start.exists() for start in starts[:-1]):
        return []
    for start, config in zip(starts, configs[1:], strict=False):
        shown = checkpoints.load(start, "cpu").info["images"]
        run = {int(path.stem): path for path in snapshot_files(config.out)}
        files = {0: start} | {images: path for images, path in run.items() if _regular(images, config, max(run))}
        reference = reference or measures.rendered_reference(judge, "photo", REPORT_FACES)  # rendered and read once
        for images, path in files.items():
            if points and points[-1]["images"] == shown + images:  # where one run ends the next one starts
                continue
            faces = generate(checkpoints.load(path, recipe.device, g_ema_only=True).g_ema, REPORT_FACES)
            distance = measures.measure_pocket_distance(judge, faces, reference).value
            points.append({"images": shown + images, "pocket distance": distance})
            print(f"{shown + images:,} images: pocket distance {distance:.1f}")
    return points


def _regular(images: int, config: TrainConfig, last: int) -> bool:
    """Is this a snapshot at its time, or the last one? (Others were written where a run was interrupted.)"""
    return images % config.snapshot_images < config.batch or images == last


def curve_sheet(recipe: Recipe, points: list[dict[str, float]], floor: float) -> None:
    """photo_curve.jpg: the source's learning curve above the distance of photos to photos."""
    if points:
        rows = [{**point, "floor": floor} for point in points]
        picture = figures.to_pil(figures.curves(rows, {"photo": ["pocket distance", "floor"]}))
        display.save(picture, recipe.shipped / "photo_curve.jpg")


def pair_sheet(recipe: Recipe) -> None:
    """pairs.jpg: the same codes w through the source and through fine-tuned generators."""
    targets = {"webtoon\nbaseline": "webtoon_baseline", "webtoon\nFreezeSG": "webtoon_freeze-sg"}
    targets |= {f"{domain}\nFreezeSG": f"{domain}_freeze-sg" for domain in SHIPPED if domain != "webtoon"}
    display.save(same_codes(recipe, targets), recipe.shipped / "pairs.jpg")


def timeline(recipe: Recipe, name: str, most: int = 6) -> None:
    """NAME_timeline.jpg: the first row of a run's sample pictures, from its start to its end."""
    files = sorted((recipe.work / name / "samples").glob("*.png"))
    if not files:  # the run was made elsewhere: the picture that is there stays
        return
    chosen = sorted({files[round(i * (len(files) - 1) / (most - 1))] for i in range(most)})
    rows = {}
    for file in chosen:
        with Image.open(file) as sheet:
            row = sheet.convert("RGB").crop((0, 0, sheet.width, SIZE))
        rows[f"{int(file.stem):,} images"] = row.resize((row.width * 2, row.height * 2))
    picture = display.table([[row] for row in rows.values()], rows=list(rows))
    display.save(picture, recipe.shipped / f"{name}_timeline.jpg")


def domain_sheets(recipe: Recipe) -> None:
    """domains.jpg: the same eight people in all four domains; worlds.jpg: each domain by its own statistics."""
    faces = world.sample("photo", 8, seed=3)
    drawn = {domain: world.render(faces, domain, 128) for domain in world.DOMAINS}
    display.save(display.rows(drawn), recipe.shipped / "domains.jpg")
    own = [display.grid(world.render(world.sample(domain, 24), domain, 96), 12) for domain in world.DOMAINS]
    titled = [display.label(sheet, domain) for sheet, domain in zip(own, world.DOMAINS, strict=True)]
    display.save(display.stack(titled), recipe.shipped / "worlds.jpg")


STEPS: dict[str, Callable[[Recipe], None]] = {
    "judge": make_judge,
    "photo": make_photo,
    "targets": make_targets,
    "scoreboard": make_scoreboard,
    "clip": make_clip,
    "edits": make_edits,
    "encoder": make_encoder,
    "routes": make_routes,
    "detector": make_detector,
    "report": make_report,
}


def result(recipe: Recipe, step: str) -> Path:
    """The file that a step leaves when it is done."""
    last = {
        "targets": f"{list(shipped_entries())[-1]}.pt",
        "scoreboard": "sweeps.json",
        "edits": "text_edits.json",
        "routes": "routes.json",
        "report": "report.json",
    }
    return recipe.shipped / last.get(step, f"{step}.pt")
