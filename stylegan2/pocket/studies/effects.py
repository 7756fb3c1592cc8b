"""What a direction of W does to faces: the judge compares them on both sides of where they were.

    effects = measure_directions(judge, g, directions)
    judge_names(effects)                                        # ["turned right 1.8 sd, smile 0.4 sd", ...]

Changes are in standard deviations of the model's own faces, see :mod:`stylegan2.pocket.studies.changes`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from stylegan2.bars import bar
from stylegan2.editing.directions import Directions, move
from stylegan2.editing.latents import render, ws_from_seeds
from stylegan2.networks import Generator
from stylegan2.pocket.nets.judge import Judge, Reading
from stylegan2.pocket.studies.changes import Change, attribute_spread, describe_changes, measure_changes


@dataclass(frozen=True)
class Effect:
    """What the judge says a direction does, attribute by attribute.

    Attributes:
        along: half of the change from -degree to +degree: what turns round with the sign of the degree. What both
            signs do (mostly damage: degrees that are too large) cancels out.
        plus, minus: changes from the unedited faces to either side.
    """

    along: dict[str, Change]
    plus: dict[str, Change]
    minus: dict[str, Change]


@torch.no_grad()
def measure_directions(
    judge: Judge,
    g: Generator,
    directions: Directions,
    degree: float = 3.0,
    seeds: Sequence[int] = range(64),
    truncation: float = 0.7,
    layers: str | Sequence[int] | None = None,
    sd: Tensor | None = None,
) -> list[Effect]:
    """Move many faces along every direction, both ways, and let the judge compare them. About 1.5 s per direction.

    Args:
        judge: reads the faces.
        g: draws them, with fixed noise, from codes of its own mapping.
        directions: all of them are measured; `select` fewer if need be.
        degree: how far, to both sides; above 0.
        seeds, truncation: the faces.
        layers: see `move`.
        sd: [A], unit of the changes; None: `attribute_spread` of 200 faces of g at this truncation.

    Returns:
        one Effect per direction.

    Raises:
        ValueError: a degree that is not above 0, or as of `move`.
    """
    if not degree > 0:
        raise ValueError(f"degree is {degree}, expected a number above 0: both signs are measured")

    def read(ws: Tensor) -> Reading:
        return judge.read(render(g, ws, batch=32))

    if sd is None:
        sd = attribute_spread(read(ws_from_seeds(g, range(200), truncation)))
    ws = ws_from_seeds(g, seeds, truncation)
    before, effects = read(ws), []
    for k in bar(range(len(directions)), "judge", "direction"):
        plus, minus = (read(move(ws, directions, {k: sign * degree}, layers)) for sign in (1, -1))
        sides = (measure_changes(before, side, sd) for side in (plus, minus))
        effects.append(Effect(_halved(measure_changes(minus, plus, sd)), *sides))
    return effects


def _halved(changes: Mapping[str, Change]) -> dict[str, Change]:
    return {name: replace(change, mean=change.mean / 2, each=change.each / 2) for name, change in changes.items()}


def judge_names(effects: Iterable[Effect], most: int = 2, numbers: bool = True) -> list[str]:
    """What a positive degree does, e.g. "turned right 1.8 sd, smile 0.4 sd"; a negative one does the opposite.

    Args:
        effects: of `measure_directions`.
        most: changes to name.
        numbers: False leaves the sizes out, for the label of a slider.
    """
    names = [describe_changes(effect.along, most) for effect in effects]
    return names if numbers else [re.sub(r" [\d.]+ sd", "", name) for name in names]
