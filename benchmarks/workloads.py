"""What is measured: the rows of the table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks import flops, jobs, photos
from benchmarks.jobs import Job
from benchmarks.ours import Ours
from stylegan2 import networks

TORCH = ("ours", "nvidia", "rosinality", "cartoon")
SCRIPTS = ("ours", "rosinality", "cartoon")  # whoever prepares an LMDB


@dataclass(frozen=True)
class Workload:
    """A row of the table.

    make: (contestant, scratch folder) -> Job. amount: of `unit` per repetition. flops: of one repetition.
    variants: also in mixed precision and with warm memory; else once each, as it is.
    """

    name: str
    what: str
    make: Callable[[Ours, Path], Job]
    unit: str  # "s/image", "ms", "s": less is better; "images/s", "steps/s": more is better
    amount: float = 1.0
    flops: float | None = None
    kinds: tuple[str, ...] = TORCH
    variants: bool = True
    cuda_only: bool = False
    photos: bool = False  # needs the folder of photos (and the LMDB made of it)

    def value(self, seconds: float) -> float:
        """Seconds of a repetition in `unit`."""
        per_unit = seconds / self.amount
        return 1 / per_unit if self.unit.endswith("/s") else 1000 * per_unit if self.unit == "ms" else per_unit


def _training_flops(resolution: int, preset: str, batch: int) -> float:
    p = networks.PRESETS[preset]
    channels = networks.widths(resolution, p.base, p.maximum)
    g, d = flops.generator(channels, p.w_dim, p.z_dim, p.mapping_layers), flops.discriminator(channels)
    return jobs.ITERATIONS * batch * flops.training_image(g, d)


# ---------------------------------------------------------------------------------------------------------- all of it

_F256 = networks.widths(256)
_IMAGE_256 = flops.generator(_F256, 512, 512, 8)
_IMAGE_64 = flops.generator(networks.widths(64, 2048, 128), 128)

WORKLOADS = {
    w.name: w
    for w in [
        Workload(
            "generator-256-b4", "generator forward, config-f 256 px, batch 4", jobs.generate(256, "config-f", 4),
            "s/image", 4, 4 * _IMAGE_256,
        ),
        Workload(
            "generator-256-b1", "generator forward, config-f 256 px, batch 1", jobs.generate(256, "config-f", 1),
            "s/image", 1, _IMAGE_256,
        ),
        Workload(
            "slider-64-b1", "pocket slider, w to the bytes of a 384 px JPEG", jobs.slide,
            "ms", jobs.SLIDES, jobs.SLIDES * _IMAGE_64,
        ),
        Workload(
            "train-64-b16", "training, pocket 64 px, batch 16, ADA p = 0.3", jobs.train(64, "pocket", 16),
            "images/s", 16 * jobs.ITERATIONS, _training_flops(64, "pocket", 16),
        ),
        Workload(
            "train-256-b8", "training, config-f 256 px, batch 8, ADA p = 0.3", jobs.train(256, "config-f", 8),
            "images/s", 8 * jobs.ITERATIONS, _training_flops(256, "config-f", 8), cuda_only=True,
        ),
        Workload(
            "latent-step-256", "latent optimisation, config-f 256 px, W+", jobs.optimise_latent,
            "s/step", 1, flops.latent_step(_F256, 512),
        ),
        Workload(
            "lmdb-prepare", "photos of 512 px to LMDB at 128 and 256 px, 2 workers", jobs.prepare,
            "images/s", photos.COUNT, kinds=SCRIPTS, variants=False, photos=True,
        ),
        Workload(
            "lmdb-read", "random reads at 256 px, decoded to float", jobs.read, "images/s", jobs.READS,
            kinds=SCRIPTS, variants=False, photos=True,
        ),
        Workload(
            "first-image", "fresh Python to the first saved image", jobs.first_image,
            "s", kinds=("ours",), variants=False,
        ),
    ]
}  # fmt: skip
