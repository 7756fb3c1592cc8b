"""Which method keeps the most of a face, at what price? Train them all alike, measure them all alike.

An *entry* is one training: a domain, a method, a seed. All entries start from the same source, see as many images and
are measured by the judge on the same codes, without and with layer swapping, which takes the resolutions below `swap`
from the source. Every entry leaves a small file, so that an interrupted study goes on where it was; a *row* sums up the
seeds of a method. What the numbers mean stands in `scoreboard_view.PAGE`.
"""

from __future__ import annotations

import json
import re
import shutil
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import torch
from torch import Tensor

from stylegan2 import checkpoints, files
from stylegan2.bars import bar
from stylegan2.config import TrainConfig
from stylegan2.data.dataset import LMDBDataset
from stylegan2.data.prepare import ensure_lmdb
from stylegan2.display import to_uint8
from stylegan2.editing.latents import render
from stylegan2.editing.layer_swapping import swap_images
from stylegan2.inputs import step_generator
from stylegan2.networks import Generator
from stylegan2.pocket import likeness, measures, world
from stylegan2.pocket.nets.judge import Judge, Reading
from stylegan2.pocket.studies import hints
from stylegan2.pocket.studies.methods import METHODS, constructor, named
from stylegan2.runtime import pick_device
from stylegan2.trainer import Trainer
from stylegan2.transfer import FreezeD, FreezeSG, Method, StructureLoss

SOURCE_DOMAIN = "photo"
TARGETS = tuple(domain for domain in world.DOMAINS if domain != SOURCE_DOMAIN)
SWAPS = (None, 32, 64)  # first resolution from the target; None: all of it
BATCH = 16  # images swapped together
CODES_SEED = 1  # of the codes that all entries are measured on
NUMBERS = ("domain_distance", "landmark_error_same_w", "landmark_error_same_z", "attributes_kept_same_w")
KEPT = (*likeness.MEASURES, "kept_by_group")  # of a person
BOUNDS = ("floor", "distance_floor", "distance_same_people", "distance_ceiling")
BUDGET = ("images", "batch", "faces")
RATES = {"r1_gamma": 0.5, "pl_interval": 16, "style_mixing": 0.1, "ema_images": 2_500}  # of the pocket world's runs


@dataclass(frozen=True)
class Entry:
    """One training: `methods` on a domain, with a seed."""

    domain: str
    name: str
    methods: tuple[Method, ...]  # or one configuration of `hints.WAYS`
    seed: int = 0

    @property
    def key(self) -> str:
        """A file name."""
        name = re.sub(r"[^A-Za-z0-9.+-]+", "_", self.name).strip("_")
        return f"{self.domain}-{name}-seed{self.seed}"


def methods_study(domains: Iterable[str] = TARGETS, seeds: Iterable[int] = (0,)) -> list[Entry]:
    """Every method of METHODS on every domain with every seed."""
    return [Entry(d, name, tuple(named(name, world.SIZE)), s) for s in seeds for d in domains for name in METHODS]


def hints_study(seeds: Iterable[int] = (0, 1, 2)) -> list[Entry]:
    """Webtoons of one drawing, and of one sentence."""
    return [Entry("webtoon", name, (config,), seed) for name, config in hints.WAYS.items() for seed in seeds]


def sweep_study(domain: str = "webtoon", seeds: Iterable[int] = (0,)) -> list[Entry]:
    """The methods' own settings: how far FreezeSG reaches, what StructureLoss weighs (10 is `structure-loss`)."""
    settings = [FreezeSG(8, 4), FreezeSG(32, 8), *(StructureLoss(weight=w, relative=True) for w in (1.0, 100.0))]
    return [Entry(domain, constructor(m), (FreezeD(world.SIZE // 2), m), seed) for seed in seeds for m in settings]


@dataclass(frozen=True)
class Study:
    """What all entries have in common."""

    source: Path = Path("checkpoints/pocket/photo.pt")  # the model to fine-tune.
    judge: Path = Path("checkpoints/pocket/judge.pt")  # what measures.
    work: Path = Path("build/pocket/scoreboard")  # folder of results, models and rendered references.
    images: int = 10_000  # budget of every training.
    batch: int = 16
    faces: int = 1000  # codes that each number is measured on.
    device: str = "auto"  # "cpu", "cuda" or "auto".

    def result(self, entry: Entry) -> Path:
        """Where an entry's numbers go."""
        return self.work / f"{entry.key}.json"

    @cached_property
    def made_from(self) -> dict[str, str]:
        """Hashes of the source and of the judge."""
        return {name: checkpoints.sha256(getattr(self, name))[:16] for name in ("source", "judge")}

    def made_with(self, entry: Entry) -> dict:
        """Everything that an entry's numbers depend on."""
        budget = {name: getattr(self, name) for name in BUDGET}
        helpers = {path.stem: checkpoints.sha256(path)[:16] for path in hints.needs(entry.methods, self.source)}
        return budget | {"methods": [str(m) for m in entry.methods]} | self.made_from | helpers

    def check(self, path: Path, stored: dict, entry: Entry) -> None:
        """Compare what a file says of how it was made with this study. Raises ValueError naming what differs."""
        wanted = self.made_with(entry)
        differ = [k for k in wanted if stored.get(k, wanted[k]) != wanted[k]]
        if differ:
            values = "; ".join(f"{k}: {stored[k]!r} there, {wanted[k]!r} here" for k in differ)
            raise ValueError(f"'{path}' is of another study ({values}): give another folder for this one")

    def model(self, entry: Entry) -> Path:
        """Where its generator goes."""
        return self.work / f"{entry.key}.pt"

    def dataset(self, domain: str) -> LMDBDataset:
        """The domain's rendered faces, in memory."""
        return LMDBDataset(ensure_lmdb(f"pocket:{domain}", self.work / "datasets", world.SIZE), cache=True)

    def config(self, entry: Entry) -> TrainConfig:
        """Settings of an entry's training."""
        return TrainConfig(
            out=self.work / "runs" / entry.key,
            images=self.images,
            batch=self.batch,
            seed=entry.seed,
            fine_tune=True,
            reuse_fakes=True,
            **RATES,
            snapshot_images=max(1, self.images // 2),
            sample_images=self.images,
            log_images=max(1, self.images // 20),
        )


def load_model(study: Study, path: Path, entry: Entry) -> Generator:
    """The generator of an entry that was trained before. Raises ValueError for one of another study."""
    model = checkpoints.load(path, study.device, g_ema_only=True)
    study.check(path, {k: model.info[k] for k in ("images", "methods", "source") if k in model.info}, entry)
    return model.g_ema


def finish(trainer: Trainer, path: Path, meta: dict, whole: bool = False) -> None:
    """Train to the end, and save the averaged generator (whole: the networks in training, too) as float16."""
    trainer.run()
    if trainer.step < trainer.config.steps:
        raise KeyboardInterrupt(f"{path.stem}: stopped at {trainer.images_seen:,} images; the same command goes on")
    meta |= {"frozen": trainer.frozen, "precision": trainer.precision, "renderer": world.VERSION}
    playing = {"g": trainer.g, "d": trainer.d} if whole else {}
    checkpoints.save(path, g_ema=trainer.g_ema, half=True, meta=meta, **playing)


def train_to(path: Path, study: Study, entry: Entry, config: TrainConfig) -> None:
    """Train an entry with these settings; its averaged generator goes to `path`."""
    source, data = checkpoints.load(study.source, study.device), study.dataset(entry.domain)
    trainer = Trainer.fine_tune(config, data, source, entry.methods, pick_device(study.device))
    meta = {"images": study.images, "seed": entry.seed, "methods": [str(m) for m in entry.methods]}
    finish(trainer, path, meta | {"source": study.made_from["source"]})


def train_entry(study: Study, entry: Entry) -> Generator:
    """The entry's averaged generator: trained now, or read where that was done before."""
    path = study.model(entry)
    if not path.exists() and hints.needs(entry.methods, study.source):
        models = study.source, study.judge, pick_device(study.device)
        g = hints.make(*entry.methods, entry.domain, entry.seed, *models)
        meta = {"images": study.images, "methods": [str(m) for m in entry.methods]}
        checkpoints.save(path, g_ema=g, half=True, meta=meta | {"source": study.made_from["source"]})
    elif not path.exists():
        config = study.config(entry)
        train_to(path, study, entry, config)
        shutil.rmtree(Path(config.out) / "snapshots")  # gigabytes for a study, and what matters is saved
    return load_model(study, path, entry)  # as shipped: float16


def run_entry(study: Study, entry: Entry) -> dict:
    """Train and measure one entry; its numbers, one dict per swap, also written to `study.result(entry)`."""
    path = study.result(entry)
    if path.exists():
        result = json.loads(path.read_text())
        study.check(path, result, entry)
        return result
    target = train_entry(study, entry)
    measured = [{"swap": swap, **numbers} for swap, numbers in measure(study, entry.domain, target)]
    result = {"domain": entry.domain, "method": entry.name, "seed": entry.seed, "measured": measured}
    result |= study.made_with(entry)
    files.write_json(path, result)
    return result


@cache
def rulers(judge: Path, device: str, domain: str, n: int) -> tuple[Judge, measures.Reference, likeness.LikenessRuler]:
    """The judge, and what a domain is measured against: n faces of each kind, rendered and read once in a process."""
    reader = Judge.load(judge, pick_device(device))
    alike = likeness.LikenessRuler.make(reader, SOURCE_DOMAIN, domain, n)
    return reader, measures.rendered_reference(reader, domain, n), alike


@cache
def sources(photo: Path, judge: Path, device: str, n: int) -> tuple[Generator, Tensor, Reading]:
    """The source, the n codes z that all entries are measured on, and what the judge reads off its images of them."""
    source = checkpoints.load(photo, pick_device(device), g_ema_only=True).g_ema
    reader = Judge.load(judge, pick_device(device))
    z = torch.randn(n, source.z_dim, generator=step_generator(CODES_SEED, 0))
    return source, z, reader.read(to_uint8(render(source, source.mapping(z))))


def measure(study: Study, domain: str, target: Generator) -> Iterator[tuple[int | None, dict]]:
    """(swap, {name: value}) of a target for every swap; those of KEPT are dicts, see `Likeness.numbers`.

    w: one code through source and target; z: each has its own mapping. The domain distance is of the same-z images.
    """
    judge, reference, alike = rulers(study.judge, study.device, domain, study.faces)
    source, z, from_source = sources(study.source, study.judge, study.device, study.faces)
    target = target.to(source.mapping.w_mean.device)

    def distance(reading: Reading) -> float:
        return measures.pocket_distance(reading, reference.first)

    def error(a: Reading, b: Reading) -> float:
        return float(measures.landmark_error(a, b).mean())

    best = alike.source, alike.target  # the same attributes rendered in both domains
    bounds = {
        "distance_floor": distance(reference.second),
        "distance_ceiling": distance(alike.source),
        "distance_same_people": distance(alike.target),
        "floor": error(*best),
    }
    for swap in SWAPS:
        same_w, same_z = (judge.read(images(source, target, z, same, swap)) for same in ("w", "z"))
        pairs = (from_source, same_w), best, (from_source, measures.shuffled(same_w))
        agreement = measures.Agreement(*(measures.attribute_agreement(*p) for p in pairs), study.faces)
        numbers = {
            "domain_distance": distance(same_z),
            "landmark_error_same_w": error(from_source, same_w),
            "landmark_error_same_z": error(from_source, same_z),
            "attributes_kept_same_w": agreement.mean(),
        }
        numbers |= alike.measure(from_source, same_w).numbers()
        yield swap, numbers | bounds | {"ceiling": error(from_source, measures.shuffled(same_z))}


@torch.no_grad()
def images(source: Generator, target: Generator, z: Tensor, same: str, swap: int | None = None) -> Tensor:
    """The target's images of z [N, z_dim], uint8 [N, 3, R, R], with the fixed noise.

    Args:
        same: "w": the target gets the source's codes; "z": the codes of its own mapping.
        swap: below this resolution the layers are the source's, with its own codes; None: nowhere.
    """
    ws = source.mapping(z)
    own = ws if same == "w" else target.mapping(z)
    if swap is None:
        return to_uint8(render(target, own))
    pairs = zip(ws.split(BATCH), own.split(BATCH), strict=True)
    return to_uint8(torch.cat([swap_images(source, target, a, swap, target_ws=b) for a, b in pairs]))


def run(study: Study, entries: Sequence[Entry]) -> list[dict]:
    """The results of all entries, in order; what has none yet is trained and measured."""
    return [run_entry(study, entry) for entry in bar(entries, "scoreboard", "entry")]


def rows(results: Iterable[dict]) -> list[dict]:
    """Results of entries -> one row per domain, method and swap: its numbers' mean and sd (null: one seed) over seeds.

    `floor` and `ceiling` bound the landmark errors, `distance_…` the domain distance, see `measure`. KEPT: see `_kept`.
    """
    groups: dict[tuple, list[dict]] = {}
    for result in results:
        for measured in result["measured"]:
            groups.setdefault((result["domain"], result["method"], measured["swap"]), []).append(result | measured)
    return [
        {
            "domain": domain,
            "method": name,
            "swap": swap,
            **{number: _spread([seed[number] for seed in seeds]) for number in NUMBERS},
            **{number: _kept([seed[number] for seed in seeds]) for number in KEPT},
            **{bound: seeds[0][bound] for bound in BOUNDS},
            "ceiling": statistics.fmean(seed["ceiling"] for seed in seeds),
            "seeds": len(seeds),
            **{name: seeds[0][name] for name in BUDGET},
        }
        for (domain, name, swap), seeds in groups.items()
    ]


def _spread(values: Sequence[float]) -> dict[str, float | None]:
    return {"mean": statistics.fmean(values), "sd": statistics.stdev(values) if len(values) > 1 else None}


def _kept(values: Sequence[dict[str, float]]) -> dict[str, float | None]:
    """Over the seeds: mean and sd of "value", means of all else, such as the interval over faces ("low", "high")."""
    means = {name: statistics.fmean(value[name] for value in values) for name in values[0] if name != "value"}
    return (_spread([value["value"] for value in values]) if "value" in values[0] else {}) | means
