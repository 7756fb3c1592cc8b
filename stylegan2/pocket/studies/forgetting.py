"""What is forgotten as training goes on: one long run of a method, kept and measured at several moments.

A plainly fine-tuned generator drifts away from its source's people for as long as it is trained. A table of equally
long runs shows one point of that way; here is the whole of it, for every method from the same source.

The averaged generator has a half-life of a quarter of the first moment (`TrainConfig.ema_half_life`), shorter than the
scoreboard's, since a longer one would show the source at first; so its numbers are not those of the scoreboard.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from PIL import Image

from stylegan2 import display, files
from stylegan2.editing.latents import render, ws_from_seeds
from stylegan2.networks import Generator
from stylegan2.pocket.studies import markdown_table, scoreboard
from stylegan2.pocket.studies.scoreboard import Entry, Study
from stylegan2.pocket.studies.scoreboard_view import COLOURS, COLUMNS

MOMENTS = (3_000, 6_000, 12_000, 24_000, 48_000, 96_000)  # images shown when a model is kept
COMPARED = ("baseline", "freeze-sg", "freeze-g", "structure-loss", "structure-loss-paper")
AGAIN = ("baseline", "freeze-sg", "structure-loss")  # with other seeds: does it differ more than they do?
SEEDS = {0: 96_000, 1: 24_000}  # seed -> images at which its runs end
SHOWN = {  # number of a row -> title, and the number that it is held against
    "structure_kept": ("structure kept", None),
    "who_top1": ("who is it? (1 of 100)", None),
    "domain_distance": ("distance to webtoons", "distance_same_people"),
}
KEPT = (*SHOWN, "landmark_error_same_w", "colours_kept", "distance_same_people")
SIDE = 80  # pixels of a face in the picture


def entries(moments: Sequence[int]) -> list[tuple[Entry, list[int]]]:
    """The long runs and their moments, by seed, in the order of COMPARED."""
    runs = []
    for seed, last in SEEDS.items():
        of_study = {entry.name: entry for entry in scoreboard.methods_study(("webtoon",), (seed,))}
        names = [name for name in (AGAIN if seed else COMPARED) if name in of_study]
        runs += [(of_study[name], [images for images in moments if images <= last]) for name in names]
    return runs


def path_of(study: Study, entry: Entry, images: int) -> Path:
    """Where the generator of a moment goes."""
    return study.work / "long" / f"{entry.key}-{images}.pt"


def train(study: Study, entry: Entry, moments: Sequence[int]) -> None:
    """One run, its averaged generator kept at each of `moments`; a killed one goes on from its last snapshot."""
    for images in moments:
        path, until = path_of(study, entry, images), replace(study, images=images)
        if not path.exists():
            config = replace(until.config(entry), out=study.work / "long" / entry.key)
            config = replace(config, snapshot_images=3_000, log_images=500, sample_images=3_000)
            scoreboard.train_to(path, until, entry, config)


def models(study: Study, entry: Entry, moments: Sequence[int]) -> dict[int, Generator]:
    """The averaged generators of the moments that are there, by images shown; of another study: ValueError."""
    paths = {images: path_of(study, entry, images) for images in moments}
    return {
        images: scoreboard.load_model(replace(study, images=images), path, entry)
        for images, path in paths.items()
        if path.exists()
    }


def measure(study: Study, entry: Entry, moments: Sequence[int]) -> list[dict]:
    """A row per moment that is there: "domain", "method", "seed", what it was made with, and what `KEPT` names."""
    rows = []
    for images, g in models(study, entry, moments).items():
        path, until = path_of(study, entry, images).with_suffix(".json"), replace(study, images=images)
        if not path.exists():
            numbers = next(n for swap, n in scoreboard.measure(study, entry.domain, g) if swap is None)
            row = {"domain": entry.domain, "method": entry.name} | until.made_with(entry)
            files.write_json(path, row | {name: numbers[name] for name in KEPT})
        row = json.loads(path.read_text())
        until.check(path, row, entry)
        rows.append(row | {"seed": entry.seed})
    return rows


def curves(rows: Sequence[dict]) -> Figure:
    """What `measure` found, against images shown: what is kept of a person, and how near the cartoons are.

    Dashed: other seeds than 0.
    """
    figure, axes = plt.subplots(1, len(SHOWN), figsize=(2.6 * len(SHOWN), 2.2), layout="constrained")
    for axis, (name, (title, reference)) in zip(axes, SHOWN.items(), strict=True):
        for method, seed in dict.fromkeys((row["method"], row["seed"]) for row in rows):
            points = [(r["images"], _number(r[name])) for r in rows if (r["method"], r["seed"]) == (method, seed)]
            how = {"marker": ".", "lw": 0.8, "ls": "--"} if seed else {"marker": "o", "markersize": 4, "label": method}
            axis.plot(*zip(*points, strict=True), color=COLOURS.get(method), **how)
        if reference:
            height = rows[0][reference]
            axis.axhline(height, color="#9a9aa5", linestyle=":")
            axis.annotate("same people, rendered", (rows[0]["images"], height), (0, 3), "data", "offset points",
                          color="#77777f", fontsize=8)  # fmt: skip
        axis.set(title=title, xlabel="images shown", xscale="log", xticks=[row["images"] for row in rows])
        axis.xaxis.set_major_formatter(lambda images, _: f"{images / 1000:.0f}k")
        axis.minorticks_off()
    axes[0].legend(frameon=False, loc="lower left", fontsize=7)
    plt.close(figure)
    return figure


def table(rows: Sequence[dict]) -> str:
    """The rows as a Markdown table, by images shown; more values in a cell are those of other seeds."""
    groups: dict[tuple, list[dict]] = {}
    for row in sorted(rows, key=lambda row: (row["images"], row["seed"])):
        groups.setdefault((row["images"], row["method"]), []).append(row)
    lines = []
    for (images, method), seeds in groups.items():
        cells = [", ".join(f"{_number(row[name]):.{COLUMNS[name][1]}f}" for row in seeds) for name in SHOWN]
        lines.append([f"{images:,}", method, *cells])
    return markdown_table(["images", "method", *(title for title, _ in SHOWN.values())], lines)


def _number(value: dict | float) -> float:
    return value["value"] if isinstance(value, dict) else value


def people(source: Generator, runs: Mapping[str, Mapping[int, Generator]], seeds: Sequence[int]) -> Image.Image:
    """A row per person: in the source, then at every moment of two runs, {method: {images: generator}}; then the next.

    A run without models is left out.
    """
    ws, blocks = ws_from_seeds(source, seeds, 0.8), []
    at_first = display.table([[face] for face in render(source, ws)], ["source"], side=SIDE, gap=2)
    for method, models in runs.items():
        if models:
            faces = torch.stack([render(g, ws) for g in models.values()], 1)  # [people, moments, 3, R, R]
            when = [f"{images // 1000}k" for images in models]
            when[0] = f"{method}: {when[0]}"
            margin = [""] * len(faces)  # a long name goes beyond its column
            blocks.append(display.table([list(person) for person in faces], when, margin, side=SIDE, gap=2))
    return display.stack([display.beside([at_first, *blocks[k : k + 2]], gap=4) for k in range(0, len(blocks), 2)])
