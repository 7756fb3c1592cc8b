"""What is forgotten as training goes on: one long run of a method, kept and measured at several moments.

A plainly fine-tuned generator drifts away from its source's people for as long as it is trained. A table of equally
long runs shows one point of that way; here is the whole of it, for every method from the same source.

The averaged generator has a half-life of a quarter of the first moment (`TrainConfig.ema_half_life`), shorter than the
scoreboard's, since a longer one would show the source at first; so its numbers are not those of the scoreboard.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from PIL import Image

from stylegan2 import checkpoints, display, files
from stylegan2.editing.latents import render, ws_from_seeds
from stylegan2.networks import Generator
from stylegan2.pocket import world
from stylegan2.pocket.studies import markdown_table, scoreboard
from stylegan2.pocket.studies.methods import named
from stylegan2.pocket.studies.scoreboard import Entry, Study
from stylegan2.runtime import pick_device
from stylegan2.trainer import Trainer

MOMENTS = (3_000, 6_000, 12_000, 24_000, 48_000, 96_000)  # images shown when a model is kept
COMPARED = ("baseline", "freeze-sg")
SHOWN = {  # number of a row -> title, and the number that it is held against
    "structure_kept": ("structure kept", None),
    "who_top1": ("who is it? (1 of 100)", None),
    "domain_distance": ("distance to webtoons", "distance_same_people"),
}
KEPT = (*SHOWN, "landmark_error_same_w", "colours_kept", "distance_same_people")
SIDE = 80  # pixels of a face in the picture


def entries(domain: str = "webtoon", methods: Iterable[str] = COMPARED, seed: int = 0) -> list[Entry]:
    """The long runs."""
    return [Entry(domain, name, tuple(named(name, world.SIZE)), seed) for name in methods]


def path_of(study: Study, entry: Entry, images: int) -> Path:
    """Where the generator of a moment goes."""
    return study.work / "long" / f"{entry.key}-{images}.pt"


def train(study: Study, entry: Entry, moments: Sequence[int] = MOMENTS, progress: bool = True) -> None:
    """One run, its averaged generator kept at each of `moments`; a killed one goes on from its last snapshot."""
    left = [images for images in moments if not path_of(study, entry, images).exists()]
    if not left:
        return
    source, data = checkpoints.load(study.source, study.device), study.dataset(entry.domain)
    for images in left:
        config = replace(study.config(entry), out=study.work / "long" / entry.key, images=images)
        config = replace(config, snapshot_images=3_000, log_images=500, sample_images=3_000)
        trainer = Trainer.fine_tune(config, data, source, entry.methods, pick_device(study.device))
        trainer.run(progress=progress)
        if trainer.step < config.steps:
            raise KeyboardInterrupt(f"{entry.key}: stopped at {trainer.images_seen:,} images; the same command goes on")
        meta = {"images": images, "seed": entry.seed, "methods": [str(m) for m in entry.methods]}
        meta |= {"source": study.made_from["source"], "frozen": trainer.frozen, "renderer": world.VERSION}
        checkpoints.save(path_of(study, entry, images), g_ema=trainer.g_ema, half=True, meta=meta)


def models(study: Study, entry: Entry, moments: Sequence[int] = MOMENTS) -> dict[int, Generator]:
    """The averaged generators of the moments that are there, by images shown."""
    paths = {images: path_of(study, entry, images) for images in moments}
    return {n: checkpoints.load(p, study.device, g_ema_only=True).g_ema for n, p in paths.items() if p.exists()}


def measure(study: Study, entry: Entry, moments: Sequence[int] = MOMENTS) -> list[dict]:
    """A row per moment that is there: {"domain", "method", "images", and what `KEPT` names}."""
    found = []
    for images, g in models(study, entry, moments).items():
        kept = path_of(study, entry, images).with_suffix(".json")
        if not kept.exists():
            numbers = next(n for swap, n in scoreboard.measure(study, entry.domain, g) if swap is None)
            files.write_json(
                kept,
                {
                    "domain": entry.domain,
                    "method": entry.name,
                    "images": images,
                    **{name: numbers[name] for name in KEPT},
                },
            )
        found.append(json.loads(kept.read_text()))
    return found


def curves(rows: Sequence[dict]) -> Figure:
    """What `measure` found, against images shown: what is kept of a person, and how near the cartoons are."""
    figure, axes = plt.subplots(1, len(SHOWN), figsize=(2.6 * len(SHOWN), 2.2), layout="constrained")
    for axis, (name, (title, reference)) in zip(axes, SHOWN.items(), strict=True):
        for method in dict.fromkeys(row["method"] for row in rows):
            points = [(row["images"], _number(row[name])) for row in rows if row["method"] == method]
            axis.plot(*zip(*points, strict=True), marker="o", markersize=4, label=method)
        if reference:
            height = rows[0][reference]
            axis.axhline(height, color="#9a9aa5", linestyle=":")
            axis.annotate("same people, rendered", (rows[0]["images"], height), (0, 3), "data", "offset points",
                          color="#77777f", fontsize=8)  # fmt: skip
        axis.set(title=title, xlabel="images shown", xscale="log", xticks=[row["images"] for row in rows])
        axis.xaxis.set_major_formatter(lambda images, _: f"{images / 1000:.0f}k")
        axis.minorticks_off()
    axes[0].legend(frameon=False, loc="lower left")
    plt.close(figure)
    return figure


def table(rows: Sequence[dict]) -> str:
    """The rows as a Markdown table, by images shown."""
    ordered = sorted(rows, key=lambda row: row["images"])
    numbers = [[_number(row[name]) for name in SHOWN] for row in ordered]
    lines = [
        [f"{row['images']:,}", row["method"], f"{kept:.2f}", f"{who:.2f}", f"{distance:.1f}"]
        for row, (kept, who, distance) in zip(ordered, numbers, strict=True)
    ]
    return markdown_table(["images", "method", *(title for title, _ in SHOWN.values())], lines)


def _number(value: dict | float) -> float:
    return value["value"] if isinstance(value, dict) else value


def people(source: Generator, runs: Mapping[str, Mapping[int, Generator]], seeds: Sequence[int]) -> Image.Image:
    """A row per person: in the source, then at every moment of each run, {method: {images: generator}}."""
    ws = ws_from_seeds(source, seeds, 0.8)
    blocks = [display.table([[face] for face in render(source, ws)], ["source"], side=SIDE, gap=2)]
    for method, models in runs.items():
        faces = torch.stack([render(g, ws) for g in models.values()], 1)  # [people, moments, 3, R, R]
        when = [f"{images // 1000}k" for images in models]
        when[0] = f"{method}: {when[0]}"
        blocks.append(display.table([list(person) for person in faces], when, side=SIDE, gap=2))
    return display.beside(blocks, gap=12)
