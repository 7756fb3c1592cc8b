"""Which method keeps the most of a face, at what price? Train them all alike, measure them all alike.

    python -m stylegan2 scoreboard                     # rows that exist already are skipped
    python -m stylegan2 scoreboard --jobs 8 --device cuda

An *entry* is one training: a domain, a method, a seed. All entries start from the same source, see as many images and
are measured on the same codes, by the judge:

    domain distance      pocket distance of the target's images to the domain (lower: better cartoons)
    landmark error       between source and target images, in distances between the eyes (lower: more of the face kept),
                         for the same w (one code through both) and for the same z (each through its own mapping)
    structure, colours kept; who is it?
                         what is left of the person, for the same w (`stylegan2.pocket.likeness`; higher: more)

each without and with layer swapping, which takes the resolutions below `swap` from the source. Every entry leaves a
small file, so that an interrupted study goes on where it was; a *row* sums up the seeds of a method.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cached_property
from multiprocessing import get_context
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from stylegan2 import checkpoints, files
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
from stylegan2.pocket.studies.methods import METHODS, constructor, named
from stylegan2.runtime import pick_device
from stylegan2.trainer import Trainer
from stylegan2.transfer import FreezeD, FreezeG, FreezeSG, Method, StructureLoss

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
    methods: tuple[Method, ...]
    seed: int = 0

    @property
    def key(self) -> str:
        """A file name."""
        name = re.sub(r"[^A-Za-z0-9.+-]+", "_", self.name).strip("_")
        return f"{self.domain}-{name}-seed{self.seed}"


def methods_study(domains: Iterable[str] = TARGETS, seeds: Iterable[int] = (0,)) -> list[Entry]:
    """Every method of METHODS on every domain with every seed."""
    return [Entry(d, name, tuple(named(name, world.SIZE)), s) for s in seeds for d in domains for name in METHODS]


def sweep_study(domain: str = "webtoon", seeds: Iterable[int] = (0,)) -> list[Entry]:
    """The methods' own settings: how far FreezeSG reaches, what StructureLoss weighs and how it compares."""
    settings = [FreezeSG(8, 4), FreezeSG(32, 8)]
    settings += [StructureLoss(weight=100.0), *(StructureLoss(weight=w, relative=True) for w in (0.01, 0.1, 1.0))]
    # the first is the fourth of: mapping frozen or not x codes taken or not (see FreezeSG)
    methods = {"FreezeG(16), mapping free": FreezeG(16, mapping=False)} | {constructor(m): m for m in settings}
    return [Entry(domain, name, (FreezeD(world.SIZE // 2), m), seed) for seed in seeds for name, m in methods.items()]


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
        return budget | {"methods": [str(m) for m in entry.methods]} | self.made_from

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


def train_to(path: Path, study: Study, entry: Entry, config: TrainConfig, progress: bool = True) -> None:
    """Train an entry with these settings; its averaged generator goes to `path` as float16."""
    source, data = checkpoints.load(study.source, study.device), study.dataset(entry.domain)
    trainer = Trainer.fine_tune(config, data, source, entry.methods, pick_device(study.device))
    trainer.run(progress=progress)
    if trainer.step < config.steps:
        raise KeyboardInterrupt(f"{entry.key}: stopped at {trainer.images_seen:,} images; the same command goes on")
    meta = {"images": study.images, "seed": entry.seed, "methods": [str(m) for m in entry.methods]}
    meta |= {"source": study.made_from["source"]}
    meta |= {"frozen": trainer.frozen, "precision": trainer.precision, "renderer": world.VERSION}
    checkpoints.save(path, g_ema=trainer.g_ema, half=True, meta=meta)


def train_entry(study: Study, entry: Entry, progress: bool = True) -> Generator:
    """The entry's averaged generator: trained now, or read where that was done before."""
    path = study.model(entry)
    if not path.exists():
        config = study.config(entry)
        train_to(path, study, entry, config, progress)
        shutil.rmtree(Path(config.out) / "snapshots")  # gigabytes for a study, and what matters is saved
    return load_model(study, path, entry)  # as shipped: float16


def run_entry(study: Study, entry: Entry, progress: bool = True) -> dict:
    """Train and measure one entry; its numbers, one dict per swap, also written to `study.result(entry)`."""
    path = study.result(entry)
    if path.exists():
        result = json.loads(path.read_text())
        study.check(path, result, entry)
        return result
    begin = time.time()
    target = train_entry(study, entry, progress)
    trained = time.time()
    measured = [{"swap": swap, **numbers} for swap, numbers in measure(study, entry.domain, target)]
    result = {"domain": entry.domain, "method": entry.name, "seed": entry.seed, "measured": measured}
    result |= study.made_with(entry) | {"seconds": [round(trained - begin), round(time.time() - trained)]}
    files.write_json(path, result)
    return result


class Ruler:
    """What a domain's entries are measured against, rendered and read once and kept in a file."""

    def __init__(self, study: Study, domain: str):
        self.study, self.domain = study, domain
        version = f"{world.SIZE}-v{world.VERSION}-{study.made_from['judge']}"
        self.path = study.work / f"ruler2-{domain}-{study.faces}-{version}.pt"

    @cached_property
    def judge(self) -> Judge:
        """On the study's device."""
        return Judge.load(self.study.judge, pick_device(self.study.device))

    @cached_property
    def readings(self) -> dict[str, Reading]:
        """What is rendered, as read.

        "real", "more_real": faces of the domain; "as_source", "as_target": the same attributes rendered in both
        domains; "person", "cartoon": the same of other people, on which the world's map is fitted.
        """
        if not self.path.exists():
            self._make()
        stored = torch.load(self.path, weights_only=True)
        return {name: Reading(**parts).map(Tensor.float) for name, parts in stored.items()}

    def _make(self) -> None:
        n = self.study.faces
        real = measures.rendered_reference(self.judge, self.domain, n)
        as_source, as_target = measures.same_faces(self.judge, SOURCE_DOMAIN, self.domain, n)
        people = max(likeness.FOLDS, min(n, likeness.PEOPLE))
        person, cartoon = measures.same_faces(self.judge, SOURCE_DOMAIN, self.domain, people, likeness.PEOPLE_SEED)
        readings = {"real": real.first, "more_real": real.second, "as_source": as_source, "as_target": as_target}
        readings |= {"person": person, "cartoon": cartoon}
        files.write(self.path, {name: vars(reading) for name, reading in readings.items()})

    @cached_property
    def floor(self) -> float:
        """Landmark error of perfect structure: the same attributes rendered in both domains."""
        pair = self.readings["as_source"], self.readings["as_target"]
        return float(measures.landmark_error(*pair).mean())

    @cached_property
    def likeness(self) -> likeness.LikenessRuler:
        """What tells how much of a person is kept."""
        person, cartoon, as_source, as_target = (
            self.readings[name] for name in ("person", "cartoon", "as_source", "as_target")
        )
        return likeness.LikenessRuler(likeness.fit_map(person, cartoon), as_source, as_target)

    def distance(self, reading: Reading) -> float:
        """Pocket distance of images to the domain."""
        return measures.pocket_distance(reading, self.readings["real"])

    def attributes_kept(self, source: Reading, target: Reading) -> float:
        """Share of the attributes that can be kept that is kept (`measures.Agreement.mean`)."""
        best = self.readings["as_source"], self.readings["as_target"]
        pairs = (source, target), best, (source, measures.shuffled(target))
        return measures.Agreement(*(measures.attribute_agreement(*p) for p in pairs), len(source)).mean()


def measure(study: Study, domain: str, target: Generator) -> Iterator[tuple[int | None, dict]]:
    """(swap, {name: value}) of a target for every swap. The domain distance is of the same-z images.

    Those of KEPT are dicts: see `Likeness.numbers`.
    """
    device, ruler = pick_device(study.device), Ruler(study, domain)
    source, target = checkpoints.load(study.source, device, g_ema_only=True).g_ema, target.to(device)
    z = torch.randn(study.faces, source.z_dim, generator=step_generator(CODES_SEED, 0))
    from_source = ruler.judge.read(to_uint8(render(source, source.mapping(z))))

    def error(reading: Reading) -> float:
        return float(measures.landmark_error(from_source, reading).mean())

    bounds = {
        "distance_floor": ruler.distance(ruler.readings["more_real"]),
        "distance_ceiling": ruler.distance(ruler.readings["as_source"]),
        "distance_same_people": ruler.distance(ruler.readings["as_target"]),
        "floor": ruler.floor,
    }
    for swap in SWAPS:
        same_w, same_z = (ruler.judge.read(images(source, target, z, same, swap)) for same in ("w", "z"))
        numbers = {
            "domain_distance": ruler.distance(same_z),
            "landmark_error_same_w": error(same_w),
            "landmark_error_same_z": error(same_z),
            "attributes_kept_same_w": ruler.attributes_kept(from_source, same_w),
        }
        numbers |= ruler.likeness.measure(from_source, same_w).numbers()
        yield swap, numbers | bounds | {"ceiling": error(measures.shuffled(same_z))}


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


def run(study: Study, entries: Sequence[Entry], jobs: int = 1) -> list[dict]:
    """Run all entries that have no result yet, `jobs` at a time; the results of all, in order."""
    left = [entry for entry in entries if not study.result(entry).exists()]
    if left:
        for domain in dict.fromkeys(entry.domain for entry in left):  # here, so that no two processes do it at once
            study.dataset(domain)
            _ = Ruler(study, domain).readings
        _run_all(study, left, jobs)
    return [run_entry(study, entry) for entry in entries]


def _run_all(study: Study, left: Sequence[Entry], jobs: int) -> None:
    bar = tqdm(total=len(left), desc="scoreboard", unit="entry")
    if jobs == 1:
        for entry in left:
            bar.set_postfix_str(entry.key)
            run_entry(study, entry)
            bar.update()
        return
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with ProcessPoolExecutor(jobs, get_context("spawn"), torch.set_num_threads, (threads,)) as pool:
        started = {pool.submit(run_entry, study, entry, False): entry for entry in left}
        for future in as_completed(started):
            numbers = future.result()["measured"][0]
            tqdm.write(f"{started[future].key}: " + ", ".join(f"{k} {numbers[k]:.3f}" for k in NUMBERS))
            bar.update()


def rows(results: Iterable[dict]) -> list[dict]:
    """Results of entries -> one row per domain, method and swap, its numbers as mean and sd over the seeds.

    sd is null for a single seed. `floor` and `ceiling` bound the landmark errors: the same attributes rendered in both
    domains, and random pairs. `distance_floor` and `distance_ceiling` bound the domain distance: other rendered faces
    of the domain, and rendered photos; `distance_same_people`: the photos' people, rendered in the domain. Numbers of
    KEPT: see `_kept`.
    """
    groups: dict[tuple, list[dict]] = {}
    for result in results:
        budget = {name: result[name] for name in BUDGET}
        for measured in result["measured"]:
            groups.setdefault((result["domain"], result["method"], measured["swap"]), []).append(measured | budget)
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


def read_rows(path: str | os.PathLike) -> list[dict]:
    """Rows of a scoreboard.json. Raises FileNotFoundError, saying how to make one, and ValueError for another file."""
    path, needed = Path(path), {"domain", *NUMBERS, *KEPT}
    if not path.exists():
        raise FileNotFoundError(f"no scoreboard at '{path}': python -m stylegan2 scoreboard makes it")
    stored = json.loads(path.read_text())
    if not isinstance(stored, list) or not all(isinstance(row, dict) and needed <= set(row) for row in stored):
        raise ValueError(f"'{path}' is no scoreboard: expected a list of rows with domain, method, swap and numbers")
    return stored
