"""How well codes are found: every route from an image to codes, its errors and its time.

On generated images, whose codes exist, and on rendered ones, whose codes may not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from stylegan2 import display
from stylegan2.editing.encoder import Encoder
from stylegan2.editing.latents import render, ws_from_seeds
from stylegan2.editing.perceptual import psnr
from stylegan2.editing.projection import ProjectConfig, Projection, project, tune
from stylegan2.networks import Generator
from stylegan2.pocket import world
from stylegan2.pocket.measures import landmark_error
from stylegan2.pocket.nets.judge import Judge, to_float
from stylegan2.pocket.nets.perceptual import JudgeDistance
from stylegan2.pocket.studies import markdown_table

EVALUATION_SEED = 830_000  # a sequence of faces that no training uses
ENCODER, W, W_PLUS, REFINED, TUNED = "encoder", "W", "W+", "encoder, then W+", "encoder, W+, pivotal tuning"
ROUTES = (ENCODER, W, W_PLUS, REFINED, TUNED)
BATCH = 10  # images projected together


def evaluation_images(g: Generator, count: int = 100, truncation: float = 0.7) -> dict[str, Tensor]:
    """Images that nobody was trained on: {"generated": [N, 3, R, R], "rendered": ...} in [-1, 1]."""
    ws = ws_from_seeds(g, range(EVALUATION_SEED, EVALUATION_SEED + count), truncation)
    faces = world.sample("photo", count, seed=EVALUATION_SEED)
    rendered = to_float(world.render(faces, "photo", g.resolution).to(ws.device))
    return {"generated": render(g, ws).clamp(-1, 1), "rendered": rendered}


def compare_routes(
    g: Generator,
    encoder: Encoder,
    judge: Judge,
    images: Mapping[str, Tensor],
    steps: int = 200,
    refine_steps: int = 100,
    tune_steps: int = 100,
) -> tuple[list[dict], dict[str, dict[str, Tensor]]]:
    """Take every route to every image of `evaluation_images`, `BATCH` at a time.

    steps: of the searches from the mean face. refine_steps: of those from the encoder's answer. tune_steps: of pivotal
    tuning. Returns rows of {"kind", "route", "images", "psnr" (median, dB), "perceptual" (mean distance), "landmarks"
    (mean error in eye distances), "seconds" (per image)}; and by kind and route the images from the codes.
    """
    distance, rows, answers = JudgeDistance(judge), [], {kind: {} for kind in images}
    routes = _routes(g, encoder, distance, steps, refine_steps, tune_steps)
    for kind, wanted in images.items():
        for route, answer_to in routes.items():
            started = time.perf_counter()
            answer = answers[kind][route] = torch.cat([answer_to(part) for part in wanted.split(BATCH)])
            seconds = (time.perf_counter() - started) / len(wanted)
            with torch.no_grad():
                pairs = zip(answer.split(BATCH), wanted.split(BATCH), strict=True)
                errors = {
                    "psnr": float(psnr(answer, wanted).median()),
                    "perceptual": float(torch.cat([distance(a, distance.of(b)) for a, b in pairs]).mean()),
                    "landmarks": float(landmark_error(judge.read(wanted), judge.read(answer)).mean()),
                }
            rows.append({"kind": kind, "route": route, "images": len(wanted), "seconds": seconds, **errors})
    return rows, answers


def _routes(
    g: Generator, encoder: Encoder, distance: JudgeDistance, steps: int, refine_steps: int, tune_steps: int
) -> dict[str, Callable[[Tensor], Tensor]]:
    """Route -> from images [N, 3, R, R] to those of the codes that it finds."""
    free, near = ProjectConfig(steps=steps), ProjectConfig(steps=refine_steps, stir=0.0)

    def search(x: Tensor, config: ProjectConfig, start: Tensor | None = None) -> Projection:
        return project(g, x, distance, config, start, progress=False)

    def tuned(x: Tensor) -> Tensor:
        refined = search(x, near, encoder(x))
        return render(tune(g, refined, x, distance, tune_steps, progress=False), refined.ws)

    return {
        ENCODER: torch.no_grad()(lambda x: render(g, encoder(x))),
        W: lambda x: render(g, search(x, replace(free, space="w")).ws),
        W_PLUS: lambda x: render(g, search(x, free).ws),
        REFINED: lambda x: render(g, search(x, near, encoder(x)).ws),
        TUNED: tuned,
    }


def table(rows: Sequence[dict]) -> str:
    """The rows as a Markdown table."""
    columns = ["images", "route", "PSNR (median)", "perceptual distance", "landmark error", "seconds per image"]
    numbers = {"psnr": "{:.1f} dB", "perceptual": "{:.3f}", "landmarks": "{:.3f}", "seconds": "{:.2f}"}
    lines = ([f"{r['images']} {r['kind']}", r["route"], *(f.format(r[n]) for n, f in numbers.items())] for r in rows)
    return markdown_table(columns, lines)


def sheet(images: Tensor, answers: Mapping[str, Tensor]):
    """Eight of the images, and below them every route's answer."""
    return display.rows({name: x[:8].cpu() for name, x in {"image": images, **answers}.items()})
