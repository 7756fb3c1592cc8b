"""Which method keeps the most of a face, at what price? Train them all alike, measure them all alike.

    python -m stylegan2 scoreboard                     # rows that are there already are skipped
    python -m stylegan2 scoreboard --jobs 8 --device cuda

An *entry* is one training: a domain, a method, a seed. All entries start from the same source, see as many images and
are measured on the same codes, by the judge:

    domain distance      pocket distance of the target's images to the domain (lower: better cartoons)
    landmark error       between source and target images, in distances between the eyes (lower: more of the face kept),
                         for the same w (one code through both) and for the same z (each through its own mapping)

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
from stylegan2.inputs import step_generator
from stylegan2.editing.latents import render
from stylegan2.editing.layer_swapping import swap_images
from stylegan2.networks import Generator
from stylegan2.pocket import measures, world
from stylegan2.pocket.nets.judge import Judge, Reading
from stylegan2.runtime import pick_device
from stylegan2.trainer import Trainer
from stylegan2.transfer import METHODS, FreezeD, FreezeG, FreezeSG, Method, StructureLoss, constructor, method

SOURCE_DOMAIN = "photo"
TARGETS = tuple(domain for domain in world.DOMAINS if domain != SOURCE_DOMAIN)
SWAPS = (None, 16, 32)  # first resolution from the target; None: all of it
BATCH = 16  # images drawn at once
CODES_SEED = 1  # of the codes that all entries are measured on
NUMBERS = ("domain_distance", "landmark_error_same_w", "landmark_error_same_z", "attributes_kept_same_w")


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


def methods_study(domains: Iterable[str] = TARGETS, seeds: Iterable[int] = (0,), size: int = 64) -> list[Entry]:
    """Every method of METHODS on every domain with every seed."""
    return [Entry(d, name, tuple(method(name, size)), s) for s in seeds for d in domains for name in METHODS]


def sweep_study(domain: str = "webtoon", seeds: Iterable[int] = (0,), size: int = 64) -> list[Entry]:
    """What the methods' own settings do: how far FreezeSG reaches, what StructureLoss weighs and how it compares."""
    settings = [FreezeSG(4, 2), FreezeSG(16, 6)]
    settings += [StructureLoss(weight=100.0), StructureLoss(relative=True), StructureLoss(weight=3.0, relative=True)]
    # the first is the fourth of: mapping frozen or not x codes taken or not (see FreezeSG)
    named = {"FreezeG(8), mapping free": FreezeG(8, mapping=False)} | {constructor(m): m for m in settings}
    return [Entry(domain, name, (FreezeD(size // 2), m), seed) for seed in seeds for name, m in named.items()]


# ------------------------------------------------------------------------------------------------------------ one entry


@dataclass(frozen=True)
class Study:
    """What all entries have in common.

    Attributes:
        source: the model to fine-tune.
        judge: what measures.
        work: folder of results, models and rendered references.
        images, batch: budget of every training.
        faces: codes that each number is measured on.
        device: "cpu", "cuda" or "auto".
    """

    source: Path = Path("checkpoints/pocket/photo.pt")
    judge: Path = Path("checkpoints/pocket/judge.pt")
    work: Path = Path("build/pocket/scoreboard")
    images: int = 24_000
    batch: int = 32
    faces: int = 2000
    device: str = "auto"

    def result(self, entry: Entry) -> Path:
        """Where an entry's numbers go."""
        return self.work / f"{entry.key}.json"

    @cached_property
    def made_from(self) -> dict[str, str]:
        """Hashes of the source and of the judge."""
        return {name: checkpoints.sha256(getattr(self, name))[:16] for name in ("source", "judge")}

    def made_with(self, entry: Entry) -> dict:
        """Everything that an entry's numbers depend on."""
        budget = {"images": self.images, "batch": self.batch, "faces": self.faces}
        return budget | {"methods": [str(m) for m in entry.methods]} | self.made_from

    def check(self, path: Path, told: dict, entry: Entry) -> None:
        """Hold what a file says of how it was made against this study. Raises ValueError naming what differs."""
        wanted = self.made_with(entry)
        differ = [f"{k}: {told[k]!r} there, {wanted[k]!r} here" for k in wanted if told.get(k, wanted[k]) != wanted[k]]
        if differ:
            raise ValueError(f"'{path}' is of another study ({'; '.join(differ)}): give another folder for this one")

    def model(self, entry: Entry) -> Path:
        """Where its generator goes."""
        return self.work / f"{entry.key}.pt"

    def dataset(self, domain: str) -> LMDBDataset:
        """The domain's rendered faces, in memory."""
        return LMDBDataset(ensure_lmdb(f"pocket:{domain}", self.work / "datasets", 64), cache=True)

    def config(self, entry: Entry) -> TrainConfig:
        """Settings of an entry's training."""
        return TrainConfig(
            out=self.work / "runs" / entry.key,
            images=self.images,
            batch=self.batch,
            seed=entry.seed,
            fine_tune=True,
            r1_gamma=0.2,
            reuse_fakes=True,
            snapshot_images=max(1, self.images // 2),
            sample_images=self.images,
            log_images=max(1, self.images // 20),
        )


def train_entry(study: Study, entry: Entry, progress: bool = True) -> Generator:
    """The entry's averaged generator: trained now, or read where that was done before."""
    if study.model(entry).exists():
        found = checkpoints.load(study.model(entry), study.device, g_ema_only=True)
        study.check(
            study.model(entry), {k: v for k, v in found.info.items() if k in ("images", "methods", "source")}, entry
        )
        return found.g_ema
    source = checkpoints.load(study.source, study.device)
    trainer = Trainer.fine_tune(
        study.config(entry), study.dataset(entry.domain), source, entry.methods, pick_device(study.device)
    )
    trainer.run(progress=progress)
    if trainer.step < trainer.config.steps:
        raise KeyboardInterrupt(f"{entry.key}: stopped at {trainer.images_seen:,} images; the same command goes on")
    meta = {"images": study.images, "seed": entry.seed, "methods": [str(m) for m in entry.methods]}
    meta |= {"source": study.made_from["source"]}
    meta |= {"frozen": trainer.frozen, "precision": trainer.precision, "renderer": world.VERSION}
    checkpoints.save(study.model(entry), g_ema=trainer.g_ema, half=True, meta=meta)
    shutil.rmtree(trainer.folder / "snapshots")  # gigabytes for a study, and all that matters is saved
    return checkpoints.load(study.model(entry), study.device, g_ema_only=True).g_ema  # as shipped: float16


def run_entry(study: Study, entry: Entry, progress: bool = True) -> dict:
    """Train and measure one entry; its numbers, one dict per swap, also written to `study.result(entry)`."""
    path = study.result(entry)
    if path.exists():
        found = json.loads(path.read_text())
        study.check(path, found, entry)
        return found
    begin = time.time()
    target = train_entry(study, entry, progress)
    trained = time.time()
    measured = [{"swap": swap, **numbers} for swap, numbers in measure(study, entry.domain, target)]
    result = {"domain": entry.domain, "method": entry.name, "seed": entry.seed, "measured": measured}
    result |= study.made_with(entry) | {"seconds": [round(trained - begin), round(time.time() - trained)]}
    files.write_json(path, result)
    return result


# ------------------------------------------------------------------------------------------------------------ measuring


class Ruler:
    """Everything that a domain's entries are measured against, rendered and read once and kept in a file."""

    def __init__(self, study: Study, domain: str):
        self.study, self.domain = study, domain
        version = f"v{world.VERSION}-{study.made_from['judge']}"
        self.path = study.work / f"ruler-{domain}-{study.faces}-{version}.pt"

    @cached_property
    def judge(self) -> Judge:
        """On the study's device."""
        return Judge.load(self.study.judge, pick_device(self.study.device))

    @cached_property
    def readings(self) -> dict[str, Reading]:
        """ "real": faces of the domain; "as_source", "as_target": the same attributes drawn in both domains."""
        if not self.path.exists():
            self._make()
        stored = torch.load(self.path, weights_only=True)
        return {name: Reading(**{k: v.float() for k, v in values.items()}) for name, values in stored.items()}

    def _make(self) -> None:
        n = self.study.faces
        real = measures.rendered_reference(self.judge, self.domain, n)
        as_source, as_target = measures.same_faces(self.judge, SOURCE_DOMAIN, self.domain, n)
        found = {"real": real.first, "more_real": real.second, "as_source": as_source, "as_target": as_target}
        files.write(self.path, {name: vars(reading) for name, reading in found.items()})

    @cached_property
    def floor(self) -> float:
        """Landmark error of perfect structure: the same attributes drawn in both domains."""
        pair = self.readings["as_source"], self.readings["as_target"]
        return float(measures.landmark_error(self.judge, *pair).mean())

    def distance(self, reading: Reading) -> float:
        """Pocket distance of images to the domain."""
        return measures.pocket_distance(self.judge, reading, self.readings["real"])

    def attributes_kept(self, source: Reading, target: Reading) -> float:
        """Share of the attributes that can be kept that is kept (`metrics.Agreement.mean`)."""
        best = self.readings["as_source"], self.readings["as_target"]
        pairs = (source, target), best, (source, measures.shuffled(target))
        return measures.Agreement(*(measures.attribute_agreement(self.judge, *p) for p in pairs), len(source)).mean()


def measure(study: Study, domain: str, target: Generator) -> Iterator[tuple[int | None, dict[str, float]]]:
    """The numbers of a target for every swap: (swap, {name: value}).

    The domain distance is of images from the target's own codes (the same-z ones).
    """
    device, ruler = pick_device(study.device), Ruler(study, domain)
    source = checkpoints.load(study.source, device, g_ema_only=True).g_ema
    target = target.to(device)
    z = torch.randn(study.faces, source.z_dim, generator=step_generator(CODES_SEED, 0))
    from_source = ruler.judge.read(to_uint8(render(source, source.mapping(z))))
    bounds = {
        "distance_floor": ruler.distance(ruler.readings["more_real"]),
        "distance_ceiling": ruler.distance(ruler.readings["as_source"]),
        "floor": ruler.floor,
    }
    for swap in SWAPS:
        same_w, same_z = (ruler.judge.read(images(source, target, z, same, swap)) for same in ("w", "z"))
        yield (
            swap,
            {
                "domain_distance": ruler.distance(same_z),
                "landmark_error_same_w": float(measures.landmark_error(ruler.judge, from_source, same_w).mean()),
                "landmark_error_same_z": float(measures.landmark_error(ruler.judge, from_source, same_z).mean()),
                "attributes_kept_same_w": ruler.attributes_kept(from_source, same_w),
                **bounds,
                "ceiling": float(measures.landmark_error(ruler.judge, from_source, measures.shuffled(same_z)).mean()),
            },
        )


@torch.no_grad()
def images(source: Generator, target: Generator, z: Tensor, same: str, swap: int | None = None) -> Tensor:
    """The target's images of z [N, z_dim], uint8 [N, 3, R, R], with the fixed noise.

    Args:
        same: "w": the target gets the source's codes; "z": the codes of its own mapping.
        swap: below this resolution the source draws, with its own codes; None: nowhere.
    """
    ws = source.mapping(z)
    own = ws if same == "w" else target.mapping(z)
    if swap is None:
        return to_uint8(render(target, own))
    pairs = zip(ws.split(BATCH), own.split(BATCH), strict=True)
    return to_uint8(torch.cat([swap_images(source, target, a, swap, target_ws=b) for a, b in pairs]))


# -------------------------------------------------------------------------------------------------------- many entries


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
    with ProcessPoolExecutor(jobs, get_context("spawn"), _quiet_worker, (threads,)) as pool:
        started = {pool.submit(run_entry, study, entry, False): entry for entry in left}
        for future in as_completed(started):
            numbers = future.result()["measured"][0]
            tqdm.write(f"{started[future].key}: " + ", ".join(f"{k} {numbers[k]:.3f}" for k in NUMBERS))
            bar.update()


def _quiet_worker(threads: int) -> None:
    torch.set_num_threads(threads)


# ------------------------------------------------------------------------------------------------------------- the rows


def rows(results: Iterable[dict]) -> list[dict]:
    """Results of entries -> one row per domain, method and swap, its numbers as mean and sd over the seeds.

    sd is null for a single seed. `floor` and `ceiling` bound the landmark errors: the same attributes drawn in both
    domains, and random pairs of these images. `distance_floor` and `distance_ceiling` bound the domain distance: other
    rendered faces of the domain, and rendered photos.
    """
    groups: dict[tuple, list[dict]] = {}
    for result in results:
        budget = {name: result[name] for name in ("images", "batch", "faces")}
        for measured in result["measured"]:
            groups.setdefault((result["domain"], result["method"], measured["swap"]), []).append(measured | budget)
    return [
        {
            "domain": domain,
            "method": name,
            "swap": swap,
            **{number: _spread([m[number] for m in found]) for number in NUMBERS},
            **{bound: found[0][bound] for bound in ("floor", "distance_floor", "distance_ceiling")},
            "ceiling": statistics.fmean(m["ceiling"] for m in found),
            "seeds": len(found),
            **{name: found[0][name] for name in ("images", "batch", "faces")},
        }
        for (domain, name, swap), found in groups.items()
    ]


def read_rows(path: str | os.PathLike) -> list[dict]:
    """Rows of a scoreboard.json. Raises FileNotFoundError, saying how to make one, and ValueError for another file."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no scoreboard at '{path}': python -m stylegan2 scoreboard makes it")
    found = json.loads(path.read_text())
    if not isinstance(found, list) or not all(
        isinstance(row, dict) and {"domain", *NUMBERS} <= set(row) for row in found
    ):
        raise ValueError(f"'{path}' is no scoreboard: expected a list of rows with domain, method, swap and numbers")
    return found


def _spread(values: Sequence[float]) -> dict[str, float | None]:
    return {"mean": statistics.fmean(values), "sd": statistics.stdev(values) if len(values) > 1 else None}
