"""Adaptive discriminator augmentation (ADA), Karras et al. 2020, arXiv 2006.06676, section 3 and appendix B.

A discriminator that sees a thousand images learns them by heart. ADA shows it randomly flipped, turned, shifted and
recoloured images, real and generated alike, each transform with the same probability p. Below p of about 0.8 the
generator can still tell what the unaugmented pictures must look like, so nothing of this leaks into its images.

    pipe, controller = AugmentPipe("bgc"), AdaptiveP()
    logits = D(pipe(reals, controller.p, generator))
    controller.observe(logits); controller.step()  # once per iteration

What differs from the paper, none of it in the distribution of the transforms: flips and quarter turns move pixels by
index and not through the resampler (exact, where the paper's filter, being slightly asymmetric, is not), and the
reflection at the border is folded into the sampling coordinates and not padded, so that it reaches any distance and
no corner is ever black. The paper's image filtering and corruptions (they did not help there) are left out.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, replace

import torch
from torch import Tensor, nn

from stylegan2.config import AUGMENT_PIPES
from stylegan2.image_moves import blit, on_rows, recolour, warp_images

TRANSFORMS = {
    "flip": "b",  # left-right
    "rotate90": "b",  # 0, 90, 180 or 270 degrees
    "translate": "b",  # whole pixels, x and y on their own
    "scale": "g",  # the same in x and y
    "rotate": "g",  # any angle, once before and once after `stretch`
    "stretch": "g",  # s in x, 1/s in y
    "shift": "g",  # fractions of a pixel, x and y on their own
    "brightness": "c",
    "contrast": "c",
    "luma_flip": "c",  # light becomes dark, the hue stays
    "hue": "c",
    "saturation": "c",
}
"""Every transform in the order of execution, with its group: pixel b(litting), general g(eometry) or c(olour)."""

SMALLEST_SIDE = 8  # pixels; below this the 12-tap filter is longer than the picture


# ------------------------------------------------------------------------------------------------ configuration


@dataclass(frozen=True)
class AugmentConfig:
    """Which transforms may be drawn, and how strong. The defaults are the paper's `bgc` (appendix B).

    Raises ValueError for a strength that is negative or not finite, and for a translation beyond half the side.
    """

    enabled: tuple[str, ...] = tuple(TRANSFORMS)  # in order of execution
    translate_max: float = 0.125  # uniform within +- this, in sides of the image
    scale_log2: float = 0.2  # standard deviation of log2(s)
    rotate_max: float = 1.0  # uniform within +- this, in half turns
    stretch_log2: float = 0.2  # standard deviation of log2(s)
    shift_std: float = 0.125  # standard deviation, in sides of the image
    brightness_std: float = 0.2  # standard deviation; pixel values lie in [-1, 1]
    contrast_log2: float = 0.5  # standard deviation of log2(c)
    hue_max: float = 1.0  # uniform within +- this, in half turns
    saturation_log2: float = 1.0  # standard deviation of log2(s)

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if entry.name != "enabled" and not 0 <= value < math.inf:
                raise ValueError(f"AugmentConfig.{entry.name} is {value}, expected a finite number of at least 0")
        if self.translate_max > 0.5:
            raise ValueError(f"AugmentConfig.translate_max is {self.translate_max} sides, expected at most 0.5")

    @classmethod
    def preset(cls, name: str) -> "AugmentConfig":
        """One of AUGMENT_PIPES: the groups to switch on by their letters. Raises ValueError for another name."""
        if name not in AUGMENT_PIPES:
            raise ValueError(f"unknown augmentation preset {name!r}, expected one of {', '.join(AUGMENT_PIPES)}")
        groups = "" if name == "none" else name
        return cls(tuple(transform for transform, group in TRANSFORMS.items() if group in groups))

    def only(self, names: Iterable[str]) -> "AugmentConfig":
        """The same strengths with exactly the named transforms on. Raises ValueError for an unknown name."""
        wanted = {names} if isinstance(names, str) else set(names)
        if unknown := sorted(wanted - set(TRANSFORMS)):
            raise ValueError(f"unknown augmentation {', '.join(unknown)}; there are {', '.join(TRANSFORMS)}")
        return replace(self, enabled=tuple(transform for transform in TRANSFORMS if transform in wanted))


@dataclass(frozen=True)
class AugmentParams:
    """What was drawn for a batch of N square images of `size` pixels. Small tensors, always on the CPU.

    Applied in this order: `flip`, `turns`, `offset`, then `warp`, then `colour`. Coordinates are pixels, x to the
    right and y down, seen from the centre of the image.
    """

    size: int
    flip: Tensor  # [N] bool, mirrored left-right
    turns: Tensor  # [N] int64, quarter turns counter-clockwise, 0..3
    offset: Tensor  # [N, 2] int64, pixels in x and y
    warp: Tensor  # [N, 3, 3] homogeneous, takes a point of the image to where it appears
    colour: Tensor  # [N, 3, 4] applied to (r, g, b, 1) in [-1, 1]

    @classmethod
    def identity(cls, n: int, size: int) -> "AugmentParams":
        """Parameters that change nothing: a start for hand-made ones, with `dataclasses.replace`."""
        zeros = torch.zeros(n, dtype=torch.int64)
        eye3, eye4 = torch.eye(3).expand(n, 3, 3), torch.eye(3, 4).expand(n, 3, 4)
        return cls(size, zeros.bool(), zeros, zeros[:, None].expand(n, 2), eye3, eye4)

    def at(self, rows: Tensor) -> "AugmentParams":
        """Those of some of the images: rows, int64 [M]."""
        drawn = (self.flip, self.turns, self.offset, self.warp, self.colour)
        return AugmentParams(self.size, *(tensor[rows] for tensor in drawn))

    @property
    def warped(self) -> Tensor:
        """[N] bool: the images that must be resampled."""
        return (self.warp != torch.eye(3)).flatten(1).any(1)

    @property
    def blitted(self) -> Tensor:
        """[N] bool: the images whose pixels move by index alone (an offset under a warp is part of the warp)."""
        moved = (self.offset != 0).any(1) & ~self.warped
        return self.flip | (self.turns != 0) | moved

    @property
    def coloured(self) -> Tensor:
        """[N] bool: the images whose colours change."""
        return (self.colour != torch.eye(3, 4)).flatten(1).any(1)


# ------------------------------------------------------------------------------------------------ drawing


def _matrix(rows: list[list[Tensor | float]]) -> Tensor:
    """[N, R, C] from rows of numbers and [N] tensors."""
    like = next(entry for row in rows for entry in row if isinstance(entry, Tensor))
    return torch.stack([torch.stack([like.new_zeros(like.shape) + entry for entry in row], 1) for row in rows], 1)


def _translate2d(x: Tensor, y: Tensor) -> Tensor:
    return _matrix([[1, 0, x], [0, 1, y], [0, 0, 1]])


def _scale2d(x: Tensor, y: Tensor) -> Tensor:
    return _matrix([[x, 0, 0], [0, y, 0], [0, 0, 1]])


def _rotate2d(angle: Tensor) -> Tensor:
    """Counter-clockwise on the screen, where y points down; radians."""
    cos, sin = angle.cos(), angle.sin()
    return _matrix([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])


def _grey_axis() -> tuple[Tensor, Tensor, Tensor]:
    """4x4 projections on the grey (luma) axis v = (1, 1, 1)/sqrt(3), without and with the 1, and the product v x."""
    along, cross = torch.zeros(4, 4), torch.zeros(4, 4)
    along[:3, :3] = 1 / 3
    cross[:3, :3] = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    return along, torch.diag(torch.tensor([0.0, 0, 0, 1])) + along, cross


def _shift4d(b: Tensor) -> Tensor:
    return _matrix([[1, 0, 0, b], [0, 1, 0, b], [0, 0, 1, b], [0, 0, 0, 1]])


def _scale4d(c: Tensor) -> Tensor:
    return _matrix([[c, 0, 0, 0], [0, c, 0, 0], [0, 0, c, 0], [0, 0, 0, 1]])


def _luma_flip4d(flipped: Tensor) -> Tensor:
    """Householder reflection at the plane across the grey axis, where `flipped` [N] is 1; identity where it is 0."""
    along, _, _ = _grey_axis()
    return torch.eye(4) - 2 * flipped[:, None, None] * along


def _hue4d(angle: Tensor) -> Tensor:
    """Rotation of the colours about the grey axis by `angle` [N] radians (Rodrigues' formula)."""
    _, keep, cross = _grey_axis()
    return keep + angle.cos()[:, None, None] * (torch.eye(4) - keep) + angle.sin()[:, None, None] * cross


def _saturation4d(s: Tensor) -> Tensor:
    """Scales the distance from the grey axis by `s` [N]."""
    _, keep, _ = _grey_axis()
    return keep + s[:, None, None] * (torch.eye(4) - keep)


class _Draws:
    """All random numbers of a batch. How many are drawn depends on neither p nor the configuration: a run with another
    p, or a preview of one transform, sees the same amounts, and a larger p adds transforms to those of a smaller one.
    """

    gates = tuple(name for name in TRANSFORMS if name != "rotate") + ("rotate_before", "rotate_after")
    uniforms = ("flip", "rotate90", "x", "y", "rotate_before", "rotate_after", "luma_flip", "hue")
    normals = ("scale", "stretch", "x", "y", "brightness", "contrast", "saturation")

    def __init__(self, n: int, p: float, config: AugmentConfig, generator: torch.Generator | None) -> None:
        options = {"generator": generator, "device": generator.device if generator is not None else "cpu"}
        self._p, self._enabled = p, {*config.enabled}
        self._gate = dict(zip(self.gates, torch.rand(len(self.gates), n, **options).cpu(), strict=True))
        self.uniform = dict(zip(self.uniforms, torch.rand(len(self.uniforms), n, **options).cpu(), strict=True))
        self.normal = dict(zip(self.normals, torch.randn(len(self.normals), n, **options).cpu(), strict=True))

    def where(self, name: str, value: Tensor, neutral: float) -> Tensor:
        """`value` [N] for the images that drew transform `name`, `neutral` for the others."""
        return torch.where(self._hit(name), value, torch.full_like(value, neutral))

    def _hit(self, name: str) -> Tensor:
        rotation = name.startswith("rotate_")
        if ("rotate" if rotation else name) not in self._enabled:
            return torch.zeros_like(self._gate[name], dtype=torch.bool)
        # Two chances to rotate; this makes the probability of at least one of them p (appendix B).
        return self._gate[name] < (1 - math.sqrt(1 - self._p) if rotation else self._p)

    def signed(self, name: str) -> Tensor:
        """Uniform in [-1, 1)."""
        return 2 * self.uniform[name] - 1


def _draw_warp(draws: _Draws, config: AugmentConfig, size: int) -> Tensor:
    """[N, 3, 3] general geometric transform: scale, rotate, stretch, rotate, shift."""

    def rotation(name: str) -> Tensor:
        return _rotate2d(draws.where(name, draws.signed(name) * config.rotate_max * math.pi, 0))

    scale = draws.where("scale", torch.exp2(draws.normal["scale"] * config.scale_log2), 1)
    stretch = draws.where("stretch", torch.exp2(draws.normal["stretch"] * config.stretch_log2), 1)
    x, y = (draws.where("shift", draws.normal[axis] * config.shift_std * size, 0) for axis in "xy")
    warp = rotation("rotate_before") @ _scale2d(scale, scale)
    warp = rotation("rotate_after") @ _scale2d(stretch, 1 / stretch) @ warp
    return _translate2d(x, y) @ warp


def _draw_colour(draws: _Draws, config: AugmentConfig) -> Tensor:
    """[N, 3, 4] colour transform: brightness, contrast, luma flip, hue, saturation."""
    normal = draws.normal
    colour = _shift4d(draws.where("brightness", normal["brightness"] * config.brightness_std, 0))
    colour = _scale4d(draws.where("contrast", torch.exp2(normal["contrast"] * config.contrast_log2), 1)) @ colour
    colour = _luma_flip4d(draws.where("luma_flip", (draws.uniform["luma_flip"] < 0.5).float(), 0)) @ colour
    colour = _hue4d(draws.where("hue", draws.signed("hue") * config.hue_max * math.pi, 0)) @ colour
    saturation = draws.where("saturation", torch.exp2(normal["saturation"] * config.saturation_log2), 1)
    return (_saturation4d(saturation) @ colour)[:, :3]


# ------------------------------------------------------------------------------------------------ applying


class AugmentPipe(nn.Module):
    """The augmentation pipeline of ADA (appendix B). Twice differentiable with respect to the images.

    config: an AugmentConfig or the name of a preset ("none", "b", "bg", "bgc").
    """

    def __init__(self, config: AugmentConfig | str = "bgc") -> None:
        super().__init__()
        self.config = AugmentConfig.preset(config) if isinstance(config, str) else config

    def forward(self, images: Tensor, p: float | Tensor, generator: torch.Generator | None = None, only=None) -> Tensor:
        """Draw and apply: images [N, 3, S, S] in [-1, 1] to the same shape and type (colours may leave [-1, 1]).

        p: probability of each transform, in [0, 1]; at 0 `images` itself comes back. generator: source of every
        random number (None: PyTorch's own); a CPU generator avoids waiting for a GPU. only: names of TRANSFORMS
        to apply instead of those that the configuration switches on. Raises as `draw` and `apply` do.
        """
        return self.apply(images, self.draw(len(images), *images.shape[2:], p, generator, only))

    def draw(
        self,
        n: int,
        height: int,
        width: int,
        p: float | Tensor,
        generator: torch.Generator | None = None,
        only: Iterable[str] | None = None,
    ) -> AugmentParams:
        """Draw the transforms of n images once, to `apply` to as many batches as wanted. Arguments as in `forward`.

        Raises ValueError for p outside [0, 1], an unknown name in `only`, and images not square or below 8 pixels.
        """
        if height != width or height < SMALLEST_SIDE:
            raise ValueError(f"images are {height}x{width}, expected square ones of {SMALLEST_SIDE} pixels or more")
        p = float(p)
        if not 0 <= p <= 1:
            raise ValueError(f"augmentation probability p is {p}, expected a number from 0 to 1")
        config = self.config if only is None else self.config.only(only)
        draws = _Draws(n, p, config, generator)
        if p == 0 or not config.enabled:
            return AugmentParams.identity(n, width)
        flip = draws.where("flip", (draws.uniform["flip"] < 0.5).float(), 0).bool()
        turns = draws.where("rotate90", (draws.uniform["rotate90"] * 4).floor(), 0).long()
        pixels = [(draws.signed(axis) * config.translate_max * width).round() for axis in "xy"]
        offset = torch.stack([draws.where("translate", amount, 0) for amount in pixels], 1).long()
        with torch.autocast("cpu", enabled=False):  # the matrices need their 24 bits
            warp, colour = _draw_warp(draws, config, width), _draw_colour(draws, config)
        return AugmentParams(width, flip, turns, offset, warp, colour)

    def apply(self, images: Tensor, params: AugmentParams) -> Tensor:
        """Apply drawn transforms to images [N, 3, S, S] in [-1, 1]; same shape and type.

        Only the images that drew a transform of a kind go through it. Computes in float32 at least, also under
        autocast. Raises ValueError when shape or type do not fit the parameters.
        """
        expected = (len(params.flip), 3, params.size, params.size)
        if tuple(images.shape) != expected or not images.is_floating_point():
            given = f"{tuple(images.shape)} {images.dtype}"
            raise ValueError(f"images are {given}, expected floats of shape {expected}, for which params were drawn")
        blitted, warped, coloured = params.blitted, params.warped, params.coloured
        if not (blitted | warped | coloured).any():
            return images
        with torch.autocast(images.device.type, enabled=False):
            out = images if images.dtype == torch.float64 else images.float()
            # Pixels are moved by whole steps first; under a warp the translation waits and becomes part of it.
            offset = params.offset.masked_fill(warped[:, None], 0)
            out = on_rows(out, blitted, blit, params.flip, params.turns, offset)
            out = on_rows(out, warped, warp_images, params.warp @ _translate2d(*params.offset.float().unbind(1)))
            out = on_rows(out, coloured, recolour, params.colour)
            return out.to(images.dtype)

    def extra_repr(self) -> str:
        return ", ".join(self.config.enabled) or "none"


# ------------------------------------------------------------------------------------------------ control of p


@dataclass
class AdaptiveP:
    """Keeps p where the discriminator overfits just a little (section 3.2, equation 1).

    r_t = E[sign(D(augmented reals))] is 0 for a discriminator that guesses and 1 for one that knows every real image
    by heart. Every `interval` iterations p moves one step up when r_t is above `target`, else one step down;
    steps are such that `length_images` images lead from 0 to 1.

    Raises ValueError for settings out of range.
    """

    p: float = 0.0  # the starting value; read it as the current one
    target: float = 0.6
    interval: int = 4  # iterations
    length_images: int = 500_000
    max_p: float = 1.0
    fixed: bool = False  # True: p stays, r_t is still measured
    over_all: Callable[[float], float] = float  # the sum of a number over all processes of a run
    r_t: float = field(default=0.0, init=False)  # the last measured value
    _sign_sum: Tensor | float = field(default=0.0, init=False, repr=False)  # stays on the device of the logits
    _images: int = field(default=0, init=False, repr=False)
    _iterations: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        if not 0 <= self.p <= self.max_p <= 1:
            raise ValueError(f"p is {self.p} and max_p {self.max_p}, expected 0 <= p <= max_p <= 1")
        if not -1 < self.target < 1:
            raise ValueError(f"target is {self.target}, expected a number between -1 and 1")
        if self.interval < 1 or self.length_images < 1:
            raise ValueError(f"interval is {self.interval}, length_images {self.length_images}, expected at least 1")

    def observe(self, real_logits: Tensor) -> None:
        """Count the signs of D's outputs for augmented real images, any shape; no wait for the device."""
        self._sign_sum = self._sign_sum + real_logits.detach().sign().sum(dtype=torch.float32)
        self._images += real_logits.numel()

    def step(self) -> float:
        """End an iteration; every `interval`-th moves p by the images observed since. Returns the current p."""
        self._iterations += 1
        if self._iterations % self.interval == 0 and self._images:
            signs, images = self.over_all(float(self._sign_sum)), self.over_all(self._images)
            self.r_t = signs / images
            if not self.fixed:
                direction = (self.r_t > self.target) - (self.r_t < self.target)
                self.p = min(max(self.p + direction * images / self.length_images, 0.0), self.max_p)
            self._sign_sum, self._images = 0.0, 0
        return self.p

    def state_dict(self) -> dict[str, float | int]:
        """What changes in a run, as plain numbers: p, r_t, the unfinished interval (of all processes)."""
        return {
            "p": self.p,
            "r_t": self.r_t,
            "sign_sum": self.over_all(float(self._sign_sum)),
            "images": int(self.over_all(self._images)),
            "iterations": self._iterations,
        }

    def load_state_dict(self, state: dict[str, float | int], is_first: bool = True) -> None:
        """Continue exactly where `state_dict` was taken; of several processes the first has the unfinished interval.

        Raises ValueError when entries are missing or unknown, or p is out of range.
        """
        expected = set(self.state_dict())
        if set(state) != expected:
            raise ValueError(f"ADA state has {sorted(state)}, expected {sorted(expected)}")
        if not 0 <= state["p"] <= 1:
            raise ValueError(f"ADA state has p = {state['p']}, expected a number from 0 to 1")
        self.p, self.r_t = float(state["p"]), float(state["r_t"])
        self._sign_sum, self._images = (float(state["sign_sum"]), int(state["images"])) if is_first else (0.0, 0)
        self._iterations = int(state["iterations"])
