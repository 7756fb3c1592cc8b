"""How well codes are found: every route from an image to codes, its errors and its time.

On generated images, whose codes exist, and on rendered ones, whose codes may not.

    rows = compare_routes(g, encoder, judge, images={"generated": a, "rendered": b})
    print(table(rows))
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from stylegan2 import display
from stylegan2.editing.latents import render, ws_from_seeds
from stylegan2.editing.perceptual import psnr
from stylegan2.editing.projection import ProjectConfig, Projection, project, tune
from stylegan2.encoder import Encoder
from stylegan2.networks import Generator
from stylegan2.pocket import world
from stylegan2.pocket.measures import landmark_error
from stylegan2.pocket.nets.judge import Judge
from stylegan2.pocket.nets.perceptual import JudgeDistance

EVALUATION_SEED = 830_000  # a sequence of faces that no training draws from
ENCODER, W, W_PLUS, REFINED, TUNED = "encoder", "W", "W+", "encoder, then W+", "encoder, W+, pivotal tuning"
ROUTES = (ENCODER, W, W_PLUS, REFINED, TUNED)
BATCH = 10  # images looked for at once


def evaluation_images(g: Generator, count: int = 100, truncation: float = 0.7) -> dict[str, Tensor]:
    """Images that nobody was trained on: {"generated": [N, 3, R, R], "rendered": ...} in [-1, 1]."""
    ws = ws_from_seeds(g, range(EVALUATION_SEED, EVALUATION_SEED + count), truncation)
    faces = world.sample("photo", count, seed=EVALUATION_SEED)
    rendered = world.render(faces, "photo", g.resolution).to(ws.device).float().div(127.5).sub(1)
    return {"generated": render(g, ws).clamp(-1, 1), "rendered": rendered}


def compare_routes(
    g: Generator,
    encoder: Encoder,
    judge: Judge,
    images: Mapping[str, Tensor],
    routes: Sequence[str] = ROUTES,
    steps: int = 200,
    refine_steps: int = 100,
    tune_steps: int = 100,
    on_route: Callable[[str, str, Tensor], None] | None = None,
) -> list[dict]:
    """Take every route to every image.

    Args:
        g, encoder: the model and its encoder.
        judge: compares images, and measures landmarks.
        images: by kind, see `evaluation_images`.
        routes: some of `ROUTES`.
        steps: of the searches that begin at the mean face.
        refine_steps: of those that begin with the encoder's answer.
        tune_steps: of pivotal tuning, which is done for `BATCH` images at once.
        on_route: called with kind, route and the images drawn.

    Returns:
        a row for each: {"kind", "route", "images", "psnr" (median, dB), "looks" (mean perceptual distance),
        "landmarks" (mean error in eye distances), "seconds" (per image)}.
    """
    looks = JudgeDistance(judge)
    jobs = _jobs(g, encoder, looks, steps, refine_steps, tune_steps)
    rows = []
    for kind, wanted in images.items():
        for route in routes:
            started = time.perf_counter()
            drawn = torch.cat([jobs[route](part) for part in wanted.split(BATCH)])
            seconds = (time.perf_counter() - started) / len(wanted)
            rows.append({"kind": kind, "route": route, "images": len(wanted), "seconds": seconds})
            rows[-1] |= _errors(judge, looks, wanted, drawn)
            if on_route is not None:
                on_route(kind, route, drawn)
    return rows


def _jobs(g, encoder, looks, steps: int, refine_steps: int, tune_steps: int) -> dict[str, Callable[[Tensor], Tensor]]:
    """Route -> from images [N, 3, R, R] to what their codes draw."""
    free = ProjectConfig(steps=steps)
    near = ProjectConfig(steps=refine_steps, stir=0.0)

    def found(x: Tensor, config: ProjectConfig, start: Tensor | None = None) -> Projection:
        return project(g, x, looks, config, start, progress=False)

    def drawn(projection: Projection, model: Generator = g) -> Tensor:
        return render(model, projection.ws)

    def tuned(x: Tensor) -> Tensor:
        refined = found(x, near, encoder(x))
        return drawn(refined, tune(g, refined, x, looks, tune_steps, progress=False))

    return {
        ENCODER: torch.no_grad()(lambda x: render(g, encoder(x))),
        W: lambda x: drawn(found(x, replace(free, space="w"))),
        W_PLUS: lambda x: drawn(found(x, free)),
        REFINED: lambda x: drawn(found(x, near, encoder(x))),
        TUNED: tuned,
    }


@torch.no_grad()
def _errors(judge: Judge, looks: JudgeDistance, wanted: Tensor, drawn: Tensor) -> dict[str, float]:
    pairs = zip(drawn.split(BATCH), wanted.split(BATCH), strict=True)
    return {
        "psnr": float(psnr(drawn, wanted).median()),
        "looks": float(torch.cat([looks(a, looks.of(b)) for a, b in pairs]).mean()),
        "landmarks": float(landmark_error(judge, wanted, drawn).mean()),
    }


def table(rows: Sequence[dict]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| images | route | PSNR (median) | looks | landmark error | seconds per image |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r['images']} {r['kind']} | {r['route']} | {r['psnr']:.1f} dB | {r['looks']:.3f} | {r['landmarks']:.3f} | "
        f"{r['seconds']:.2f} |"
        for r in rows
    ]
    return "\n".join(lines)


def sheet(images: Tensor, drawn: Mapping[str, Tensor], most: int = 8, scale: int = 2):
    """The images, and below them what every route found."""
    return display.rows({"image": images[:most].cpu()} | {k: v[:most].cpu() for k, v in drawn.items()}, scale)
