"""A style from one drawing (JoJoGAN, arXiv 2112.11641): a generator learns to render it from many codes.

    ws = invert(source, drawings, distance, encoder)                      # step 1: which face is this?
    style = stylize(source, d, drawings, ws, StyleConfig())               # steps 2 and 3: pairs, and learning them
    cartoonize(source, {"drawing": style}, photo_ws, strength=0.8)        # step 4

The drawing's codes render a *face* in the source, not a drawing. Random codes in the layers that carry style give many
faces of the same structure, and each of them is to become the drawing. Faces of other structure change with them, so
that they are drawn in that style as well.

Other than in the paper and its authors' code: their mask is on the styles s of the layers, ours on the codes of W+, so
a random odd code changes a tRGB and the up-convolution after it; they show each drawing once in an iteration and take
the mean over D's layers, we show a batch of pairs and take the sum; the strength blends weights, theirs features. To
keep colours they leave some layers alone, so that the drawing's colours are not learnt there; we paint the drawing anew
in the colours of each pair's face, see `Pairs`: so a generator learns what a drawing adds to a face, whatever its
colours.

This is no `transfer.Method`: the pairs are known, and D learns nothing, it only compares. It is pivotal tuning with
other codes at each step and another distance, in the same loop (`projection.learning_steps`).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from stylegan2 import checkpoints, display, files
from stylegan2.bars import bar
from stylegan2.collect import align
from stylegan2.collect.facemesh import FaceMesh, eyes_open
from stylegan2.editing.cartoonize import STEPS, encode, settings
from stylegan2.editing.encoder import Encoder
from stylegan2.editing.latents import render, ws_from_seeds
from stylegan2.editing.layer_swapping import swap
from stylegan2.editing.layers import parse_layers
from stylegan2.editing.optimise import INTERRUPTED
from stylegan2.editing.perceptual import DiscriminatorDistance
from stylegan2.editing.photos import Portrait
from stylegan2.editing.projection import check_images, learning_steps, project
from stylegan2.editing.style_mixing import mix
from stylegan2.inputs import step_generator
from stylegan2.networks import Discriminator, Generator
from stylegan2.setting_types import check_types

SHUT = 0.12  # an eye's height in its widths, below which it counts as closed (rendered ones are at least 0.22 high)
TURNED, AWAY, LARGER = 12.0, 0.12, 1.4  # degrees, sides of the picture, and times, beyond which it is not aligned
FACES = range(8)  # seeds of the faces on the sheet
SLOW = 0.04  # of an image's side: what changes more slowly is colour, what changes faster are lines and shading
SEEN = 256  # pixels at which a small picture is looked at


@dataclass(frozen=True)
class StyleConfig:
    """How to learn a style. Raises ValueError for numbers that cannot work."""

    iterations: int = 300  # steps of Adam; the paper: 200 to 500
    lr: float = 2e-3  # step size, the paper's
    batch: int = 4  # pairs of an iteration
    layers: str = "auto"  # codes that are random in the pairs, such as 5-9: see `style_layers`
    keep_colours: bool = False  # of each face, instead of the drawing's: see `Pairs`
    seed: int = 0  # of the random codes

    def __post_init__(self) -> None:
        check_types(self)
        if self.iterations < 1 or self.batch < 1 or not 0 < self.lr < 1:
            raise ValueError(
                f"iterations is {self.iterations}, batch {self.batch}, lr {self.lr:g}: expected at least 1 each, and "
                "an lr between 0 and 1"
            )


def style_layers(num_ws: int, config: StyleConfig | None = None) -> tuple[int, ...]:
    """The codes of a model with `num_ws` that are random in the pairs; the others stay the drawing's.

    By default those from the up-convolution to 64x64 on, or to half of a smaller image's side: 5-9 of 10 codes (64
    pixels), 7-11 of 12, 7-13 of 14, 7-17 of 18 (1024 pixels, the paper's). Earlier layers bring more of the drawing,
    its haircut too (benchmarks/README.md).

    Raises ValueError for layers that the model does not have.
    """
    config = config or StyleConfig()
    first = max(1, min(7, num_ws - 5))
    return tuple(range(first, num_ws) if config.layers == "auto" else parse_layers(config.layers, num_ws))


class Pairs:
    """The data: codes, and what each of them should render (the paper's step 2, s_i = M s + (1-M) s(z_i)).

    The mask M is `style_layers`. Drawings [K, 3, R, R] in [-1, 1] take turns; a step's random codes are a function of
    (seed, step).

    Codes that share the drawing's in the coarse layers render faces of the same structure, in other colours. So to
    keep colours, the target is what the source renders of the pair's own codes, plus what the drawing adds to its own
    face: of that the lines and the shading, without the slow changes of colour (a Gaussian blur, `SLOW` of the side).
    With random coarse layers a pair's face has another structure, and the drawing's lines would lie beside it.
    """

    def __init__(self, source: Generator, drawings: Tensor, ws: Tensor, config: StyleConfig):
        self.source, self.drawings, self.ws, self.config = source, drawings, ws, config
        self.layers = style_layers(source.num_ws, config)
        if config.keep_colours:
            added, sd = drawings - render(source, ws), SLOW * drawings.shape[-1]
            self.lines = added - gaussian_blur(added, 2 * round(2 * sd) + 1, sd)

    @torch.no_grad()
    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """-> codes [batch, L, w_dim], and images [batch, 3, R, R]."""
        n = self.config.batch
        which = (torch.arange(n) + step * n) % len(self.ws)
        z = torch.randn(n, self.source.z_dim, generator=step_generator(self.config.seed, step))
        ws = mix(self.ws[which], self.source.mapping(z), self.layers)
        if not self.config.keep_colours:
            return ws, self.drawings[which]
        return ws, (render(self.source, ws) + self.lines[which]).clamp(-1, 1)


def invert(source: Generator, drawings: Tensor, distance, encoder: Encoder | None, steps: int = STEPS) -> Tensor:
    """Codes of faces like the drawings [M, 3, R, R] in [-1, 1] (the paper's step 1): ws [M, L, w_dim].

    The encoder's answer; without an encoder, that of a search of so many steps near the mean face. They are to be
    *faces*: a free search comes near to the drawing itself, and what it finds is no longer learnt as style.

    Raises KeyboardInterrupt: the search was stopped before its end.
    """
    if encoder is not None:
        return encode(encoder, drawings)
    found = project(source, drawings, distance, settings(True, False, steps))
    if found.stopped == INTERRUPTED:
        raise KeyboardInterrupt("the search for the drawings' codes was stopped")
    return found.ws


def stylize_steps(
    source: Generator, d: Discriminator, drawings: Tensor, ws: Tensor, config: StyleConfig | None = None
) -> Iterator[tuple[Generator, dict[str, float]]]:
    """The learning of `stylize` step by step: yields the generator, always the same, and {"step", "loss", "psnr"}."""
    config = config or StyleConfig()
    check_images(source, drawings, ws)
    pairs = Pairs(source, drawings, ws.detach(), config)
    return learning_steps(source, pairs, DiscriminatorDistance(d), config.iterations, config.lr)


def stylize(
    source: Generator,
    d: Discriminator,
    drawings: Tensor,
    ws: Tensor,
    config: StyleConfig | None = None,
    history: list[dict[str, float]] | None = None,
    progress: bool = True,
) -> Generator:
    """A copy of the source that renders faces as the drawings are drawn (the paper's step 3); the source stays.

    Args:
        d: the source's discriminator, which compares.
        drawings: [M, 3, R, R] in [-1, 1], of one style. ws: their codes in the source, [M, L, w_dim].
        history: gets a row {"step", "loss", "psnr" (median, dB)} for each iteration.
        progress: a bar, should it take long.

    Ctrl-C ends it early and keeps what was learnt. Raises ValueError for shapes or layers that do not fit.
    """
    config, style = config or StyleConfig(), None
    try:
        steps = stylize_steps(source, d, drawings, ws, config)
        with bar(steps, "stylize", "step", progress, total=config.iterations) as shown:
            for style, row in shown:  # noqa: B007  (the last is the result)
                shown.set_postfix(loss=f"{row['loss']:.2f}", refresh=False)
                if history is not None:
                    history.append(row)
    except KeyboardInterrupt:
        pass
    return style or copy.deepcopy(source).requires_grad_(False)


def faults(portrait: Portrait, frame: align.Frame) -> list[str]:
    """What makes a drawing a bad one to learn from, and what helps, in words; of a face that no network finds, nothing.

    Every face would get what is wrong in it: a tilted head, closed eyes. `frame`: where a face should lie in it.
    """
    image, found = portrait.image, []
    if portrait.side < image.width:
        size = f"{portrait.side}x{portrait.side} pixels, the model's images have {image.width}x{image.width}"
        found.append(f"is too small ({size}: take a larger one)")
    factor = SEEN / image.width if image.width < SEEN else 1.0
    seen = image.resize((round(image.width * factor),) * 2, Image.Resampling.BICUBIC)
    try:
        person = align.find_people(seen)[0]
    except align.NoFace:
        return found
    corners = align.square_of(person, frame) / seen.width
    across, off = corners[3] - corners[0], float(np.abs(corners.mean(0) - 0.5).max())
    angle, side = float(np.degrees(np.arctan2(across[1], across[0]))), float(np.hypot(*across))
    if abs(angle) > TURNED or off > AWAY or not 1 / LARGER < side < LARGER:
        found.append(
            f"is not aligned: its face is turned by {angle:.0f} degrees, lies {off:.0%} of the side off the middle, "
            f"and is {side:.1f} times as large as the model's faces (let it be cut out, --align yes, "
            "or give its square, --box)"
        )
    opened = float(eyes_open(FaceMesh()(seen, person.face).points[:, :2]).max())
    return found + ([f"has closed eyes ({opened:.2f} of their width: take another)"] if opened < SHUT else [])


def refuse_faults(portraits: Mapping[str, Portrait], frame: align.Frame) -> None:
    """Raises ValueError for drawings with `faults`; the message names them all."""
    each = {name: faults(portrait, frame) for name, portrait in portraits.items()}
    if lines := [f"'{name}' {', and '.join(words)}" for name, words in each.items() if words]:
        raise ValueError(f"{'; '.join(lines)}. Every face would get that; --anyway learns from it nevertheless")


def save_run(out: Path, source: Generator, style: Generator, meta: dict, drawings=None, ws=None) -> Path:
    """Write a run's folder: the model as a snapshot of as many images as were compared, settings, and a sheet.

    meta: what config.json says, with "iterations", "batch" and "strength". The rest as of `sheet`, whose path it
    returns.
    """
    style, meta = swap(source, style, 4, strength=meta["strength"]), meta | {"origin": checkpoints.fingerprint(source)}
    images = meta["iterations"] * meta["batch"]
    checkpoints.save(out / "snapshots" / f"{images:09d}.pt", g_ema=style, meta=meta)
    files.write_json(out / "config.json", meta)
    return display.save(sheet(source, style, drawings, ws), out / "sheet.png")


def sheet(
    source: Generator, style: Generator, drawings: Tensor | None = None, ws: Tensor | None = None, side: int = 192
) -> Image.Image:
    """The drawings, what renders them in the source and in the style, if any; faces of the source in the style."""
    faces, rows = ws_from_seeds(source, FACES), {}
    if drawings is not None:
        rows = {"drawing": drawings, "found": render(source, ws), "learnt": render(style, ws)}
    rows |= {"faces": render(source, faces), "in this style": render(style, faces)}
    return display.rows(rows, side=side)
