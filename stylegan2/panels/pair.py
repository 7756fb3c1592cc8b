"""One code in two worlds: source, target and swapped face side by side, with the landmarks that the judge reads."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Literal

import ipywidgets as w
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from stylegan2 import display
from stylegan2.editing import latents
from stylegan2.editing.layer_swapping import compare, cuts
from stylegan2.networks import Generator
from stylegan2.panels.controls import choice, int_slider, psi_slider
from stylegan2.panels.panel import Panel, pick
from stylegan2.pocket import measures, world
from stylegan2.pocket.nets.judge import Judge, Reading

SIDE = 256  # pixels of each of the three pictures, or the model's own size where that is more
GAP, BAND = 8, 24  # pixels between pictures, and of a line of text
OWN, SOURCES, EDGE = (255, 210, 63), (47, 209, 255), (24, 24, 32)  # landmarks of this picture, of the source; outlines
EYES = (("eye_left_outer", "eye_left_inner"), ("eye_right_inner", "eye_right_outer"))
LINES = [[world.LANDMARKS.index(name) for name in ends] for ends in (*EYES, ("mouth_left", "mouth_right"))]


@torch.no_grad()
def pair_images(
    source: Generator,
    target: Generator,
    seed: int,
    truncation: float = 0.8,
    same: Literal["w", "z"] = "w",
    swap_resolution: int = 16,
) -> Tensor:
    """Source, target and swapped image of one seed, see `layer_swapping.compare`: [3, 3, R, R], about in [-1, 1].

    Args:
        truncation: psi, around the mean of the mapping that makes the code.
        same: "w": the source's code through both; "z": the target gets the code of its own mapping.
        swap_resolution: first resolution that the swapped image takes from the target.

    Raises ValueError for another `same`, or models or a resolution that cannot be swapped.
    """
    if same not in ("w", "z"):
        raise ValueError(f"same is {same!r}, expected 'w' (one code through both) or 'z' (each its own mapping)")
    z = latents.z_from_seeds(source.z_dim, [seed])
    ws = source.mapping(z, truncation)
    own = ws if same == "w" else target.mapping(z, truncation)
    return compare(source, target, ws, swap_resolution, own)[:, 0]


def render_pair(
    source: Generator,
    targets: Mapping[str, Generator],
    judge: Judge,
    target: str,
    same: Literal["w", "z"] = "w",
    seed: int = 0,
    truncation: float = 0.8,
    swap_resolution: int = 16,
    landmarks: bool = True,
) -> Image.Image:
    """Source, target and swapped face of one seed, large; below, how far this pair's landmarks lie from the source's.

    Args:
        source, targets, target: a generator, those fine-tuned from it by name, and which of them.
        judge: reads the landmarks.
        same, seed, truncation, swap_resolution: as in `pair_images`.
        landmarks: draw them: this picture's yellow, the source's blue, a line between the two that belong together.

    Raises ValueError for a name that is not among the targets, and as `pair_images`.
    """
    images = pair_images(source, pick("target", target, targets), seed, truncation, same, swap_resolution)
    pictures = [display.to_pil(image, side=SIDE) for image in images.cpu()]
    titles = ["source", target, f"swapped from {swap_resolution}x{swap_resolution}"]
    reading = judge.read(images)
    first = Reading(*(value[:1].expand_as(value) for value in vars(reading).values()))  # the source, three times
    errors = measures.landmark_error(first, reading).tolist()[1:]
    notes = [f"seed {seed}, psi {truncation:g}, same {same}"]
    notes += [f"landmark error {error:.3f} eye distances" for error in errors]
    for picture, points in zip(pictures, reading.landmarks.tolist(), strict=True):
        if landmarks:
            _draw_landmarks(picture, points, reading.landmarks[0].tolist())
    return display.table([pictures, notes], titles, gap=(GAP, 0), band=BAND)


def _draw_landmarks(picture: Image.Image, points: list[list[float]], of_source: list[list[float]]) -> None:
    """Dots at the landmarks, lines through eyes and mouth; where they lie elsewhere in the source, a line to there."""
    pen, side = ImageDraw.Draw(picture), picture.width
    own, other = ([(x * side, y * side) for x, y in places] for places in (points, of_source))
    for a, b in LINES:
        pen.line([own[a], own[b]], OWN, 2)
    for at, in_source in zip(own, other, strict=True):
        if own != other:
            pen.line([at, in_source], SOURCES, 1)
            pen.circle(in_source, 2, SOURCES, EDGE)
        pen.circle(at, 3, OWN, EDGE)


def pair_panel(
    source: Generator,
    targets: Mapping[str, Generator],
    judge: Judge,
    seed: int = 0,
    records: Mapping[str, Mapping[str, str]] | None = None,
) -> Panel:
    """Compare a source with what was fine-tuned from it, face by face, beginning with that seed.

    `records`: {"source", or a target's name: what says exactly which model that is}, see `Course.record`.
    """
    controls = {
        "target": choice("target", list(targets)),
        "same": choice("same", ["w", "z"]),
        "seed": int_slider("seed", seed, 0, 999),
        "truncation": psi_slider(0.8),
        "swap_resolution": choice("swap from", cuts(source.resolution), min(32, source.resolution)),
        "landmarks": w.Checkbox(True, description="landmarks"),
    }

    def record() -> dict[str, Mapping[str, str]]:
        names = {"source": "source", "model": controls["target"].value}
        return {key: records[name] for key, name in names.items() if name in (records or {})}

    return Panel(partial(render_pair, source, targets, judge), controls, "pair", record=record)
