"""The attributes of a pocket face, and how each domain samples them.

Every number comes from an integer hash of (VERSION, domain, seed, index, attribute), so a face does not depend on how
many others are sampled with it.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stylegan2.pocket.world import styles
from stylegan2.pocket.world.styles import COLLARS, Style, check_domain

VERSION = 2
Colour = tuple[float, float, float]
Value = float | str | Colour
Change = Value | Sequence[float] | Tensor
GLASSES = ("none", "round", "square", "oval")
BEARDS = ("none", "stubble", "moustache", "goatee", "full beard")
SPREADS = {"hair_colour": 0.16, "glasses_colour": 0.1}  # how much a sampled lightness varies; of other colours 0.15
DARK = {  # attribute -> stream, weights: colours that go with dark skin
    "hair_colour": ("dark hair", {"black": 5, "dark brown": 4, "brown": 1.5, "grey": 0.7}),
    "eye_colour": ("dark eyes", {"dark brown": 3, "brown": 2, "amber": 0.4}),
}


@dataclass(frozen=True)
class Attribute:
    """One attribute of a face: kind is continuous, binary, categorical or colour (RGB in 0..1)."""

    name: str
    meaning: str
    low: float = -1.0
    kind: str = "continuous"
    choices: tuple[str, ...] = ()

    @property
    def high(self) -> float:
        return max(1.0, len(self.choices) - 1)


ATTRIBUTES: tuple[Attribute, ...] = (
    Attribute("yaw", "head turned to the image's left (-1, about 32 degrees) .. right (1)"),
    Attribute("pitch", "head raised (-1) .. lowered (1), about 12 degrees"),
    Attribute("roll", "head tilted anticlockwise (-1, about 14 degrees) .. clockwise (1)"),
    Attribute("face_width", "narrow .. wide face"),
    Attribute("face_height", "short .. long face"),
    Attribute("jaw", "pointed .. square jaw"),
    Attribute("skin", "dark .. pale skin", 0.0),
    Attribute("skin_warmth", "rosy .. golden skin"),
    Attribute("hair_style", "cut of the hair", 0.0, "categorical", styles.HAIR_NAMES),
    Attribute("hair_length", "short .. long within its style", 0.0),
    Attribute("hair_volume", "flat .. full hair", 0.0),
    Attribute("fringe", "forehead free .. fringe down to the brows", 0.0),
    Attribute("parting", "hair parted at the image's left .. right"),
    Attribute("hair_colour", "colour of the hair", 0.0, "colour"),
    Attribute("eye_size", "small .. large eyes"),
    Attribute("eye_open", "half closed .. wide open eyes", 0.0),
    Attribute("eye_spacing", "close .. far apart eyes"),
    Attribute("eye_tilt", "outer corners of the eyes low .. high"),
    Attribute("gaze", "looking to the image's left .. right"),
    Attribute("eye_colour", "colour of the iris", 0.0, "colour"),
    Attribute("brow_height", "low .. raised brows"),
    Attribute("brow_angle", "worried (inner ends up) .. stern (inner ends down)"),
    Attribute("brow_thickness", "thin .. thick brows"),
    Attribute("nose_size", "small .. large nose"),
    Attribute("smile", "frown .. big smile"),
    Attribute("mouth_open", "closed .. wide open mouth", 0.0),
    Attribute("mouth_width", "narrow .. wide mouth"),
    Attribute("lips", "thin pale .. full red lips", 0.0),
    Attribute("glasses", "shape of the glasses", 0.0, "categorical", GLASSES),
    Attribute("glasses_colour", "colour of the frame", 0.0, "colour"),
    Attribute("beard", "facial hair", 0.0, "categorical", BEARDS),
    Attribute("blush", "plain .. rosy cheeks", 0.0),
    Attribute("freckles", "freckles on nose and cheeks", 0.0, "binary"),
    Attribute("earrings", "earrings", 0.0, "binary"),
    Attribute("background", "colour of the background, upper part", 0.0, "colour"),
    Attribute("background2", "colour of the background, lower part", 0.0, "colour"),
    Attribute("clothes_colour", "colour of the clothes", 0.0, "colour"),
    Attribute("collar", "collar of the clothes", 0.0, "categorical", COLLARS),
    Attribute("light", "light from the image's left .. right"),
    Attribute("texture", "phase of lights, grain and pattern behind the head; means nothing by itself", 0.0),
)
BY_NAME = {attribute.name: attribute for attribute in ATTRIBUTES}
_UNREGRESSED = ("texture", "glasses_colour")  # invisible or mostly invisible: nothing that the judge could read


def _targets(attribute: Attribute, value: Tensor) -> dict[str, Tensor]:
    """Regression targets [N] by name of an attribute's values."""
    name = attribute.name
    if name in _UNREGRESSED:
        return {}
    if attribute.kind == "colour":
        return {f"{name}_{channel}": (value[:, k] - 0.5) * 4.0 for k, channel in enumerate("rgb")}
    if name == "glasses":
        return {name: (value > 0).float()}
    if attribute.kind == "categorical":
        return {f"{name}: {choice}": (value == k).float() for k, choice in enumerate(attribute.choices)}
    if attribute.kind == "binary":
        return {name: value.float()}
    middle, half = (attribute.low + attribute.high) / 2, (attribute.high - attribute.low) / 2
    return {name: (value - middle) / half * 2.0}


VECTOR_NAMES = tuple(name for attribute in ATTRIBUTES for name in _targets(attribute, torch.zeros(1, 3)))
COLUMNS: dict[str, list[int]] = {}  # attribute -> its columns in a vector: one, three of a colour, or one per choice
for column, name in enumerate(VECTOR_NAMES):
    COLUMNS.setdefault(re.sub("_[rgb]$|: .*", "", name), []).append(column)
# categorical attribute -> its one-hot columns; glasses have a single one, whether there are any
GROUPS = {a.name: COLUMNS[a.name] for a in ATTRIBUTES if a.kind == "categorical" and len(COLUMNS[a.name]) > 1}


@dataclass(frozen=True, eq=False)
class Faces:
    """A batch of N faces: attribute name -> tensor [N] (long where categorical or binary) or [N, 3] (colours).

    Attributes read as fields (``faces.yaw``); slices, index lists and masks give Faces again.
    """

    values: dict[str, Tensor]

    def __getattr__(self, name: str) -> Tensor:
        if name in BY_NAME:
            return self.values[name]
        raise AttributeError(f"Faces has no attribute {name!r}: expected one of {', '.join(BY_NAME)}")

    def __len__(self) -> int:
        return len(self.values["yaw"])

    def __getitem__(self, item: int | slice | Sequence[int] | Tensor) -> Faces:
        if isinstance(item, int):
            item = [range(len(self))[item]]  # it stays a batch
        return Faces({name: value[item] for name, value in self.values.items()})

    @staticmethod
    def concatenate(parts: Sequence[Faces]) -> Faces:
        """Faces of several batches, in order."""
        return Faces({name: torch.cat([part.values[name] for part in parts]) for name in BY_NAME})

    def replace(self, **changes: Change) -> Faces:
        """Copy with attributes changed: a number, a choice's name, a colour, or a tensor over the batch.

        Numbers may be text; colours are names, "#rrggbb" or RGB in 0..1. Raises ValueError, which says what is allowed.
        """
        values = dict(self.values)
        for name, change in changes.items():
            if name not in BY_NAME:
                raise ValueError(f"unknown attribute {name!r}: expected one of {', '.join(BY_NAME)}")
            values[name] = _as_values(BY_NAME[name], change, values[name])
        return Faces(values)

    def mirror(self) -> Faces:
        """The same people seen in a mirror (left and right exchanged)."""
        return self.replace(**{name: -self.values[name] for name in ("yaw", "roll", "parting", "gaze", "light")})

    def words(self) -> dict[str, Value]:
        """The first face in plain values: numbers, names of choices, RGB in 0..1."""
        words = {name: tuple(v[0].tolist()) if v.ndim > 1 else float(v[0]) for name, v in self.values.items()}
        return words | {a.name: a.choices[int(words[a.name])] for a in ATTRIBUTES if a.choices}

    def vector(self) -> Tensor:
        """Regression targets [N, len(VECTOR_NAMES)], about zero mean and unit spread; flags and choices are 0 or 1."""
        targets = [_targets(attribute, self.values[attribute.name]) for attribute in ATTRIBUTES]
        return torch.stack([column for columns in targets for column in columns.values()], dim=1)  # [N, A]


def _as_values(attribute: Attribute, change: Change, old: Tensor) -> Tensor:
    try:
        new = torch.as_tensor(_numbers(attribute, change) if isinstance(change, str) else change, dtype=torch.float32)
        values = new.to(old.dtype).expand(old.shape).clone()
        inside = (new > attribute.low - 1e-6) & (new < attribute.high + 1e-6) & (new == new.to(old.dtype))
    except (TypeError, ValueError, RuntimeError):  # other words, other shapes
        inside = torch.tensor(False)
    if not inside.all():
        allowed = f"a number from {attribute.low:g} to {attribute.high:g}"
        if attribute.kind == "colour":
            allowed = f"{', '.join(styles.PALETTES[attribute.name])}, '#rrggbb', or three numbers from 0 to 1"
        allowed = f"one of {', '.join(attribute.choices)}" if attribute.choices else allowed
        raise ValueError(f"{attribute.name} cannot be {change!r}: expected {allowed}")
    return values


def _numbers(attribute: Attribute, text: str) -> float | Sequence[float]:
    """What a text stands for. Raises ValueError where it stands for nothing."""
    if attribute.choices:
        return attribute.choices.index(text)
    palette = styles.PALETTES.get(attribute.name, {})
    if text in palette:
        return palette[text]
    if re.fullmatch("#[0-9a-fA-F]{6}", text):
        return [byte / 255 for byte in bytes.fromhex(text[1:])]
    numbers = [float(number) for number in text.split(",")]
    if len(numbers) != (3 if palette else 1):
        raise ValueError(text)
    return numbers


def _hash(x: np.ndarray) -> np.ndarray:
    """splitmix64 finaliser: uint64 -> well mixed uint64 (Steele et al. 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _key(text: str, multiplier: int) -> np.uint64:
    return np.uint64(zlib.crc32(text.encode()) * multiplier % 2**64)


class _Sampler:
    """Random numbers of faces start..start+n-1 (tensors [n]), independent for every name."""

    def __init__(self, domain: str, n: int, seed: int, start: int) -> None:
        index = np.arange(start, start + n, dtype=np.uint64)
        self.base = _hash(index + _key(f"pocket {VERSION} {domain} {seed}", 0x9E3779B97F4A7C15))

    def uniform(self, name: str) -> Tensor:
        bits = _hash(self.base + _key(name, 0xD1B54A32D192ED03))
        return torch.from_numpy((bits >> np.uint64(11)).astype(np.float64) * 2.0**-53).float()  # [n] in [0, 1)

    def triangular(self, name: str) -> Tensor:
        """In -1..1, standard deviation 0.41 (the sum of two uniforms): the middle is likelier."""
        return self.uniform(name + "/1") + self.uniform(name + "/2") - 1.0

    def chance(self, name: str, p: float | Tensor) -> Tensor:
        """1 with probability ``p``, else 0."""
        return (self.uniform(name) < p).long()

    def choice(self, name: str, weights: Sequence[float]) -> Tensor:
        """Indices of the weights."""
        cumulative = torch.tensor(weights, dtype=torch.float32).cumsum(0)
        chosen = torch.searchsorted(cumulative, self.uniform(name) * cumulative[-1], right=True)
        return chosen.clamp_max(len(weights) - 1)

    def channels(self, name: str) -> Tensor:
        """Triangular numbers [n, 3]."""
        return torch.stack([self.triangular(f"{name}/{k}") for k in range(3)], dim=1)

    def colour(self, name: str, weighted: Sequence[tuple[Colour, float]], spread: float) -> Tensor:
        """One of the colours, its lightness varied by ``spread`` and every channel by a third of that: [n, 3]."""
        colours, weights = zip(*weighted, strict=True)
        base = torch.tensor(colours)[self.choice(name, weights)]
        light = 1.0 + spread * self.triangular(name + "/light")[:, None]
        return (base * light * (1.0 + self.channels(name) * (spread / 3))).clamp_(0.0, 1.0)


class _Quantiles(_Sampler):
    """The sampler whose numbers are quantiles of z [N, D]: each name takes a component of its own, in order of use."""

    def __init__(self, z: Tensor) -> None:
        z = z * torch.rsqrt(z.square().mean(dim=1, keepdim=True) + 1e-8)  # as the mapping network does
        self.left = iter((0.5 + 0.5 * torch.erf(z / math.sqrt(2))).clamp(0, 1 - 2**-24).unbind(1))

    def uniform(self, name: str) -> Tensor:
        return next(self.left)

    def triangular(self, name: str) -> Tensor:
        """From one component: the inverse of the cumulative distribution."""
        u = self.uniform(name)
        return torch.where(u < 0.5, (2 * u).sqrt() - 1, 1 - (2 * (1 - u)).sqrt())

    def colour(self, name: str, weighted: Sequence[tuple[Colour, float]], spread: float) -> Tensor:
        """As above, but from dark to light: neighbouring z have similar colours, which a mapping learns sooner."""
        return super().colour(name, sorted(weighted, key=lambda pair: sum(pair[0])), spread)


def sample(domain: str, n: int, seed: int = 0, start: int = 0) -> Faces:
    """Faces start..start+n-1 of a domain's endless sequence (seed chooses the sequence), independent of batching."""
    check_domain(domain)
    if n < 0 or start < 0:
        raise ValueError(f"n and start must not be negative, got n={n}, start={start}")
    return _sample(_Sampler(domain, n, seed, start), styles.STYLES[domain])


def from_z(z: Tensor, domain: str = "photo") -> Faces:
    """The face that belongs to each z [N, D], standard normal: all attributes are quantiles of z's components.

    Faces of random z have the domain's variety. Only the direction of z matters, as for a generator. Raises ValueError
    for an unknown domain or too few components.
    """
    style = check_domain(domain)
    try:
        return _sample(_Quantiles(z), style)
    except StopIteration:
        raise ValueError(f"a face takes more than {z.shape[1]} components of z: use 128") from None


def _sample(rng: _Sampler, style: Style) -> Faces:
    def colour(name: str, stream: str, weights: Sequence[float]) -> Tensor:
        weighted = list(zip(styles.PALETTES[name].values(), weights, strict=True))
        return rng.colour(stream, weighted, SPREADS.get(name, 0.15))

    continuous = [a for a in ATTRIBUTES if a.kind == "continuous"]
    v = {a.name: rng.triangular(a.name) if a.low < 0 else rng.uniform(a.name) for a in continuous}
    v["background"] = colour("background", "background", style.weights["background"])
    lighter = 1.0 + 0.28 * rng.triangular("background2")[:, None]
    for name in ("hair_colour", "eye_colour", "clothes_colour", "glasses_colour"):
        v[name] = colour(name, name, style.weights[name])
    v["background2"] = (v["background"] * lighter + rng.channels("background2") * 0.12).clamp_(0.0, 1.0)

    v["hair_style"] = hair = rng.choice("hair_style", style.weights["hair_style"])
    cropped = torch.tensor([name in ("shaved", "receding", "crop", "side part", "afro") for name in styles.HAIR_NAMES])
    bearded = rng.chance("has beard", torch.where(cropped[hair], 1.7 * style.beard, 0.12 * style.beard))
    v["collar"] = rng.choice("collar", style.weights["collar"])
    v["beard"] = rng.choice("beard", (0, 3, 2, 2.5, 4)) * bearded
    v["glasses"] = rng.choice("glasses", (0, 1, 1, 0.7)) * rng.chance("has glasses", style.glasses)
    v["freckles"] = rng.chance("freckles", style.freckles)
    v["earrings"] = rng.chance("earrings", torch.where(cropped[hair], 0.3 * style.earrings, style.earrings))

    mean, spread = style.smile
    opened = rng.chance("opens mouth", style.open_mouth)
    side = rng.uniform("parting side").sub(0.5).sign()
    v["yaw"] = (v["yaw"] * 2 * style.yaw_spread).clamp_(-1, 1)
    v["pitch"] = v["pitch"] * 0.8
    v["roll"] = v["roll"] * 0.7
    v["light"] = (v["light"] * 1.4).clamp_(-1, 1)
    v["skin"] = v["skin"] ** style.skin_power
    v["gaze"] = v["gaze"] * 0.6
    v["parting"] = side * (0.25 + 0.75 * rng.uniform("parting"))
    v["smile"] = (mean + 2 * spread * v["smile"]).clamp_(-1, 1)
    v["mouth_open"] = opened * (0.35 + 0.65 * v["mouth_open"])
    v["eye_open"] = 0.35 + 0.65 * v["eye_open"].sqrt()
    v["fringe"] = (1.6 * v["fringe"] - 0.6).clamp_min_(0.0)
    v["blush"] = v["blush"] ** 2

    if style.natural:  # most people with dark skin have dark hair and eyes: sample anew four of five of their colours
        for name, (stream, weights) in DARK.items():
            other = colour(name, stream, [weights.get(key, 0) for key in styles.PALETTES[name]])
            again = (v["skin"] < 0.42) & rng.chance(f"match {name}", 0.8).bool()
            v[name] = torch.where(again[:, None], other, v[name])
    return Faces({name: v[name] for name in BY_NAME})
