"""What shipped models keep of a person: structure, colours, who it is, landmark error.

python -m stylegan2 pocket kept        # measures what lies in checkpoints/pocket, trains nothing
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import torch

from stylegan2 import checkpoints
from stylegan2.display import to_uint8
from stylegan2.editing.latents import render
from stylegan2.inputs import step_generator
from stylegan2.networks import Generator
from stylegan2.pocket import likeness, measures
from stylegan2.pocket.nets.judge import Judge
from stylegan2.pocket.studies import markdown_table
from stylegan2.pocket.studies.scoreboard import CODES_SEED, SOURCE_DOMAIN


@torch.no_grad()
def measure_models(
    source: Generator, judge: Judge, paths: Mapping[tuple[str, str], str | os.PathLike], faces: int = 1000
) -> list[dict]:
    """A row for each model of {(domain, method): its file}: `Likeness.numbers`, "landmark_error" and "landmark_floor".

    Both generators render the same `faces` codes, of the source's mapping, as for the scoreboard's "same w". Raises
    ValueError for an unknown domain, and as `checkpoints.load`.
    """
    z = torch.randn(faces, source.z_dim, generator=step_generator(CODES_SEED, 0))
    ws, rows = source.mapping(z), []
    photos = judge.read(to_uint8(render(source, ws)))
    rulers = {d: likeness.LikenessRuler.make(judge, SOURCE_DOMAIN, d) for d in dict.fromkeys(d for d, _ in paths)}
    for (domain, method), path in paths.items():
        target = checkpoints.load(path, ws.device, g_ema_only=True).g_ema
        cartoons, ruler = judge.read(to_uint8(render(target, ws))), rulers[domain]
        error = float(measures.landmark_error(photos, cartoons).mean())
        floor = float(measures.landmark_error(ruler.source, ruler.target).mean())
        numbers = ruler.measure(photos, cartoons).numbers()
        row = {"domain": domain, "method": method, "faces": faces, "landmark_error": error, "landmark_floor": floor}
        rows.append(row | numbers)
    return rows


def table(rows: Sequence[dict]) -> str:
    """Rows of `measure_models` as a Markdown table, with the interval over faces in brackets."""
    groups = list(likeness.STRUCTURE)
    titles = ["world", "method", "structure kept", *groups, "colours kept", "who is it?", "of five"]
    lines = []
    for row in rows:
        structure, colours, first, five = (
            f"{row[name]['value']:.2f} ({row[name]['low']:.2f} to {row[name]['high']:.2f})"
            for name in likeness.MEASURES
        )
        parts = [f"{row['kept_by_group'][group]:.2f}" for group in groups]
        lines.append([row["domain"], row["method"], structure, *parts, colours, first, five])
    return markdown_table(titles, lines)
