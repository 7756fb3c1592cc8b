"""How good are generated faces, and how much of a face survives a change of domain? Measured by the judge.

    reading, reference = judge.read(images), rendered_reference(judge, "photo", n=1000)
    print(measure_pocket_distance(reading, reference))       # value, floor, ceiling

Each number stands between two others, measured by the same judge on as many faces. The *floor* is what perfect images
would score (real against real, or the same attributes rendered in both domains), the *ceiling* what unrelated ones
score (another domain, or random pairs).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from stylegan2.metrics.measure import Measure
from stylegan2.pocket import world
from stylegan2.pocket.nets.judge import DECIDED, Judge, Reading, correlation, decisions
from stylegan2.pocket.world.faces import COLUMNS

REFERENCE_SEED = 900_000  # sequences of faces on which nothing was trained
CLEAR = 0.3  # an attribute can be followed when its best agreement is this far above chance


# ---------------------------------------------------------------------------------------------------- pocket distance
def _sqrt(matrix: Tensor) -> Tensor:
    """Square root of a symmetric positive semi-definite matrix; rounding below zero counts as zero."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp_min(0).sqrt()) @ vectors.T


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """|m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^1/2) of features [N, F] and [M, F] (arXiv 1706.08500, eq. 6).

    The root's trace is that of (C_a^1/2 C_b C_a^1/2)^1/2, which is symmetric, so singular covariances do no harm.
    Raises ValueError for fewer than two images.
    """
    if min(len(a), len(b)) < 2:
        raise ValueError(f"a covariance needs at least 2 images, got {len(a)} and {len(b)}")
    a, b = a.double(), b.double()
    c_a, c_b = torch.cov(a.T), torch.cov(b.T)
    root = _sqrt(c_a)
    cross = torch.linalg.eigvalsh(root @ c_b @ root).clamp_min(0).sqrt().sum()
    spread = c_a.trace() + c_b.trace() - 2 * cross
    return max(0.0, float((a.mean(0) - b.mean(0)).square().sum() + spread))


def pocket_distance(a: Reading, b: Reading) -> float:
    """Fréchet distance of two image sets on the judge's features. Not FID: other features, another scale.

    It falls with the number of images: compare only equally many. 100 is the total variance over all domains.
    """
    return frechet_distance(a.features, b.features)


@dataclass(frozen=True)
class Reference:
    """Rendered faces to measure against, already read: two disjoint sets of a domain, and one of another domain."""

    domain: str
    first: Reading
    second: Reading
    other_domain: str
    other: Reading


def rendered_reference(judge: Judge, domain: str, n: int = 1000) -> Reference:
    """Render and read 3n faces; the other domain is webtoon, for webtoon photo. Raises ValueError: unknown domain."""
    other_domain = "photo" if domain == "webtoon" else "webtoon"
    first, second, other = (
        judge.read(world.render(world.sample(d, n, seed=REFERENCE_SEED, start=start), d))
        for d, start in ((domain, 0), (domain, n), (other_domain, 2 * n))
    )
    return Reference(domain, first, second, other_domain, other)


def _same_count(reading: Reading, reference: Reference) -> None:
    n, expected = len(reading), len(reference.first)
    if n != expected:
        raise ValueError(
            f"{n} images against {expected} rendered ones: this measure depends on the number, so give as many "
            f"(rendered_reference(judge, {reference.domain!r}, n={n}))"
        )


def measure_pocket_distance(reading: Reading, reference: Reference) -> Measure:
    """Pocket distance of images to a rendered domain, between real against real and another domain.

    Raises ValueError for a reference of another number of faces.
    """
    _same_count(reading, reference)
    sets = reading, reference.second, reference.other
    value, floor, ceiling = (pocket_distance(each, reference.first) for each in sets)
    kinds = f"{reference.domain} against {reference.domain}", f"{reference.other_domain} against {reference.domain}"
    return Measure(f"pocket distance to {reference.domain}", value, floor, ceiling, *kinds, len(reading))


# ------------------------------------------------------------------------------------------- structure: source, target
def _check_pairs(source: Reading, target: Reading) -> None:
    if len(source) != len(target):
        raise ValueError(f"source and target must be pairs: got {len(source)} and {len(target)} images")


def landmark_error(source: Reading, target: Reading) -> Tensor:
    """Mean distance of the landmarks of each pair, [N], in the source's eye distances. Raises ValueError: no pairs."""
    _check_pairs(source, target)
    apart = (source.landmarks - target.landmarks).norm(dim=2).mean(1)
    return apart / source.interocular().clamp_min(1e-3)


def same_faces(
    judge: Judge, source_domain: str, target_domain: str, n: int, seed: int = REFERENCE_SEED
) -> tuple[Reading, Reading]:
    """n faces by the source domain's statistics, rendered in both domains and read: all attributes are kept."""
    faces = world.sample(source_domain, n, seed=seed)
    first, second = (judge.read(world.render(faces, domain)) for domain in (source_domain, target_domain))
    return first, second


def shuffled(reading: Reading) -> Reading:
    """The same readings, turned on by half: paired with the old ones, random pairs."""
    return reading.map(lambda part: part.roll(max(1, len(reading) // 2), 0))


def measure_landmark_error(
    judge: Judge, source: Reading, target: Reading, source_domain: str, target_domain: str
) -> Measure:
    """Mean landmark error of pairs, between the same attributes rendered in both domains and random pairs.

    The floor is not 0: a storybook head is rounder than a photo's. That much has to change.
    """
    value, ceiling = (landmark_error(source, t).mean() for t in (target, shuffled(target)))
    floor = landmark_error(*same_faces(judge, source_domain, target_domain, len(source))).mean()
    kinds = f"same attributes drawn as {source_domain} and {target_domain}", "random pairs"
    return Measure("landmark error", float(value), float(floor), float(ceiling), *kinds, len(source))


def attribute_agreement(source: Reading, target: Reading) -> dict[str, float]:
    """How well the target keeps each attribute: a correlation; for flags and choices the share of equal readings."""
    _check_pairs(source, target)
    a, b, kept = source.attributes, target.attributes, {}
    for name, columns in COLUMNS.items():
        if name in DECIDED:
            kept[name] = float((decisions(a, name) == decisions(b, name)).float().mean())
        else:
            kept[name] = sum(float(correlation(a[:, c], b[:, c])) for c in columns) / len(columns)
    return kept


@dataclass(frozen=True)
class Agreement:
    """Agreement by attribute between its best (same attributes in both domains) and chance (random pairs)."""

    value: Mapping[str, float]
    best: Mapping[str, float]
    chance: Mapping[str, float]
    faces: int

    def mean(self) -> float:
        """Share of what can be kept that is kept, mean over attributes that the judge can follow: 1 best, 0 chance."""
        room = {name: self.best[name] - self.chance[name] for name in self.value}
        kept = [(self.value[name] - self.chance[name]) / r for name, r in room.items() if r > CLEAR]
        return sum(kept) / max(1, len(kept))

    def __str__(self) -> str:
        head = f"{'attribute':18}{'value':>8}{'best':>8}{'chance':>8}   ({self.faces:,} pairs; choices: share equal)"
        lines = [f"{k:18}{self.value[k]:8.2f}{self.best[k]:8.2f}{self.chance[k]:8.2f}" for k in self.value]
        return "\n".join([head, *lines, f"{'kept of the clear':18}{self.mean():8.2f}"])


def measure_attribute_agreement(
    judge: Judge, source: Reading, target: Reading, source_domain: str, target_domain: str, names: Sequence[str] = ()
) -> Agreement:
    """`attribute_agreement` with its best and chance, of `names` (default: all). Raises ValueError: unknown names."""
    unknown = [name for name in names if name not in COLUMNS]
    if unknown:
        raise ValueError(f"unknown attributes {unknown}: expected some of {', '.join(COLUMNS)}")
    pairs = [(source, target), same_faces(judge, source_domain, target_domain, len(source)), (source, shuffled(target))]
    shares = [attribute_agreement(*pair) for pair in pairs]
    return Agreement(*({name: share[name] for name in names or COLUMNS} for share in shares), faces=len(source))


# ------------------------------------------------------------------------------------------ variety: repeats, coverage
def nearest_distances(features: Tensor) -> Tensor:
    """Distance of each face to the nearest other one, [N], from features [N, F]."""
    apart = torch.cdist(features, features)
    return apart.fill_diagonal_(float("inf")).min(dim=1).values


@dataclass(frozen=True)
class Repeats:
    """How often generated faces repeat each other.

    Attributes:
        share: of generated faces that have a nearer twin than 95 % of rendered faces have (the floor is about 0.05).
        floor: the same of other rendered faces.
        spacing: median distance to the nearest other face, relative to rendered faces (1: as varied).
    """

    share: float
    floor: float
    spacing: float
    faces: int

    def __str__(self) -> str:
        return (
            f"repeats {self.share:.1%}  (floor {self.floor:.1%}: rendered faces; nearest faces lie "
            f"{self.spacing:.2f} times as far apart as rendered ones; {self.faces:,} faces)"
        )


def repeats(reading: Reading, reference: Reference) -> Repeats:
    """How many faces have a twin, against as many rendered ones. Raises ValueError as `measure_pocket_distance`."""
    _same_count(reading, reference)
    near, rendered, control = (nearest_distances(r.features) for r in (reading, reference.first, reference.second))
    share, floor = (float((distance < rendered.quantile(0.05)).float().mean()) for distance in (near, control))
    return Repeats(share, floor, float(near.median() / rendered.median()), len(reading))


@dataclass(frozen=True)
class Coverage:
    """Attributes of generated faces beside those of rendered ones, all read by the judge.

    Attributes:
        sd: {continuous attribute: (sd, rendered sd)} in units of `Faces.vector()`.
        rate: {flag, or "attribute: choice": (share, rendered share)}.
    """

    sd: Mapping[str, tuple[float, float]]
    rate: Mapping[str, tuple[float, float]]
    faces: int

    def missing(self) -> list[str]:
        """What hardly occurs: sd, or rate of what more than 3 % have, under 0.35 of the rendered."""
        pairs = {**self.sd, **{name: pair for name, pair in self.rate.items() if pair[1] > 0.03}}
        return [name for name, (generated, rendered) in pairs.items() if generated < 0.35 * rendered]

    def __str__(self) -> str:
        lines = [f"{'attribute':26}{'sd':>8}{'rendered':>10}   ({self.faces:,} faces)"]
        lines += [f"{name:26}{ours:8.2f}{real:10.2f}" for name, (ours, real) in self.sd.items()]
        lines += [f"{name:26}{ours:8.1%}{real:10.1%}" for name, (ours, real) in self.rate.items()]
        return "\n".join([*lines, f"hardly there: {', '.join(self.missing()) or 'nothing'}"])


def attribute_coverage(reading: Reading, reference: Reference) -> Coverage:
    """Are all attributes present, and as varied as in the reference, which may be of any size?"""
    both, sd, rate = (reading.attributes, reference.first.attributes), {}, {}
    for c, name in enumerate(world.VECTOR_NAMES):
        attribute, _, choice = name.partition(": ")
        if attribute not in DECIDED:
            sd[name] = tuple(float(read[:, c].std()) for read in both)
        else:
            index = COLUMNS[attribute].index(c) if choice else 1
            rate[name] = tuple(float((decisions(read, attribute) == index).float().mean()) for read in both)
    return Coverage(sd, rate, len(reading))


def report_model(judge: Judge, reading: Reading, domain: str) -> dict:
    """One model's images in numbers, ready for JSON: distance, repeats, what is hardly there."""
    reference = rendered_reference(judge, domain, len(reading))
    coverage = attribute_coverage(reading, reference)
    return {
        "pocket_distance": asdict(measure_pocket_distance(reading, reference)),
        "repeats": asdict(repeats(reading, reference)),
        "hardly_there": coverage.missing(),
        "rates": {name: {"generated": a, "rendered": b} for name, (a, b) in coverage.rate.items()},
        "faces": len(reading),
    }
