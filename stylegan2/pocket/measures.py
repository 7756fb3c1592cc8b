"""How good are generated faces, and how much of a face survives a change of domain? Measured by the judge.

    reference = rendered_reference(judge, "photo", n=1000)
    print(measure_pocket_distance(judge, images, reference))       # value, floor, ceiling
    print(repeats(judge, images, reference))
    print(attribute_coverage(judge, images, reference))
    print(measure_landmark_error(judge, photos, cartoons, "photo", "webtoon"))

A number means little by itself, so each stands between two others, measured by the same judge on as many faces. The
*floor* is what perfect images would score (real against real, or the same attributes drawn in both domains), the
*ceiling* what unrelated ones score (another domain, or random pairs). Every function takes images (float [N, 3, H, W]
in [-1, 1] or uint8) or a `Reading` of them, so that several measures can share one look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stylegan2.metrics.measure import Measure
from stylegan2.pocket import world
from stylegan2.pocket.nets.judge import SIZE, Judge, Reading, correlation

Images = Tensor | Reading
REFERENCE_SEED = 900_000  # sequences of faces on which nothing was trained
CLEAR = 0.3  # an attribute can be followed when its best agreement is this far above chance
HALF_SD = 0.5  # two continuous attributes agree when they differ by less than this many sd


def read(judge: Judge, images: Images) -> Reading:
    """Read images, unless they were read already."""
    return images if isinstance(images, Reading) else judge.read(images)


# -------------------------------------------------------------------------------------------------- pocket distance
@dataclass(frozen=True)
class FeatureStatistics:
    """Mean [F] and covariance [F, F] of the judge's features over n images, in double precision."""

    mean: Tensor
    covariance: Tensor
    n: int


def feature_statistics(judge: Judge, images: Images) -> FeatureStatistics:
    """What the pocket distance keeps of an image set; compute once for a set that is compared often.

    Raises:
        ValueError: for fewer than two images.
    """
    features = read(judge, images).features.double()
    if len(features) < 2:
        raise ValueError(f"a covariance needs at least 2 images, got {len(features)}")
    return FeatureStatistics(features.mean(0), torch.cov(features.T), len(features))


def _sqrt(matrix: Tensor) -> Tensor:
    """Square root of a symmetric positive semi-definite matrix; rounding below zero counts as zero."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp_min(0).sqrt()) @ vectors.T


def frechet_distance(a: FeatureStatistics, b: FeatureStatistics) -> float:
    """|m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^1/2), the distance of two Gaussians (arXiv 1706.08500, eq. 6).

    The trace of the root comes from the symmetric C_a^1/2 C_b C_a^1/2, which has the same eigenvalues as C_a C_b: no
    complex numbers, and singular covariances (fewer images than features) do no harm.
    """
    root = _sqrt(a.covariance)
    cross = torch.linalg.eigvalsh(root @ b.covariance @ root).clamp_min(0).sqrt().sum()
    spread = a.covariance.trace() + b.covariance.trace() - 2 * cross
    return max(0.0, float((a.mean - b.mean).square().sum() + spread))


def pocket_distance(judge: Judge, a: Images | FeatureStatistics, b: Images | FeatureStatistics) -> float:
    """Fréchet distance of two image sets on the judge's features. Not FID: other features, another scale.

    It falls with the number of images, so compare only distances over as many images. 100 is the total variance of
    rendered faces of all domains.
    """
    a, b = (s if isinstance(s, FeatureStatistics) else feature_statistics(judge, s) for s in (a, b))
    return frechet_distance(a, b)


@dataclass(frozen=True)
class Reference:
    """Rendered faces to measure against, already read: two disjoint sets of a domain, and one of another domain."""

    domain: str
    first: Reading
    second: Reading
    other_domain: str
    other: Reading

    def __len__(self) -> int:
        return len(self.first)


def rendered_reference(judge: Judge, domain: str, n: int = 1000, other_domain: str | None = None) -> Reference:
    """Render and read 3n faces. `other_domain` (default: webtoon, for webtoon photo) gives the ceiling.

    Raises:
        ValueError: for an unknown domain.
    """
    other_domain = other_domain or ("photo" if domain == "webtoon" else "webtoon")
    drawn = [(domain, 0), (domain, n), (other_domain, 2 * n)]
    first, second, other = (
        judge.read(world.render(world.sample(d, n, seed=REFERENCE_SEED, start=start), d, SIZE)) for d, start in drawn
    )
    return Reference(domain, first, second, other_domain, other)


def _reference(judge: Judge, domain: str | Reference, n: int) -> Reference:
    return domain if isinstance(domain, Reference) else rendered_reference(judge, domain, n)


def _same_count(reading: Reading, reference: Reference) -> None:
    if len(reading) != len(reference):
        raise ValueError(
            f"{len(reading)} images against {len(reference)} rendered ones: this measure depends on the number, so "
            f"give as many (rendered_reference(judge, {reference.domain!r}, n={len(reading)}))"
        )


def measure_pocket_distance(judge: Judge, images: Images, domain: str | Reference) -> Measure:
    """Pocket distance of images to a rendered domain, between real against real and another domain.

    Args:
        domain: its name, or a `Reference` of as many faces (renders nothing).

    Raises:
        ValueError: for an unknown domain or a reference of another number of faces.
    """
    reading = read(judge, images)
    reference = _reference(judge, domain, len(reading))
    _same_count(reading, reference)
    real = feature_statistics(judge, reference.first)
    value, floor, ceiling = (pocket_distance(judge, s, real) for s in (reading, reference.second, reference.other))
    kinds = f"{reference.domain} against {reference.domain}", f"{reference.other_domain} against {reference.domain}"
    return Measure(f"pocket distance to {reference.domain}", value, floor, ceiling, *kinds, len(reading))


# ------------------------------------------------------------------------------------------- structure: source, target
def _pair(judge: Judge, source: Images, target: Images) -> tuple[Reading, Reading]:
    if len(source) != len(target):
        raise ValueError(f"source and target must be pairs: got {len(source)} and {len(target)} images")
    return read(judge, source), read(judge, target)


def landmark_error(judge: Judge, source: Images, target: Images) -> Tensor:
    """How far the landmarks of each pair lie apart, [N]: mean distance, in units of the source's eye distance.

    Raises:
        ValueError: for sets of different size.
    """
    source, target = _pair(judge, source, target)
    apart = (source.landmarks - target.landmarks).norm(dim=2).mean(1)
    return apart / source.interocular().clamp_min(1e-3)


def same_faces(judge: Judge, source_domain: str, target_domain: str, n: int) -> tuple[Reading, Reading]:
    """n faces by the source domain's statistics, rendered in both domains and read: what keeping all looks like."""
    faces = world.sample(source_domain, n, seed=REFERENCE_SEED)
    first, second = (judge.read(world.render(faces, domain, SIZE)) for domain in (source_domain, target_domain))
    return first, second


def shuffled(reading: Reading) -> Reading:
    """The same readings, none at its own place (turned on by half): random pairs."""
    half = max(1, len(reading) // 2)
    return Reading(*(value.roll(half, 0) for value in vars(reading).values()))


def measure_landmark_error(
    judge: Judge, source: Images, target: Images, source_domain: str, target_domain: str
) -> Measure:
    """Mean landmark error of pairs, between the same attributes drawn in both domains and random pairs.

    The floor is not 0: a storybook head is rounder than a photo's. That much has to change.
    """
    source, target = _pair(judge, source, target)
    value, ceiling = (landmark_error(judge, source, t).mean() for t in (target, shuffled(target)))
    floor = landmark_error(judge, *same_faces(judge, source_domain, target_domain, len(source))).mean()
    kinds = f"same attributes drawn as {source_domain} and {target_domain}", "random pairs"
    return Measure("landmark error", float(value), float(floor), float(ceiling), *kinds, len(source))


def _columns() -> dict[str, list[int]]:
    """Attribute -> its columns in a reading: one, three of a colour, or one for each choice."""
    columns: dict[str, list[int]] = {}
    for attribute in world.ATTRIBUTES:
        names = [attribute.name, *(f"{attribute.name}_{channel}" for channel in "rgb")]
        names += [f"{attribute.name}: {choice}" for choice in attribute.choices]
        found = [world.VECTOR_NAMES.index(name) for name in names if name in world.VECTOR_NAMES]
        if found:
            columns[attribute.name] = found
    return columns


COLUMNS = _columns()
DECIDED = [a.name for a in world.ATTRIBUTES if a.kind in ("binary", "categorical")]  # yes or no, or one of several


def _decisions(reading: Reading, name: str) -> Tensor:
    """The choice [N] for a flag (0 or 1) or a categorical attribute (its index)."""
    predicted = reading.attributes[:, COLUMNS[name]]
    return (predicted[:, 0] > 0.5).long() if predicted.shape[1] == 1 else predicted.argmax(1)


def attribute_agreement(judge: Judge, source: Images, target: Images) -> dict[str, float]:
    """How well each attribute of the source is found in the target.

    Returns:
        {attribute: correlation} (colours: mean of three) and, for flags and choices, {attribute: share of equal
        readings}.
    """
    source, target = _pair(judge, source, target)
    return {name: _agreement(source, target, name) for name in COLUMNS}


def _agreement(source: Reading, target: Reading, name: str) -> float:
    if name in DECIDED:
        return float((_decisions(source, name) == _decisions(target, name)).float().mean())
    pairs = [(source.attributes[:, c], target.attributes[:, c]) for c in COLUMNS[name]]
    return sum(float(correlation(a, b)) for a, b in pairs) / len(pairs)


def attributes_within(judge: Judge, source: Images, target: Images) -> dict[str, float]:
    """Share of pairs whose readings differ by less than half an sd of the source, per continuous or colour attribute.

    Unlike the correlation it also falls when everybody smiles a little more than before.
    """
    source, target = _pair(judge, source, target)
    apart = (source.attributes - target.attributes).abs() / source.attributes.std(0).clamp_min(1e-3)
    close = (apart < HALF_SD).float().mean(0)  # [A]
    return {name: float(close[columns].mean()) for name, columns in COLUMNS.items() if name not in DECIDED}


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
    judge: Judge, source: Images, target: Images, source_domain: str, target_domain: str, names: Sequence[str] = ()
) -> Agreement:
    """`attribute_agreement` with its best and chance; `names` (default: all) in the order to show.

    Raises:
        ValueError: for an unknown attribute or sets of different size.
    """
    unknown = [name for name in names if name not in COLUMNS]
    if unknown:
        raise ValueError(f"unknown attributes {unknown}: expected some of {', '.join(COLUMNS)}")
    source, target = _pair(judge, source, target)
    pairs = [(source, target), same_faces(judge, source_domain, target_domain, len(source)), (source, shuffled(target))]
    found = [attribute_agreement(judge, *pair) for pair in pairs]
    return Agreement(*({name: f[name] for name in names or COLUMNS} for f in found), faces=len(source))


# ------------------------------------------------------------------------------------------ variety: repeats, coverage
def nearest_distances(features: Tensor) -> tuple[Tensor, Tensor]:
    """Distance to the nearest other face [N], and which one it is [N], from features [N, F]."""
    apart = torch.cdist(features, features)
    apart.fill_diagonal_(float("inf"))
    nearest = apart.min(dim=1)
    return nearest.values, nearest.indices


@dataclass(frozen=True)
class Repeats:
    """How often generated faces repeat each other.

    Attributes:
        share: of generated faces that have a nearer twin than 95 % of rendered faces have (the floor is about 0.05).
        floor: the same of other rendered faces.
        spacing: median distance to the nearest other face, relative to rendered faces (1: as varied).
        twins: [M, 2], the closest pairs, closest first: to be looked at.
    """

    share: float
    floor: float
    spacing: float
    twins: Tensor
    faces: int

    def __str__(self) -> str:
        return (
            f"repeats {self.share:.1%}  (floor {self.floor:.1%}: rendered faces; nearest faces lie "
            f"{self.spacing:.2f} times as far apart as rendered ones; {self.faces:,} faces)"
        )


def repeats(judge: Judge, images: Images, domain: str | Reference = "photo", quantile: float = 0.05) -> Repeats:
    """Share of faces whose nearest other face is nearer than all but `quantile` of as many rendered faces have one.

    Raises:
        ValueError: as `measure_pocket_distance`.
    """
    reading = read(judge, images)
    reference = _reference(judge, domain, len(reading))
    _same_count(reading, reference)
    rendered, control = (nearest_distances(r.features)[0] for r in (reference.first, reference.second))
    near, which = nearest_distances(reading.features)
    limit = rendered.quantile(quantile)
    order = near.argsort()[:16]
    twins = torch.stack([order, which[order]], dim=1)
    twins = twins.sort(dim=1).values.unique(dim=0)
    twins = twins[(reading.features[twins[:, 0]] - reading.features[twins[:, 1]]).norm(dim=1).argsort()]
    spacing = float(near.median() / rendered.median())
    shares = (float((d < limit).float().mean()) for d in (near, control))
    return Repeats(*shares, spacing, twins, len(reading))


@dataclass(frozen=True)
class Coverage:
    """Attributes of generated faces beside those of rendered ones, all read by the judge.

    Attributes:
        spread: {continuous attribute: (mean, sd, rendered mean, rendered sd)} in units of `Faces.vector()`.
        rate: {flag, or "attribute: choice": (share, rendered share)}.
    """

    spread: Mapping[str, tuple[float, float, float, float]]
    rate: Mapping[str, tuple[float, float]]
    faces: int

    def missing(self, least: float = 0.35, common: float = 0.03) -> list[str]:
        """What hardly occurs: sd, or rate of what more than `common` have, under `least` of the rendered."""
        flat = [name for name, (_, sd, _, real) in self.spread.items() if sd < least * real]
        return flat + [name for name, (rate, real) in self.rate.items() if real > common and rate < least * real]

    def __str__(self) -> str:
        lines = [f"{'attribute':26}{'mean':>8}{'sd':>8}   rendered:{'mean':>8}{'sd':>8}   ({self.faces:,} faces)"]
        lines += [f"{k:26}{m:8.2f}{s:8.2f}{'':12}{rm:8.2f}{rs:8.2f}" for k, (m, s, rm, rs) in self.spread.items()]
        lines += [f"{k:26}{rate:8.1%}{'':20}{real:8.1%}" for k, (rate, real) in self.rate.items()]
        return "\n".join([*lines, f"hardly there: {', '.join(self.missing()) or 'nothing'}"])


def attribute_coverage(judge: Judge, images: Images, domain: str | Reference) -> Coverage:
    """Are all attributes there, and as varied as in the domain? `domain`: a name, or a `Reference` of any size."""
    reading = read(judge, images)
    real = _reference(judge, domain, len(reading)).first
    spread, rate = {}, {}
    for c, name in enumerate(world.VECTOR_NAMES):
        predicted, true = reading.attributes[:, c], real.attributes[:, c]
        if name.split(": ")[0] not in DECIDED:
            spread[name] = (float(predicted.mean()), float(predicted.std()), float(true.mean()), float(true.std()))
        elif ": " not in name:
            rate[name] = tuple(float((t > 0.5).float().mean()) for t in (predicted, true))
        else:
            attribute, choice = name.split(": ")
            index = next(a for a in world.ATTRIBUTES if a.name == attribute).choices.index(choice)
            rate[name] = tuple(float((_decisions(r, attribute) == index).float().mean()) for r in (reading, real))
    return Coverage(spread, rate, len(reading))


def report_model(judge: Judge, images: Images, domain: str) -> dict:
    """Everything about one model's images in numbers, ready for JSON: distance, repeats, what is hardly there."""
    reading = read(judge, images)
    reference = rendered_reference(judge, domain, len(reading))
    distance, repeated = measure_pocket_distance(judge, reading, reference), repeats(judge, reading, reference)
    coverage = attribute_coverage(judge, reading, reference)
    return {
        "pocket_distance": {k: getattr(distance, k) for k in ("value", "floor", "ceiling", "floor_is", "ceiling_is")},
        "repeats": {k: getattr(repeated, k) for k in ("share", "floor", "spacing")},
        "hardly_there": coverage.missing(),
        "rates": {name: {"generated": a, "rendered": b} for name, (a, b) in coverage.rate.items()},
        "faces": len(reading),
    }
