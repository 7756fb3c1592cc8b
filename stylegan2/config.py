"""The settings of a training run, checked before work starts."""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from stylegan2.setting_types import check_types

AUGMENT_PIPES = ("none", "b", "bg", "bgc")  # b: pixel blitting, g: general geometry, c: colour


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one run. Images are the unit of time everywhere: a run is `images` long whatever the batch.

    Raises ValueError at construction for settings that cannot work, naming the field.
    """

    out: str | os.PathLike  # folder of the run: config.json, log.csv, samples/, snapshots/
    images: int = 25_000  # length of the run, in real images shown to the discriminator
    batch: int = 16  # images of an iteration, over all processes
    accumulate: int = 1  # parts of a process's share that are computed one after the other: less memory, same result
    seed: int = 0  # data order, latents, noise and augmentations are functions of (seed, step)
    fine_tune: bool = False  # starts from a trained model; some defaults below are others then

    # Optimiser: Adam, betas (0, 0.99), corrected for lazy regularisation
    lr: float = 0.0025  # learning rate of both networks (config-f: 0.002; ADA's paper256: 0.0025)
    r1_gamma: float | None = None  # R1 weight; None: 2e-4 * resolution^2 / batch, ADA's heuristic
    r1_interval: int = 16  # R1 every so many iterations ("lazy")
    pl_weight: float = 2.0  # path length weight; 0 switches it off
    pl_interval: int = 4  # path length every so many iterations
    pl_batch_shrink: int = 2  # path length on a batch this many times smaller
    pl_decay: float = 0.01  # decay of the running mean path length
    style_mixing: float = 0.9  # probability of mixing two codes
    reuse_fakes: bool = False  # G learns from the images that D has just seen: a generator pass less per iteration

    # Warm-up from scratch: D sees blurred images first (arXiv 2106.12423, appendix F.2), and noise is off meanwhile
    blur_sigma: float = 0.0  # pixels of the Gaussian at the start; falls to 0 in a straight line; 0: no warm-up
    blur_images: int = 0  # images until that blur is gone

    # Averaged generator
    ema_images: int | None = None  # half-life in images; None: batch * 625, fine-tuning at most a quarter of the run
    ema_rampup: float | None = 0.05  # from scratch: at most this share of the images so far; None: no ramp-up

    # Adaptive discriminator augmentation
    augment: str = "adaptive"  # adaptive (ADA), fixed or none
    augment_pipe: str = "bgc"  # none, b (blit), bg (and geometry) or bgc (and colour)
    augment_p: float = 0.0  # first (adaptive) or only (fixed) probability
    augment_target: float = 0.6  # what r_t should be, for adaptive p
    augment_interval: int = 4  # iterations between two moves of p
    augment_images: int | None = None  # images for p to go from 0 to 1; None: 500k, fine-tuning 100k

    # Data and arithmetic
    mirror: bool = True  # show every image mirrored half of the time
    workers: int = 0  # processes that read images; 0 reads in this one
    precision: str = "auto"  # convolutions in float32, bfloat16 or float16; auto: what the machine is fast in

    # What is kept
    snapshot_images: int = 5_000  # a snapshot (everything needed to resume) every so many images
    keep: int = 2  # snapshots kept, the newest ones
    sample_images: int = 2_000  # a picture of the same latents every so many images
    sample_rows: int = 4  # of that picture
    sample_columns: int = 8  # of that picture
    log_images: int = 400  # a line of the log every so many images
    tensorboard: bool = False  # also write TensorBoard events

    def __post_init__(self) -> None:
        check_types(self)
        counts = ("images", "batch", "accumulate", "r1_interval", "pl_interval", "pl_batch_shrink", "augment_interval")
        pictures = ("snapshot_images", "keep", "sample_images", "log_images", "sample_rows", "sample_columns")
        for name in (*counts, *pictures):
            self._require(getattr(self, name) >= 1, name, "at least 1")
        for name in ("style_mixing", "augment_p", "pl_decay"):
            self._require(0 <= getattr(self, name) <= 1, name, "from 0 to 1")
        for name in ("lr", "pl_weight", "workers", "blur_sigma", "blur_images"):  # a seed is checked with the types
            self._require(getattr(self, name) >= 0, name, "0 or more")
        for name in ("r1_gamma", "ema_images", "ema_rampup"):
            self._require((getattr(self, name) or 0) >= 0, name, "0 or more, or None for the default")
        self._require(self.augment_images is None or self.augment_images >= 1, "augment_images", "at least 1, or None")
        self._require(-1 < self.augment_target < 1, "augment_target", "a number between -1 and 1")
        precisions, kinds = ("auto", "float32", "bfloat16", "float16"), ("none", "adaptive", "fixed")
        for name, known in {"augment": kinds, "augment_pipe": AUGMENT_PIPES, "precision": precisions}.items():
            self._require(getattr(self, name) in known, name, f"one of {', '.join(known)}")

    def _require(self, fine: bool, name: str, expected: str) -> None:
        if not fine:
            raise ValueError(f"{name} is {getattr(self, name)!r}, expected {expected}")

    @property
    def steps(self) -> int:
        """Iterations of the run: enough to show at least `images` images."""
        return -(-self.images // self.batch)

    @property
    def path_length_batch(self) -> int:
        """Images that the path length is measured on."""
        return max(1, self.batch // self.pl_batch_shrink)

    def r1_weight(self, resolution: int) -> float:
        """gamma of the R1 penalty, gamma / 2 * E |grad D|^2."""
        return 2e-4 * resolution**2 / self.batch if self.r1_gamma is None else self.r1_gamma

    def ema_half_life(self, images_seen: int, begun_as: int | None = None) -> float:
        """Half-life of the averaged generator in images, after `images_seen` images.

        From scratch it ramps up, so that early, poor weights are forgotten. Fine-tuning starts from good weights: no
        ramp-up, but at most a quarter of the run as it began (`begun_as` images; None: as it is now), since a long
        half-life would show the source instead of the result.
        """
        half_life = float(self.batch * 625 if self.ema_images is None else self.ema_images)
        if self.fine_tune:
            return min(half_life, (begun_as or self.images) / 4)
        return half_life if self.ema_rampup is None else min(half_life, images_seen * self.ema_rampup)

    def blur_at(self, images_seen: int) -> float:
        """Standard deviation in pixels of the blur that D sees after `images_seen` images."""
        return self.blur_sigma * (1 - images_seen / self.blur_images) if images_seen < self.blur_images else 0.0

    @property
    def augment_length(self) -> int:
        """Images in which p can go from 0 to 1: the paper's 500k (section 3.2); fine-tuning is short and needs 100k."""
        return self.augment_images or (100_000 if self.fine_tune else 500_000)

    def to_json(self) -> dict:
        """All fields as plain values."""
        return {**dataclasses.asdict(self), "out": os.fspath(self.out)}

    # Fields that a resumed run may change: they alter neither the parameters' path nor the meaning of a snapshot.
    FREE: ClassVar[tuple[str, ...]] = (
        *("out", "images", "accumulate", "workers", "tensorboard"),
        *("snapshot_images", "keep", "sample_images", "log_images"),
    )

    def check_same(self, path: Path) -> None:
        """Raises ValueError naming the fields that may not differ from the resumed run's config.json, and do."""
        try:
            defaults = {field.name: field.default for field in dataclasses.fields(self)}  # of fields added since
            old = defaults | json.loads(path.read_text())
        except json.JSONDecodeError as error:
            raise ValueError(f"'{path}' is not readable as JSON ({error}): use another folder for a new run") from error
        new = self.to_json()
        changed = [f"{k}: {old[k]!r} then, {new[k]!r} now" for k in new if k not in self.FREE and old[k] != new[k]]
        if changed:
            raise ValueError(
                f"'{path.parent}' holds a run with other settings ({'; '.join(changed)}): "
                "use the same settings to resume it, or another folder for a new run"
            )
