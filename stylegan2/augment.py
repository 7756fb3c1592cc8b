"""Adaptive discriminator augmentation (ADA), Karras et al. 2020, arXiv 2006.06676, section 3 and appendix B.

A discriminator that sees a thousand images learns them by heart. ADA shows it randomly flipped, turned, shifted and
recoloured images, real and generated alike, each transform with the same probability p. Below p of about 0.8 the
generator can still tell what the unaugmented pictures must look like, so nothing of this leaks into its images.

    pipe, controller = AugmentPipe("bgc"), AdaptiveP()
    logits = D(pipe(reals, controller.p, generator))
    controller.observe(logits); controller.step()  # once per iteration

The distribution of the transforms is the paper's. Two things are computed otherwise: flips and quarter turns move
pixels by index (exact, where the paper's resampler is not), and the reflection at the border is part of the sampling
coordinates instead of a padding, so that no corner is ever black. The paper's image filtering and corruptions, which
did not help there, are left out.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

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

# Strengths (appendix B). Angles of rotation and hue are uniform over the whole circle.
TRANSLATE_MAX = 0.125  # uniform within +- this, in sides of the image
SCALE_LOG2 = STRETCH_LOG2 = 0.2  # standard deviations of log2 of the factors
SHIFT_STD = 0.125  # standard deviation, in sides of the image
BRIGHTNESS_STD = 0.2  # standard deviation; pixel values lie in [-1, 1]
CONTRAST_LOG2, SATURATION_LOG2 = 0.5, 1.0

SMALLEST_SIDE = 8  # pixels; below this the 12-tap filter is longer than the picture


@dataclass(frozen=True)
class AugmentParams:
    """The transforms of a batch of N square images of `size` pixels. Small tensors, always on the CPU.

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
        """Parameters that change nothing."""
        zeros = torch.zeros(n, dtype=torch.int64)
        eye3, eye4 = torch.eye(3).expand(n, 3, 3), torch.eye(3, 4).expand(n, 3, 4)
        return cls(size, zeros.bool(), zeros, zeros[:, None].expand(n, 2), eye3, eye4)

    def at(self, rows: Tensor) -> "AugmentParams":
        """Those of some of the images: rows, int64 [M]."""
        tensors = (self.flip, self.turns, self.offset, self.warp, self.colour)
        return AugmentParams(self.size, *(tensor[rows] for tensor in tensors))

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


# ------------------------------------------------------------------------------------------------------------ matrices
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


# ------------------------------------------------------------------------------------------------------------ sampling
class _Samples:
    """All random numbers of a batch. How many there are depends on neither p nor the transforms switched on: a run with
    another p sees the same amounts, and a larger p adds transforms to those of a smaller one.
    """

    gates = tuple(name for name in TRANSFORMS if name != "rotate") + ("rotate_before", "rotate_after")
    uniforms = ("flip", "rotate90", "x", "y", "rotate_before", "rotate_after", "luma_flip", "hue")
    normals = ("scale", "stretch", "x", "y", "brightness", "contrast", "saturation")

    def __init__(self, n: int, p: float, enabled: Iterable[str], generator: torch.Generator | None) -> None:
        options = {"generator": generator, "device": generator.device if generator is not None else "cpu"}
        self._p, self._enabled = p, {*enabled}
        self._gate = dict(zip(self.gates, torch.rand(len(self.gates), n, **options).cpu(), strict=True))
        self.uniform = dict(zip(self.uniforms, torch.rand(len(self.uniforms), n, **options).cpu(), strict=True))
        self.normal = dict(zip(self.normals, torch.randn(len(self.normals), n, **options).cpu(), strict=True))

    def where(self, name: str, value: Tensor, neutral: float) -> Tensor:
        """`value` [N] for the images that get the transform `name`, `neutral` for the others."""
        rotation = name.startswith("rotate_")
        if ("rotate" if rotation else name) not in self._enabled:
            return torch.full_like(value, neutral)
        # Two chances to rotate; this makes the probability of at least one of them p (appendix B).
        hit = self._gate[name] < (1 - math.sqrt(1 - self._p) if rotation else self._p)
        return torch.where(hit, value, torch.full_like(value, neutral))

    def factor(self, name: str, log2: float) -> Tensor:
        """Log-normal factors [N], 1 without the transform; log2: standard deviation of their logarithm."""
        return self.where(name, torch.exp2(self.normal[name] * log2), 1)

    def angle(self, name: str) -> Tensor:
        """Uniform over the circle in radians [N], 0 without the transform."""
        return self.where(name, self.signed(name) * math.pi, 0)

    def signed(self, name: str) -> Tensor:
        """Uniform in [-1, 1)."""
        return 2 * self.uniform[name] - 1


def _sample_warp(samples: _Samples, size: int) -> Tensor:
    """[N, 3, 3] general geometric transform: scale, rotate, stretch, rotate, shift."""
    scale, stretch = samples.factor("scale", SCALE_LOG2), samples.factor("stretch", STRETCH_LOG2)
    x, y = (samples.where("shift", samples.normal[axis] * SHIFT_STD * size, 0) for axis in "xy")
    warp = _rotate2d(samples.angle("rotate_before")) @ _scale2d(scale, scale)
    warp = _rotate2d(samples.angle("rotate_after")) @ _scale2d(stretch, 1 / stretch) @ warp
    return _translate2d(x, y) @ warp


def _sample_colour(samples: _Samples) -> Tensor:
    """[N, 3, 4] colour transform: brightness, contrast, luma flip, hue, saturation."""
    colour = _shift4d(samples.where("brightness", samples.normal["brightness"] * BRIGHTNESS_STD, 0))
    colour = _scale4d(samples.factor("contrast", CONTRAST_LOG2)) @ colour
    colour = _luma_flip4d(samples.where("luma_flip", (samples.uniform["luma_flip"] < 0.5).float(), 0)) @ colour
    colour = _hue4d(samples.angle("hue")) @ colour
    return (_saturation4d(samples.factor("saturation", SATURATION_LOG2)) @ colour)[:, :3]


# ------------------------------------------------------------------------------------------------------------ applying
class AugmentPipe(nn.Module):
    """The augmentation pipeline of ADA (appendix B). Twice differentiable with respect to the images.

    kinds: one of AUGMENT_PIPES, which switches on groups by their letters, or names of TRANSFORMS. Raises ValueError
    for others.
    """

    def __init__(self, kinds: str | Iterable[str] = "bgc") -> None:
        super().__init__()
        if isinstance(kinds, str):
            if kinds not in AUGMENT_PIPES:
                raise ValueError(f"unknown augmentation preset {kinds!r}, expected one of {', '.join(AUGMENT_PIPES)}")
            kinds = [] if kinds == "none" else [name for name, group in TRANSFORMS.items() if group in kinds]
        elif unknown := sorted(set(kinds) - set(TRANSFORMS)):
            raise ValueError(f"unknown augmentation {', '.join(unknown)}; there are {', '.join(TRANSFORMS)}")
        self.enabled = tuple(name for name in TRANSFORMS if name in kinds)

    def forward(self, images: Tensor, p: float | Tensor, generator: torch.Generator | None = None) -> Tensor:
        """`sample` and `apply`: images [N, 3, S, S] in [-1, 1] to the same shape and type (colours may leave [-1, 1]).

        p: probability of each transform; at 0 `images` itself comes back. generator: of every random number (None:
        PyTorch's own); one on the CPU avoids waiting for a GPU.
        """
        return self.apply(images, self.sample(len(images), *images.shape[2:], p, generator))

    def sample(
        self, n: int, height: int, width: int, p: float | Tensor, generator: torch.Generator | None = None
    ) -> AugmentParams:
        """The transforms of n images, to `apply` to as many batches as wanted. Arguments as in `forward`.

        Raises ValueError for p outside [0, 1], and images not square or below 8 pixels.
        """
        if height != width or height < SMALLEST_SIDE:
            raise ValueError(f"images are {height}x{width}, expected square ones of {SMALLEST_SIDE} pixels or more")
        p = float(p)
        if not 0 <= p <= 1:
            raise ValueError(f"augmentation probability p is {p}, expected a number from 0 to 1")
        samples = _Samples(n, p, self.enabled, generator)
        if p == 0 or not self.enabled:
            return AugmentParams.identity(n, width)
        flip = samples.where("flip", (samples.uniform["flip"] < 0.5).float(), 0).bool()
        turns = samples.where("rotate90", (samples.uniform["rotate90"] * 4).floor(), 0).long()
        pixels = [(samples.signed(axis) * TRANSLATE_MAX * width).round() for axis in "xy"]
        offset = torch.stack([samples.where("translate", amount, 0) for amount in pixels], 1).long()
        with torch.autocast("cpu", enabled=False):  # the matrices need their 24 bits
            warp, colour = _sample_warp(samples, width), _sample_colour(samples)
        return AugmentParams(width, flip, turns, offset, warp, colour)

    def apply(self, images: Tensor, params: AugmentParams) -> Tensor:
        """Apply sampled transforms to images [N, 3, S, S] in [-1, 1]; same shape and type.

        Computes in float32 at least, also under autocast. Raises ValueError when shape or type do not fit `params`.
        """
        expected = (len(params.flip), 3, params.size, params.size)
        if tuple(images.shape) != expected or not images.is_floating_point():
            given = f"{tuple(images.shape)} {images.dtype}"
            raise ValueError(f"images are {given}, expected floats of shape {expected}, which params were made for")
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


# -------------------------------------------------------------------------------------------------------- control of p
@dataclass
class AdaptiveP:
    """Keeps p where the discriminator overfits just a little (section 3.2, equation 1).

    r_t = E[sign(D(augmented reals))] is 0 for a discriminator that guesses and 1 for one that knows all real images.
    Every `interval` iterations p moves up when r_t is above `target`, else down, by 1 in `length_images` images.
    """

    p: float = 0.0  # the starting value; read it as the current one
    target: float = 0.6
    interval: int = 4  # iterations
    length_images: int = 500_000
    fixed: bool = False  # True: p stays, r_t is still measured
    over_all: Callable[[float], float] = float  # the sum of a number over all processes of a run
    r_t: float = field(default=0.0, init=False)  # the last measured value
    _sign_sum: Tensor | float = field(default=0.0, init=False, repr=False)  # stays on the device of the logits
    _images: int = field(default=0, init=False, repr=False)
    _iterations: int = field(default=0, init=False, repr=False)

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
                self.p = min(max(self.p + direction * images / self.length_images, 0.0), 1.0)
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
        """Continue exactly where `state_dict` was taken; of several processes the first has the unfinished interval."""
        self.p, self.r_t, self._iterations = state["p"], state["r_t"], state["iterations"]
        self._sign_sum, self._images = (state["sign_sum"], state["images"]) if is_first else (0.0, 0)
