"""What did an edit do to faces? Read by the judge before and after it, attribute by attribute, in standard deviations.

sd = attribute_spread(judge.read(images_of_many_seeds))
changes = measure_changes(judge.read(before), judge.read(after), sd)
describe_changes(changes)                                   # "smile 1.4 sd, turned left 0.6 sd"
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from stylegan2.bars import bar
from stylegan2.editing.directions import Directions, move
from stylegan2.editing.latents import render, ws_from_seeds
from stylegan2.networks import Generator
from stylegan2.pocket import world
from stylegan2.pocket.measures import COLUMNS
from stylegan2.pocket.nets.judge import GROUPS, Judge, Reading

LEAST_SD = 0.1  # else a tiny change of what hardly varies in a model's faces would count as large
UNSEEN = ("jaw", "brow_thickness", "hair_length", "eye_open")  # the judge reads these badly: correlation under 0.45

WORDS = {  # attribute of one column -> what less and what more of it looks like
    "yaw": ("turned left", "turned right"),
    "pitch": ("head raised", "head lowered"),
    "roll": ("tilted left", "tilted right"),
    "face_width": ("narrow face", "wide face"),
    "face_height": ("short face", "long face"),
    "jaw": ("pointed jaw", "square jaw"),
    "skin": ("darker skin", "paler skin"),
    "skin_warmth": ("rosier skin", "more golden skin"),
    "hair_length": ("shorter hair", "longer hair"),
    "hair_volume": ("flat hair", "full hair"),
    "fringe": ("free forehead", "fringe"),
    "parting": ("parted left", "parted right"),
    "eye_size": ("small eyes", "large eyes"),
    "eye_open": ("eyes half closed", "eyes wide open"),
    "eye_spacing": ("eyes close together", "eyes far apart"),
    "eye_tilt": ("eyes drooping", "eyes slanting up"),
    "gaze": ("looking left", "looking right"),
    "brow_height": ("low brows", "raised brows"),
    "brow_angle": ("worried brows", "stern brows"),
    "brow_thickness": ("thin brows", "thick brows"),
    "nose_size": ("small nose", "large nose"),
    "smile": ("frown", "smile"),
    "mouth_open": ("mouth closed", "mouth open"),
    "mouth_width": ("narrow mouth", "wide mouth"),
    "lips": ("thin pale lips", "full red lips"),
    "glasses": ("no glasses", "glasses"),
    "blush": ("no blush", "blush"),
    "freckles": ("no freckles", "freckles"),
    "earrings": ("no earrings", "earrings"),
    "light": ("light from the left", "light from the right"),
}


@dataclass(frozen=True)
class Change:
    """How one attribute changed over a set of faces, in sd."""

    mean: float  # of the faces' mean, signed; of a colour, or of several choices, the root mean square over columns
    each: float  # mean over the faces of a face's own change, without sign
    words: str  # such as "turned left", "darker hair", "hair: long"


def attribute_spread(reading: Reading) -> Tensor:
    """Standard deviation of every column over a set of faces, [A], at least `LEAST_SD`: the unit of changes."""
    return reading.attributes.std(0).clamp_min(LEAST_SD)


def measure_changes(before: Reading, after: Reading, sd: Tensor) -> dict[str, Change]:
    """Every attribute's change between two readings of the same faces in the same order; else ValueError.

    sd: [A], see `attribute_spread`. Take it from many faces of the source, so that all edits have one unit.
    """
    if len(before) != len(after):
        raise ValueError(f"expected the same faces before and after, got {len(before)} and {len(after)}")
    moved = (after.attributes - before.attributes) / sd  # [N, A]
    return {name: _change(name, moved[:, columns]) for name, columns in COLUMNS.items()}


def _change(name: str, moved: Tensor) -> Change:
    """moved: [N, K], the columns of one attribute."""
    each = float(moved.square().mean(1).sqrt().mean())
    mean = moved.mean(0)
    if len(mean) == 1:
        return Change(float(mean), each, WORDS[name][int(mean > 0)])
    return Change(float(mean.square().mean().sqrt()), each, _words(name, mean))


def _words(name: str, mean: Tensor) -> str:
    """Of a colour: lighter or darker, or the channel that rose against the others; of choices: the one that gained."""
    thing = name.replace("_colour", "").replace("_style", "").replace("2", " below")
    if name in GROUPS:
        choice = world.VECTOR_NAMES[GROUPS[name][int(mean.argmax())]].partition(": ")[2]
        return f"{thing}: {choice}"
    grey, tint = mean.mean(), mean - mean.mean()
    if grey.abs() > tint.abs().max():
        return f"{'lighter' if grey > 0 else 'darker'} {thing}"
    return f"{('redder', 'greener', 'bluer')[int(tint.argmax())]} {thing}"


def describe_changes(changes: Mapping[str, Change], most: int = 3, least: float = 0.25) -> str:
    """The `most` greatest changes of at least `least` sd, e.g. "turned left 1.9 sd, smile 0.5 sd"; else "little"."""
    seen = [change for name, change in changes.items() if name not in UNSEEN and abs(change.mean) >= least]
    ranked = sorted(seen, key=lambda change: -abs(change.mean))
    return ", ".join(f"{change.words} {abs(change.mean):.1f} sd" for change in ranked[:most]) or "little"


def others_mean(changes: Mapping[str, Change], meant: Collection[str], each: bool = False) -> float:
    """How far all but the `meant` attributes moved: mean of |change of the mean|, in sd.

    each: of a face's own change instead, which also sees what goes up in one face and down in another (and the judge's
    own errors). Raises ValueError for an unknown attribute.
    """
    unknown = sorted(set(meant) - set(changes))
    if unknown:
        raise ValueError(f"unknown attributes {unknown}: expected some of {', '.join(changes)}")
    rest = [c.each if each else abs(c.mean) for name, c in changes.items() if name not in meant]
    return float(torch.tensor(rest).mean())


@dataclass(frozen=True)
class Effect:
    """A direction's changes, attribute by attribute."""

    along: dict[str, Change]  # half of that from -degree to +degree: what both signs do (mostly damage) cancels out


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
    """Move many faces along every direction, both ways, and let the judge compare both ends. About 1.5 s per direction.

    degree: how far, to both sides; not above 0 is a ValueError. seeds, truncation: the faces. layers: see `move`.
    sd: [A], unit of the changes; None: `attribute_spread` of 200 faces of g at this truncation.
    """
    if not degree > 0:
        raise ValueError(f"degree is {degree}, expected a number above 0: both signs are measured")

    def read(ws: Tensor) -> Reading:
        return judge.read(render(g, ws, batch=32))

    if sd is None:
        sd = attribute_spread(read(ws_from_seeds(g, range(200), truncation)))
    ws, effects = ws_from_seeds(g, seeds, truncation), []
    for k in bar(range(len(directions)), "judge", "direction"):
        plus, minus = (read(move(ws, directions, {k: sign * degree}, layers)) for sign in (1, -1))
        across = measure_changes(minus, plus, sd)
        along = {name: replace(change, mean=change.mean / 2, each=change.each / 2) for name, change in across.items()}
        effects.append(Effect(along))
    return effects


def judge_names(effects: Iterable[Effect], most: int = 2, numbers: bool = True) -> list[str]:
    """Effects of a positive degree in words, "turned right 1.8 sd, smile 0.4 sd"; numbers=False: without sizes."""
    names = [describe_changes(effect.along, most) for effect in effects]
    return names if numbers else [re.sub(r" [\d.]+ sd", "", name) for name in names]
