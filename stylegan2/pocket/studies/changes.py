"""What did an edit do to faces? Read by the judge before and after it, attribute by attribute, in standard deviations.

sd = attribute_spread(judge.read(images_of_many_seeds))
changes = measure_changes(judge.read(before), judge.read(after), sd)
print(describe_changes(changes))             # "smile +1.4 sd, turned left 0.6 sd"
others_mean(changes, ["smile"])              # how far everything else moved
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from stylegan2.pocket import world
from stylegan2.pocket.measures import COLUMNS
from stylegan2.pocket.nets.judge import Reading

LEAST_SD = 0.1  # what hardly varies in a model's faces must not make every breath of it a great change
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
    """How one attribute changed over a set of faces, in sd.

    Attributes:
        mean: change of the faces' mean. Signed where the attribute is one number; of a colour, or of the probabilities
            of several choices, the root mean square over their columns.
        each: mean over the faces of a face's own change, without sign.
        words: what it looks like, e.g. "turned left", "darker hair", "hair: long".
    """

    mean: float
    each: float
    words: str


def attribute_spread(reading: Reading) -> Tensor:
    """Standard deviation of every column over a set of faces, [A], at least `LEAST_SD`: the unit of changes."""
    return reading.attributes.std(0).clamp_min(LEAST_SD)


def measure_changes(before: Reading, after: Reading, sd: Tensor) -> dict[str, Change]:
    """Every attribute's change between two readings of the same faces.

    Args:
        before, after: N faces each, in the same order.
        sd: [A], see `attribute_spread`. Take it from many faces of the source, so that all edits have one unit.

    Raises:
        ValueError: for readings of different numbers of faces.
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
    if name in ("hair_style", "beard", "collar"):
        choices = next(a.choices for a in world.ATTRIBUTES if a.name == name)
        return f"{thing}: {choices[int(mean.argmax())]}"
    grey, tint = mean.mean(), mean - mean.mean()
    if grey.abs() > tint.abs().max():
        return f"{'lighter' if grey > 0 else 'darker'} {thing}"
    return f"{('redder', 'greener', 'bluer')[int(tint.argmax())]} {thing}"


def describe_changes(changes: Mapping[str, Change], most: int = 3, least: float = 0.25) -> str:
    """The greatest changes of the mean in words, e.g. "turned left 1.9 sd, smile 0.5 sd"; "little" if there are none.

    Args:
        changes: of `measure_changes`.
        most: how many to name.
        least: smaller changes are not worth a word.
    """
    ranked = sorted(
        (c for name, c in changes.items() if name not in UNSEEN and abs(c.mean) >= least), key=lambda c: -abs(c.mean)
    )
    return ", ".join(f"{c.words} {abs(c.mean):.1f} sd" for c in ranked[:most]) or "little"


def others_mean(changes: Mapping[str, Change], meant: Collection[str], each: bool = False) -> float:
    """How far everything that was not meant moved: mean over the other attributes of |change of the mean|, in sd.

    Args:
        changes: of `measure_changes`.
        meant: attributes that the edit is about.
        each: of |a face's own change| instead, which also sees what goes up in one face and down in another (and the
            judge's own unrest).

    Raises:
        ValueError: for an attribute that there is not.
    """
    unknown = sorted(set(meant) - set(changes))
    if unknown:
        raise ValueError(f"unknown attributes {unknown}: expected some of {', '.join(changes)}")
    rest = [c.each if each else abs(c.mean) for name, c in changes.items() if name not in meant]
    return float(torch.tensor(rest).mean())
