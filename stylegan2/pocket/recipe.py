"""How everything in checkpoints/pocket/ is made: `make pocket`, or `python -m stylegan2 pocket`.

`STEPS` names the steps in order. Every step is seeded, shows its progress, resumes where it was killed, and is skipped
when its `result` exists. Three shipped files were made differently: the discriminator of `half` on a GPU, on faces of
the renderer's first version; the detector on pages of that version (detector.json); and the source learned its first
112,000 images with Adam in float32.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from PIL import Image
from skimage.data import astronaut
from torch import Tensor

from stylegan2 import checkpoints, display, files, networks
from stylegan2.config import TrainConfig
from stylegan2.data.dataset import LMDBDataset
from stylegan2.data.prepare import prepare
from stylegan2.editing import figures
from stylegan2.editing.encoder import load_encoder
from stylegan2.editing.latents import render
from stylegan2.inputs import step_generator
from stylegan2.networks import Generator
from stylegan2.pocket import measures, portrait, sheets, world
from stylegan2.pocket.nets.clip_training import ClipConfig, ClipTraining
from stylegan2.pocket.nets.detector_training import DetectorConfig, DetectorTraining
from stylegan2.pocket.nets.encoder_training import EncoderConfig, EncoderTraining
from stylegan2.pocket.nets.growing import GrowConfig, Growing, load_grown
from stylegan2.pocket.nets.judge import Judge
from stylegan2.pocket.nets.judge_training import JudgeConfig, JudgeTraining
from stylegan2.pocket.nets.perceptual import JudgeDistance
from stylegan2.pocket.nets.teaching import (
    FaceCodes,
    MappingConfig,
    MappingTraining,
    Taught,
    Teaching,
    TeachingConfig,
    assemble,
)
from stylegan2.pocket.studies import forgetting, hints, scoreboard, scoreboard_view, text_edits
from stylegan2.pocket.studies import projection as routes
from stylegan2.pocket.studies.methods import METHODS
from stylegan2.pocket.studies.scoreboard import Entry, Study, methods_study
from stylegan2.published.clip_model import ClipModel
from stylegan2.runtime import pick_device
from stylegan2.trainer import Trainer

REPORT_FACES = 2000  # faces on either side of a distance
STUDY_FACES = 1000  # the same, of the scoreboard


@dataclass(frozen=True)
class Recipe:
    """Where things go and how long the steps take."""

    shipped: Path = Path("checkpoints/pocket")
    work: Path = Path("build/pocket")  # datasets and runs: large, resumable, not shipped
    half_faces: int = 30_000  # rendered photos of half the side, from which a discriminator learns from scratch
    warmup_images: int = 93_104  # images shown to it in a warm-up run
    long_images: int = 150_000  # in the run after it
    large_images: int = 444_224  # and in the last one, in large batches: for a GPU
    teaching: TeachingConfig = TeachingConfig()  # of the source's synthesis network
    mapping: MappingConfig = MappingConfig()  # and of its mapping network
    growing: GrowConfig = GrowConfig()  # of the discriminator of half the side
    photo_faces: int = 10_000  # rendered photos that its new block sees
    target_images: int = 10_000
    moments: tuple[int, ...] = forgetting.MOMENTS  # images after which the long runs are measured
    webtoon_seeds: tuple[int, ...] = (0,)  # of the scoreboard's webtoons; its other domains have seed 0
    judge_images: int = 100_000
    clip: ClipConfig = ClipConfig()  # of the tiny CLIP
    text_faces: int = 50  # that each text edit is tried on
    encoder: EncoderConfig = EncoderConfig(images=40_000)
    route_images: int = 20  # of either kind, on every route from image to codes
    detector: DetectorConfig = DetectorConfig()
    seed: int = 0  # of the judge and of the game at half the side
    device: str = "auto"  # for training and measuring

    def path(self, name: str) -> Path:
        """A shipped file, e.g. path("photo") -> checkpoints/pocket/photo.pt."""
        return self.shipped / f"{name}.pt"

    @property
    def on(self) -> torch.device:
        """The device for training and measuring."""
        return pick_device(self.device)

    def load(self, name: str) -> checkpoints.Checkpoint:
        """A shipped model, on the recipe's device."""
        return checkpoints.load(self.path(name), self.device)

    def save_picture(self, name: str, picture: Image.Image) -> None:
        """As a shipped file NAME.jpg."""
        display.save(picture, self.shipped / f"{name}.jpg", quality=88)

    def judge(self) -> Judge:
        """The shipped judge, on the recipe's device."""
        return Judge.load(self.path("judge"), self.device)

    def photos(self, size: int, count: int) -> LMDBDataset:
        """Rendered photos of a size as an LMDB held in memory, rendered at first use."""
        folder = self.work / f"photo-{size}-{count}-v{world.VERSION}.lmdb"
        prepare(f"pocket:photo?n={count}", folder, sizes=size)
        return LMDBDataset(folder, cache=True)

    @property
    def study(self) -> Study:
        """How targets are trained and compared."""
        paths = self.path("photo"), self.path("judge"), self.work / "scoreboard"
        return Study(*paths, images=self.target_images, faces=STUDY_FACES, device=self.device)


def make_judge(recipe: Recipe) -> None:
    """judge.pt, and its held-out errors beside it."""
    config = JudgeConfig(images=recipe.judge_images, seed=recipe.seed)
    JudgeTraining(config).train(recipe.path("judge"), recipe.work)


def make_clip(recipe: Recipe) -> None:
    """clip.pt, and its retrieval beside it."""
    ClipTraining(recipe.clip, recipe.on).train(recipe.path("clip"), recipe.work)


def make_edits(recipe: Recipe) -> None:
    """text_edits.json: what the judge says of the edits by the tiny CLIP."""
    clip = ClipModel.load(recipe.path("clip"), recipe.device)
    source = recipe.load("photo").g_ema
    rows = text_edits.run(source, clip, recipe.judge(), text_edits.PROMPTS, recipe.text_faces)
    files.write_json(recipe.shipped / "text_edits.json", rows)


def make_encoder(recipe: Recipe) -> None:
    """encoder.pt, and its errors beside it."""
    source, distance = recipe.load("photo").g_ema, JudgeDistance(recipe.judge())
    codes = FaceCodes.open(recipe.path("codes"), recipe.on)
    training = EncoderTraining(recipe.encoder, source, distance, recipe.on, codes)
    training.train(recipe.path("encoder"), recipe.work)


def make_detector(recipe: Recipe) -> None:
    """detector.pt, and the shares that it finds beside it."""
    DetectorTraining(recipe.detector, recipe.on).train(recipe.path("detector"), recipe.work)


def make_routes(recipe: Recipe) -> None:
    """routes.json: how well codes are found on every route; and a picture of each kind of images."""
    g = recipe.load("photo").g_ema
    encoder = load_encoder(recipe.path("encoder"), recipe.device).encoder
    images = routes.evaluation_images(g, recipe.route_images)
    rows, answers = routes.compare_routes(g, encoder, recipe.judge(), images)
    for kind, by_route in answers.items():
        recipe.save_picture(f"routes_{kind}", routes.sheet(images[kind], by_route))
    files.write_json(recipe.shipped / "routes.json", rows)


def half_runs(recipe: Recipe) -> dict[str, dict]:
    """Runs from scratch at half the side, each from the weights of the one before: {name: settings}."""
    first = {"images": recipe.warmup_images, "snapshot_images": 8_000, "sample_images": 4_000}  # shapes and colours
    # without blur D looks at grain and edges first, and G answers with noise for eyes
    first |= {"blur_sigma": 2.0, "blur_images": 40_000}
    # everything else; reusing fakes: a tenth more images in the same time
    second = {"images": recipe.long_images, "snapshot_images": 20_000, "sample_images": 8_000, "log_images": 1_600}
    second |= {"reuse_fakes": True}
    # details and variety, from four times as many images in each iteration; the average starts from a good one
    third = {"images": recipe.large_images, "snapshot_images": 200_000, "sample_images": 100_000, "log_images": 12_800}
    third |= {"reuse_fakes": True, "batch": 64, "ema_rampup": None}
    return {"half_warmup": first, "half_long": second, "half": third}


def make_half(recipe: Recipe) -> None:
    """half.pt: a game from scratch at half the side, for its discriminator; finished runs are skipped."""
    g, d = networks.build(world.SIZE // 2, "pocket", recipe.seed)
    start = checkpoints.Checkpoint(g_ema=g, g=g, d=d)
    shared = {
        "r1_gamma": 0.2,  # ADA's heuristic gives 0.05; its paper's own settings are about four times theirs
        "pl_interval": 8,  # half of the usual cost; smoothness comes early at this size
        "augment": "none",  # 30,000 faces are more than these runs can memorise
    }
    for number, (name, settings) in enumerate(half_runs(recipe).items()):  # other data order and latents in each
        path = recipe.work / f"{name}.pt"
        if not path.exists():
            config = TrainConfig(out=recipe.work / f"{name}_run", seed=recipe.seed + number, **shared, **settings)
            photos = recipe.photos(world.SIZE // 2, recipe.half_faces)
            trainer = Trainer(config, photos, start.g, start.d, start.g_ema, device=recipe.on)
            images = start.info.get("images", 0) + config.steps * config.batch
            scoreboard.finish(trainer, path, {"images": images, "seed": recipe.seed}, whole=True)
        start = checkpoints.load(path, recipe.device)


def make_taught(recipe: Recipe) -> None:
    """taught.pt: what the renderer teaches a synthesis network; mapping.pt: and a mapping network."""
    path = recipe.work / "taught.pt"
    if not path.exists():
        Teaching(recipe.teaching, recipe.on).train(path, recipe.work)
    training = MappingTraining(recipe.mapping, Taught.load(path, recipe.on), recipe.on)
    training.train(recipe.work / "mapping.pt", recipe.work)


def make_photo(recipe: Recipe) -> None:
    """photo.pt, the source: the taught generator, and the grown discriminator; codes.pt: which w a face has.

    The two never play against each other: after 24,000 images of that game targets had speckles. A taught generator has
    no film grain, so the game makes a discriminator that knows photos by their grain, and FreezeD keeps it one.
    """
    grown = recipe.work / "grown.pt"
    if not grown.exists():
        half, photos = checkpoints.load(recipe.work / "half.pt"), recipe.photos(world.SIZE, recipe.photo_faces)
        Growing(recipe.growing, half.d, photos, recipe.on).train(grown, recipe.work)
    taught = Taught.load(recipe.work / "taught.pt")
    taught.codes.save(recipe.path("codes"), {"renderer": world.VERSION})
    g = assemble(taught, recipe.work / "mapping.pt")
    meta = {"images": recipe.teaching.images, "seed": recipe.teaching.seed, "frozen": [], "renderer": world.VERSION}
    checkpoints.save(recipe.path("photo"), g_ema=g, d=load_grown(grown), half=True, meta=meta)


SHIPPED = {  # target models that come with the course
    "webtoon": tuple(name for name in METHODS if "+" not in name),
    "storybook": ("baseline", "freeze-sg"),
    "portrait": ("baseline", "freeze-sg"),
}


def shipped_entries() -> dict[str, Entry]:
    """File name -> the training it comes from, e.g. "webtoon_freeze-sg"."""
    return {f"{e.domain}_{e.name}": e for e in methods_study(SHIPPED) if e.name in SHIPPED[e.domain]}


def make_targets(recipe: Recipe) -> None:
    """DOMAIN_METHOD.pt: the source fine-tuned to the target domains, by the methods that are shipped."""
    for name, entry in shipped_entries().items():
        print(f"{name}: {', '.join(map(str, entry.methods))}")
        scoreboard.train_entry(recipe.study, entry)
        shutil.copyfile(recipe.study.model(entry), recipe.path(name))


def make_scoreboard(recipe: Recipe) -> None:
    """scoreboard.json, sweeps.json: webtoon by all methods and seeds, drawings, sentences, what else is shipped;
    settings, of one seed.

    scoreboard.jpg: webtoon's scatter plot; scoreboards.jpg: all of them, with swaps; methods.jpg: faces; hints.jpg:
    faces of one drawing, and of one sentence.
    """
    others = [entry for entry in shipped_entries().values() if entry.domain != "webtoon"]
    entries = [*methods_study(("webtoon",), recipe.webtoon_seeds), *scoreboard.hints_study(), *others]
    rows = scoreboard.rows(scoreboard.run(recipe.study, entries))
    files.write_json(recipe.shipped / "scoreboard.json", rows)
    whole = [row for row in rows if row["swap"] is None and row["domain"] == "webtoon"]
    recipe.save_picture("scoreboard", figures.to_pil(scoreboard_view.scatter(whole, ceiling=False)))
    recipe.save_picture("scoreboards", figures.to_pil(scoreboard_view.scatter(rows)))
    recipe.save_picture("methods", _same_codes(recipe, {name: f"webtoon_{name}" for name in SHIPPED["webtoon"]}))
    recipe.save_picture("hints", _hinted(recipe))
    swept = scoreboard.rows(scoreboard.run(recipe.study, scoreboard.sweep_study(seeds=recipe.webtoon_seeds[:1])))
    files.write_text(recipe.shipped / "SCOREBOARD.md", scoreboard_view.page(rows, swept))
    known = [row for row in whole if row["method"] in METHODS]
    swept_too = scoreboard_view.scatter(known + [row for row in swept if row["swap"] is None], ceiling=False)
    recipe.save_picture("sweeps", figures.to_pil(swept_too))
    files.write_json(recipe.shipped / "sweeps.json", swept)


def make_forgetting(recipe: Recipe) -> None:
    """forgetting.json, forgetting.jpg: what is kept of a person as training goes on, by method."""
    entries, source = forgetting.entries(recipe.moments), recipe.load("photo").g_ema
    for run in entries:
        forgetting.train(recipe.study, *run)
    rows = [row for run in entries for row in forgetting.measure(recipe.study, *run)]
    runs = {entry.name: forgetting.models(recipe.study, entry, moments) for entry, moments in entries if not entry.seed}
    picture = [figures.to_pil(forgetting.curves(rows)), forgetting.people(source, runs, sheets.SHOWN_SEEDS[:5])]
    recipe.save_picture("forgetting", display.stack(picture))
    files.write_json(recipe.shipped / "forgetting.json", rows)


def _hinted(recipe: Recipe) -> Image.Image:
    """A drawing; below it the source's faces, and the same codes in what came of it, and of a sentence."""
    source = recipe.load("photo").g_ema
    models = {e.name: scoreboard.train_entry(recipe.study, e) for e in scoreboard.hints_study(seeds=(0,))}
    drawing = display.table([[hints.drawing("webtoon", source.resolution, 0)[0]]], ["the drawing"], side=sheets.SMALL)
    return display.stack([drawing, sheets.same_codes(source, models, sheets.SMALL)])


def _same_codes(recipe: Recipe, targets: dict[str, str]) -> Image.Image:
    """The source's faces above the same codes through each target: {label: name of its file}."""
    models = {label: recipe.load(name).g_ema for label, name in targets.items()}
    return sheets.same_codes(recipe.load("photo").g_ema, models)


@torch.no_grad()
def generate(g: Generator, count: int, seed: int = 1) -> Tensor:
    """`count` images without truncation, uint8 [count, 3, R, R]."""
    z = torch.randn(count, g.z_dim, generator=step_generator(seed, 0))
    return display.to_uint8(render(g, g.mapping(z)))


def paired(source: Generator, target: Generator, count: int, same: str, seed: int = 1) -> tuple[Tensor, Tensor]:
    """`count` images of source and target each, uint8 [count, 3, R, R], of the same w or z, see `scoreboard.images`."""
    z = torch.randn(count, source.z_dim, generator=step_generator(seed, 0))
    return generate(source, count, seed), scoreboard.images(source, target, z, same)


def make_report(recipe: Recipe) -> None:
    """report.json: how good source and baseline are, measured by the judge; and the pictures."""
    judge = recipe.judge()
    results, models = {}, {"photo": recipe.load("photo"), "webtoon_baseline": recipe.load("webtoon_baseline")}
    for name, model in models.items():
        measured = measures.report_model(judge, judge.read(generate(model.g_ema, REPORT_FACES)), name.partition("_")[0])
        results[name] = model.info | measured
    for same in ("w", "z"):
        pair = map(judge.read, paired(*(model.g_ema for model in models.values()), REPORT_FACES, same))
        error = measures.measure_landmark_error(judge, *pair, "photo", "webtoon")
        print(f"same {same}: {error}")
        results["webtoon_baseline"][f"landmark_error_same_{same}"] = asdict(error)
    report_pictures(recipe)
    files.write_json(recipe.shipped / "report.json", results)


def report_pictures(recipe: Recipe) -> None:
    """Contact sheets of models and domains, the same codes through all (pairs.jpg), and how the source began."""
    for name in ("photo", *(f"{domain}_freeze-sg" for domain in SHIPPED)):
        generated = generate(recipe.load(name).g_ema, 24, seed=7)
        recipe.save_picture(name, sheets.contact_sheet(name.partition("_")[0], generated))
    targets = {"webtoon\nbaseline": "webtoon_baseline"}
    targets |= {f"{domain}\nFreezeSG": f"{domain}_freeze-sg" for domain in SHIPPED}
    recipe.save_picture("pairs", _same_codes(recipe, targets))
    recipe.save_picture("domains", sheets.domains())
    recipe.save_picture("worlds", sheets.worlds())
    recipe.save_picture("you", portrait.figure(portrait.describe(Image.fromarray(astronaut())), world.DOMAINS))
    lessons = recipe.work / "taught.json"
    if lessons.exists():  # else the source was made elsewhere: the pictures that are there stay
        recipe.save_picture("photo_curve", sheets.learning_curve(json.loads(lessons.read_text())["curve"]))
        recipe.save_picture("photo_timeline", sheets.timeline(sorted((recipe.work / "lessons").glob("*.png"))))


MAKE = (make_judge, make_half, make_taught, make_photo, make_targets, make_clip, make_encoder, make_scoreboard)
MAKE += (make_forgetting, make_edits, make_routes, make_detector, make_report)
STEPS: dict[str, Callable[[Recipe], None]] = {make.__name__.removeprefix("make_"): make for make in MAKE}
# the last file of a step, where it is not STEP.pt
LAST = {"taught": "mapping.pt", "targets": f"{list(shipped_entries())[-1]}.pt", "scoreboard": "sweeps.json"}
LAST |= {"edits": "text_edits.json"} | {step: f"{step}.json" for step in ("forgetting", "routes", "report")}


def result(recipe: Recipe, step: str) -> Path:
    """The last file that a step leaves; STEP.pt if it has no entry in LAST."""
    folder = recipe.work if step in ("half", "taught") else recipe.shipped
    return folder / LAST.get(step, f"{step}.pt")
