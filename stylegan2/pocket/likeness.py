"""Is it still the same person? What a cartoon keeps of a photo, once the world's own change is taken out.

    ruler = LikenessRuler.make(judge, "photo", "webtoon")          # renders and reads people: half a minute
    print(ruler.measure(judge.read(photos), judge.read(cartoons)))  # structure, colours, who is it?

A webtoon has larger eyes and another chin, so a cartoon's reading differs from the photo's although nothing is lost.
`WorldMap` learns that difference from people rendered in both worlds, and says of a cartoon how the photo would read.
*Kept* is then the correlation over the faces with the photo's reading, relative to that of people rendered in both
worlds; *who is it?* asks how often the right photo is among the nearest. Intervals are over faces (bootstrap, 95 %).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from stylegan2.metrics.measure import Measure
from stylegan2.pocket.measures import COLUMNS, same_faces, shuffled
from stylegan2.pocket.nets.judge import Judge, Reading

PEOPLE, PEOPLE_SEED = 1000, 950_000  # that the map is fitted on: people that nothing else has seen
FOLDS = 5  # a fifth of them is held out in turn, and says which strength of the ridge is best
STRENGTHS = tuple(10.0**k for k in range(-1, 5))  # added to the eigenvalues of the standardised readings' X^T X
GALLERY = 100  # photos to choose from
RESAMPLES, INTERVAL = 1000, (0.025, 0.975)  # of the bootstrap

STRUCTURE = {
    "pose": ("yaw", "pitch", "roll"),
    "head": ("face_width", "face_height", "jaw"),
    "hair": ("hair_style", "hair_length", "hair_volume", "fringe", "parting"),
    "expression": ("smile", "mouth_open", "eye_open", "gaze", "brow_height", "brow_angle"),
}
COLOURS = {
    "skin": ("skin", "skin_warmth"),
    "hair colour": ("hair_colour",),
    "eye colour": ("eye_colour",),
    "clothes": ("clothes_colour",),
    "background": ("background", "background2"),
}
SCENE = ("background", "background2", "clothes_colour", "collar", "light")  # says nothing of who it is
PERSON = [column for name, columns in COLUMNS.items() if name not in SCENE for column in columns]


# ------------------------------------------------------------------------------------------------------------- the map
def _inputs(reading: Reading) -> Tensor:
    """All that the judge says of a cartoon, [N, I]: attributes, landmarks, features; in double precision."""
    return torch.cat([reading.attributes, reading.landmarks.flatten(1), reading.features], dim=1).double()


@dataclass(frozen=True)
class WorldMap:
    """How the photo of a cartoon's person would read: affine in the cartoon's reading.

    Attributes:
        start, weights: [A] and [I, A].
        strength: of the ridge.
        missed: [A, A], covariance of what the map misses of people that it was not fitted on.
    """

    start: Tensor
    weights: Tensor
    strength: float
    missed: Tensor

    def __call__(self, cartoon: Reading) -> Tensor:
        """-> [N, A], attributes of the photo, float64."""
        return self.start + _inputs(cartoon) @ self.weights


def fit_map(photo: Reading, cartoon: Reading) -> WorldMap:
    """Ridge regression on pairs of a person each; its strength is what misses least on held-out people, in FOLDS turns.

    Raises ValueError for fewer than FOLDS people, or readings that are no pairs.
    """
    n = len(photo)
    if n < FOLDS or len(cartoon) != n:
        raise ValueError(f"a map needs pairs of at least {FOLDS} people, got {n} and {len(cartoon)} readings")
    x, y, turn = _inputs(cartoon), photo.attributes.double(), torch.arange(n) % FOLDS
    missed = {strength: torch.empty_like(y) for strength in STRENGTHS}
    for k in range(FOLDS):
        for strength, (start, weights) in _ridge(x[turn != k], y[turn != k]).items():
            missed[strength][turn == k] = y[turn == k] - start - x[turn == k] @ weights
    unit = y.std(0).clamp_min(1e-6)  # every attribute counts alike
    strength = min(STRENGTHS, key=lambda s: float((missed[s] / unit).square().mean()))
    return WorldMap(*_ridge(x, y)[strength], strength, missed[strength].T @ missed[strength] / n)


def _ridge(x: Tensor, y: Tensor) -> dict[float, tuple[Tensor, Tensor]]:
    """{strength: start [A], weights [I, A]}, of x [N, I], whose columns are standardised first, and y [N, A]."""
    middle, scale = x.mean(0), x.std(0).clamp_min(1e-6)
    x = (x - middle) / scale
    values, vectors = torch.linalg.eigh(x.T @ x)
    aligned = vectors.T @ (x.T @ (y - y.mean(0)))
    solved = {}
    for strength in STRENGTHS:
        weights = (vectors @ (aligned / (values.clamp_min(0) + strength)[:, None])) / scale[:, None]
        solved[strength] = y.mean(0) - middle @ weights, weights
    return solved


# ----------------------------------------------------------------------------------------------------------- measuring
def resamples(n: int, times: int = RESAMPLES, seed: int = 0) -> Tensor:
    """How often each of n faces is taken, [1 + times, n]: once each, then n at random with replacement."""
    rng = torch.Generator().manual_seed(seed)
    taken = torch.randint(n, (times, n), generator=rng)
    counts = torch.zeros(times, n, dtype=torch.float64).scatter_add_(1, taken, torch.ones(times, n).double())
    return torch.cat([torch.ones(1, n, dtype=torch.float64), counts])


def correlations(a: Tensor, b: Tensor, counts: Tensor) -> Tensor:
    """Pearson's r of the columns of two [N, C], for each row of counts [B, N]: [B, C]; 0 for what does not vary."""
    a, b = (v.double() - v.double().mean(0) for v in (a, b))
    ma, mb, aa, bb, ab = (counts @ v / len(a) for v in (a, b, a * a, b * b, a * b))
    spread = ((aa - ma * ma).clamp_min(0) * (bb - mb * mb).clamp_min(0)).sqrt()
    return torch.where(spread > 1e-9, (ab - ma * mb) / spread.clamp_min(1e-9), 0)


def ranks(mapped: Tensor, photos: Tensor, missed: Tensor) -> Tensor:
    """How many of GALLERY - 1 other photos lie nearer to the cartoon than the right one, [N].

    Args:
        mapped, photos: [N, C], of cartoons after the map and of the photos; what all have in common is taken out.
        missed: [C, C], covariance of what the map misses of rendered people: the unit of distance (Mahalanobis's).

    The others are those that follow; of fewer photos all.
    """
    values, vectors = torch.linalg.eigh(missed.double())
    white = vectors / (values.clamp_min(0) + 0.01 * values.mean()).sqrt()  # choices add up to 1: some values are 0
    mapped, photos = ((v.double() - v.double().mean(0)) @ white for v in (mapped, photos))
    apart, n = torch.cdist(mapped, photos), len(photos)
    others = (torch.arange(n)[:, None] + torch.arange(1, min(GALLERY, n))) % n
    return (apart.gather(1, others) < apart.diagonal()[:, None]).sum(1)


@dataclass(frozen=True)
class Interval(Measure):
    """A measure with its 95 % confidence interval over faces."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{super().__str__()[:-1]}; 95 % of {self.low:.3g} to {self.high:.3g})"


MEASURES = ("structure_kept", "colours_kept", "who_top1", "who_top5")


@dataclass(frozen=True)
class Likeness:
    """What cartoons keep of their people.

    Attributes:
        structure_kept, colours_kept: means over their groups.
        who_top1, who_top5: shares of faces.
        kept_by_group: of each group of STRUCTURE and COLOURS.
    """

    structure_kept: Interval
    colours_kept: Interval
    who_top1: Interval
    who_top5: Interval
    kept_by_group: Mapping[str, float]

    def numbers(self) -> dict[str, dict[str, float]]:
        """{measure: {"value", "low", "high", "floor", "ceiling"}, "kept_by_group": {group: …}}, ready for JSON."""
        parts = ("value", "low", "high", "floor", "ceiling")
        measured = {name: getattr(self, name) for name in MEASURES}
        numbers = {name: {part: getattr(m, part) for part in parts} for name, m in measured.items()}
        return numbers | {"kept_by_group": dict(self.kept_by_group)}

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {kept:.2f}" for name, kept in self.kept_by_group.items())
        lines = [self.structure_kept, self.colours_kept, f"  kept of {parts}", self.who_top1, self.who_top5]
        return "\n".join(map(str, lines))


@dataclass(frozen=True)
class LikenessRuler:
    """A world's map, and people rendered in both worlds, as read: what is 1."""

    map: WorldMap
    source: Reading
    target: Reading

    @staticmethod
    def make(judge: Judge, source: str, target: str, n: int = PEOPLE) -> LikenessRuler:
        """Render and read n people for the map, and n others as the ruler. Raises ValueError for an unknown domain.

        With fewer than about 200 the map knows too little to say who it is: the ceiling of `who_top1` shows it.
        """
        people = same_faces(judge, source, target, max(n, FOLDS), PEOPLE_SEED)
        return LikenessRuler(fit_map(*people), *same_faces(judge, source, target, n))

    def measure(self, source: Reading, cartoon: Reading) -> Likeness:
        """Pairs of a photo and a cartoon. Raises ValueError for readings that are no pairs, or fewer than two."""
        if len(source) != len(cartoon) or len(source) < 2:
            raise ValueError(f"photos and cartoons must be pairs: got {len(source)} and {len(cartoon)}")
        counts, n, gallery = resamples(len(source)), len(source), min(GALLERY, len(source))
        kept, strangers = (self._kept(source, c, counts) for c in (cartoon, shuffled(cartoon)))
        rank, best = self._ranks(source, cartoon), self._ranks(self.source, self.target)

        def interval(name: str, values: Tensor, floor: float, floor_is: str, ceiling: float) -> Interval:
            """Of a value as measured, and as measured on resampled faces: [1 + B]."""
            low, high = values[1:].quantile(torch.tensor(INTERVAL, dtype=values.dtype)).tolist()
            ceiling_is = "the same people rendered in both worlds"
            return Interval(name, float(values[0]), floor, ceiling, floor_is, ceiling_is, n, low, high)

        measured = []
        for title, groups in (("structure kept", STRUCTURE), ("colours kept", COLOURS)):
            value, floor = (torch.stack([found[name] for name in groups]).mean(0) for found in (kept, strangers))
            measured.append(interval(title, value, float(floor[0]), "strangers", 1.0))
        for k in (1, 5):
            hits, ceiling = counts @ (rank < k).double() / n, float((best < k).double().mean())
            title = f"who is it, top {k} of {gallery}"
            measured.append(interval(title, hits, min(1.0, k / gallery), "by chance", ceiling))
        return Likeness(*measured, {name: float(value[0]) for name, value in kept.items()})

    def _kept(self, source: Reading, cartoon: Reading, counts: Tensor) -> dict[str, Tensor]:
        """{group: [B]}: summed correlations of its attributes, relative to those of people rendered in both worlds."""
        once = torch.ones(1, len(self.source), dtype=torch.float64)
        found = correlations(self.map(cartoon), source.attributes, counts)
        best = correlations(self.map(self.target), self.source.attributes, once)[0]
        shares = {}
        for group, names in (STRUCTURE | COLOURS).items():
            columns = [column for name in names for column in COLUMNS[name]]
            shares[group] = found[:, columns].sum(1) / best[columns].sum().clamp_min(1e-6)
        return shares

    def _ranks(self, source: Reading, cartoon: Reading) -> Tensor:
        return ranks(self.map(cartoon)[:, PERSON], source.attributes[:, PERSON], self.map.missed[PERSON][:, PERSON])
