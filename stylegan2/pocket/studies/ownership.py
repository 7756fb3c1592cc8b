"""Which layers own which part of a face? Codes are exchanged layer by layer, and the judge reads what that changes.

The first face of each pair gets the second one's codes in some layers. An attribute's share of the way to the second
face, over pairs and columns in sd, where `whole` is what an exchange of *all* layers changes, is 0 to 1:

    taken = sum(change * whole) / sum(whole^2)      score = mean taken over FACE - mean taken over STAYS
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor

from stylegan2.bars import bar
from stylegan2.editing.latents import render, ws_from_seeds
from stylegan2.editing.layers import parse_layers
from stylegan2.editing.style_mixing import Layers, layer_label, layers_name, mix
from stylegan2.networks import Generator
from stylegan2.pocket import world
from stylegan2.pocket.measures import COLUMNS
from stylegan2.pocket.nets.judge import EYES, Judge, Reading
from stylegan2.pocket.studies.changes import LEAST_SD

GROUPS: dict[str, tuple[str, ...]] = {  # without attributes that the judge reads badly (`changes.UNSEEN`)
    "pose": ("yaw", "pitch", "roll"),
    "outline": ("face_width", "face_height", "outline"),
    "eyes": ("eye_size", "eye_spacing", "eye_tilt", "gaze", "brow_height", "brow_angle"),
    "nose": ("nose_size",),
    "mouth": ("smile", "mouth_open", "mouth_width", "lips"),
    "hair": ("hair_style", "hair_volume", "fringe", "parting"),
    "extras": ("glasses", "beard", "earrings", "freckles"),
    "colours": ("skin", "skin_warmth", "hair_colour", "eye_colour", "blush", "light"),
    "surroundings": ("background", "background2", "clothes_colour", "collar"),
}
FACE, STAYS = ("eyes", "nose", "mouth"), ("outline", "hair", "colours")
OUTLINE = [world.LANDMARKS.index(name) for name in ("chin", "hair_line", "face_left", "face_right")]
WIDTH = len(world.VECTOR_NAMES)
LEAST = torch.tensor([LEAST_SD] * WIDTH + [0.025] * 2 * len(OUTLINE))  # sd; of landmarks: the judge's own error
ALL_COLUMNS = COLUMNS | {"outline": list(range(WIDTH, WIDTH + 2 * len(OUTLINE)))}


@dataclass(frozen=True)
class Owned:
    """What one set of layers takes: {group: mean share of its attributes} and {attribute: share}.

    arXiv 2106.12445 (its README) reports layers that exchange eyes, nose and mouth only, while hair, shape of the face
    and colours stay: `score` says how near these come to that, from -1 to 1.
    """

    layers: tuple[int, ...]
    taken: dict[str, float]
    attributes: dict[str, float]

    @property
    def score(self) -> float:
        """Taken of FACE - taken of STAYS."""
        return fmean([self.taken[name] for name in FACE]) - fmean([self.taken[name] for name in STAYS])

    def __str__(self) -> str:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in self.taken.items())
        return f"layers {layers_name(self.layers, 1 + max(self.layers))}: score {self.score:+.2f}; taken: {shares}"


@dataclass(frozen=True)
class Ownership:
    """The study's result: one entry per set of layers in the order asked for, of so many pairs of faces at psi."""

    sets: tuple[Owned, ...]
    num_ws: int
    pairs: int
    truncation: float

    def face_layers(self) -> Owned:
        """The set with the greatest score, the smaller of two. Chosen from many, its score is too good: measure it
        again on other seeds (`first_seed`)."""
        return max(self.sets, key=lambda owned: (round(owned.score, 3), -len(owned.layers)))

    def __str__(self) -> str:
        return "\n".join([f"{self.pairs} pairs of faces, psi {self.truncation:g}", *map(str, self.sets)])

    def figure(self):
        """A matplotlib figure: sets of layers x groups, each share as colour and in %."""
        rows = {self._label(owned.layers): list(owned.taken.values()) for owned in self.sets}
        return heat_map(rows, list(GROUPS), "taken: % of the way to the other face")

    def _label(self, layers: tuple[int, ...]) -> str:
        return layer_label(*layers, self.num_ws) if len(layers) == 1 else layers_name(layers, self.num_ws)


def layer_ranges(num_ws: int) -> list[tuple[int, ...]]:
    """All contiguous ranges of layers, the single ones too: L (L + 1) / 2."""
    return [tuple(range(low, high)) for low in range(num_ws) for high in range(low + 1, num_ws + 1)]


@torch.no_grad()
def measure_ownership(
    g: Generator,
    judge: Judge,
    sets: Sequence[Layers] | None = None,
    pairs: int = 200,
    truncation: float = 0.7,
    first_seed: int = 0,
    channels: Sequence[int] | None = None,
) -> Ownership:
    """Exchange codes between pairs of faces, one set of layers after the other, and read what that changes.

    sets: layers each, as in `parse_layers`; None: every layer by itself. pairs: of seeds, at least 2: first_seed + i is
    mixed with first_seed + pairs + i. channels: exchange only these components of the codes, as in `mix`; None: all.
    Raises ValueError for fewer pairs, or layers or channels that the model does not have.
    """
    if pairs < 2:
        raise ValueError(f"pairs is {pairs}, expected at least 2")
    sets = [(i,) for i in range(g.num_ws)] if sets is None else [parse_layers(s, g.num_ws) for s in sets]
    ws = ws_from_seeds(g, range(first_seed, first_seed + 2 * pairs), truncation)
    first, second = ws[:pairs], ws[pairs:]
    before, after = (_values(judge.read(render(g, codes))) for codes in (first, second))
    sd = torch.cat([before, after]).std(0).maximum(LEAST)
    whole = (after - before) / sd
    owned = []
    for layers in bar(sets, "layers", "set"):
        mixed = _values(judge.read(render(g, mix(first, second, layers, channels))))
        owned.append(_owned(layers, (mixed - before) / sd, whole))
    return Ownership(tuple(owned), g.num_ws, pairs, truncation)


def _values(reading: Reading) -> Tensor:
    """Attributes, then the outline's landmarks relative to the middle of the eyes, in eye distances: [N, A + 8]."""
    points, between = reading.landmarks, reading.landmarks[:, list(EYES)].mean(1, keepdim=True)
    outline = (points[:, OUTLINE] - between) / reading.interocular().clamp_min(1e-3)[:, None, None]
    return torch.cat([reading.attributes, outline.flatten(1)], dim=1)


def _owned(layers: tuple[int, ...], change: Tensor, whole: Tensor) -> Owned:
    """change, whole: [N, A + 8] in sd."""
    names = [name for group in GROUPS.values() for name in group]
    shares = {name: _share(change[:, ALL_COLUMNS[name]], whole[:, ALL_COLUMNS[name]]) for name in names}
    taken = {group: fmean([shares[name] for name in members]) for group, members in GROUPS.items()}
    return Owned(layers, taken, shares)


def _share(change: Tensor, whole: Tensor) -> float:
    """Taken of one attribute from its columns [N, K]; 0 where even all layers change nothing."""
    return float((change * whole).sum() / whole.square().sum().clamp_min(1e-12))


def heat_map(rows: Mapping[str, Sequence[float]], columns: Sequence[str], title: str = "", ylabel: str = "layers"):
    """Shares from 0 to 1 as shades, with their numbers in %: {row: one share per column}. A matplotlib figure."""
    import matplotlib.pyplot as plt
    from matplotlib.colors import LinearSegmentedColormap

    shades = LinearSegmentedColormap.from_list("shares", ["#f6f5fb", "#b9a9ff", "#7a5cff", "#3b1fa8"])
    size = (1.4 + 0.86 * len(columns), 0.9 + 0.36 * len(rows))
    figure, axis = plt.subplots(figsize=size, layout="constrained")
    axis.imshow(list(rows.values()), cmap=shades, vmin=0, vmax=1, aspect="auto")
    for y, shares in enumerate(rows.values()):
        for x, share in enumerate(shares):
            colour = "white" if share > 0.45 else "#28282f" if share >= 0.1 else "#a4a4ae"
            axis.text(x, y, str(round(100 * share)), ha="center", va="center", size=9, color=colour)
    axis.set_xticks(range(len(columns)), columns)
    axis.set_yticks(range(len(rows)), list(rows))
    axis.set_xticks([x - 0.5 for x in range(1, len(columns))], minor=True)
    axis.set_yticks([y - 0.5 for y in range(1, len(rows))], minor=True)
    axis.grid(which="minor", color="white", linewidth=2)
    axis.tick_params(which="both", length=0)
    axis.xaxis.tick_top()
    axis.set_xlabel(title)
    axis.set_ylabel(ylabel)
    axis.spines[:].set_visible(False)
    plt.close(figure)
    return figure
