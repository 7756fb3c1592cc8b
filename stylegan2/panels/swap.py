"""The layer-swapping panel: a face from below the cut, swapped, and from above it; all its cuts; who owns what.

    swap_panel(source, {"webtoon": webtoon, "storybook": storybook}).show()

`render_swap` is its callback, a plain function from settings to a picture; `share_bars` draws `target_share` alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import Any

import ipywidgets as w
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from stylegan2 import display as show
from stylegan2.editing.latents import ws_from_seeds
from stylegan2.editing.layer_swapping import cuts, strip, swap, target_share
from stylegan2.networks import Generator
from stylegan2.widgets import Panel, choice, float_slider, int_slider, steps_slider

SOURCE = "photo"  # what the source is called in captions
BETWEEN, GAP = 5, 2  # pixels between the large pictures, and between the small ones
WIDTH = 3 * 256 + 2 * BETWEEN  # of the whole
LINE = 20  # height of a caption
TARGET, REST = (122, 92, 255), (226, 226, 232)  # colours of the target's share, and of what is left for the source


@torch.no_grad()
def render_swap(
    source: Generator,
    targets: Mapping[str, Generator],
    style: str,
    swap_resolution: int,
    width: float = 0.0,
    seed: int = 0,
    truncation: float = 0.8,
    reverse: bool = False,
    seen: dict[tuple, dict[str, Tensor]] | None = None,
) -> Image.Image:
    """One face: source | swapped | target, below it at every hard cut, below that each resolution's share.

    All pictures are drawn from one code, of the source's mapping, with the fixed noise.

    Args:
        source: a generator.
        targets: generators fine-tuned from it, by name.
        style: which of them.
        swap_resolution: first resolution taken from the right-hand model.
        width: of the cut in the large middle picture, see `target_share`; the small pictures stay hard cuts.
        seed: of the face.
        truncation: psi.
        reverse: exchange the roles: the target below the cut (on the left), the source above it.
        seen: keeps the cuts of the last face between calls, so that moving the cut or its width draws one image only.

    Raises:
        ValueError: an unknown style, a resolution that the models do not have, or an impossible width.
    """
    if style not in targets:
        raise ValueError(f"unknown style {style!r}: expected one of {', '.join(targets)}")
    shares = target_share(cuts(source.resolution), swap_resolution, width)
    ends = [(SOURCE, source), (style, targets[style])]
    (left, low), (right, high) = reversed(ends) if reverse else ends
    ws = ws_from_seeds(source, [seed], truncation)
    face = (style, seed, truncation, reverse)
    seen = {} if seen is None else seen
    if face not in seen:
        seen.clear()
        seen[face] = _every_cut(low, high, ws)
    at = seen[face]
    chosen = f"from {swap_resolution}"
    soft = f", width {width:g}" if width else ""
    swapped = swap(low, high, swap_resolution, width).synthesis(ws, "const") if width else at[chosen]
    large = [(left, at["none"]), (f"swapped {chosen}{soft}", swapped), (right, at["from 4"])]
    parts = [
        _row(large, BETWEEN),
        _row(list(at.items()), GAP, chosen),
        share_bars(shares, WIDTH, f"share of {right} in each resolution"),
    ]
    return show.stack(parts, gap=8)


def _every_cut(low: Generator, high: Generator, ws: Tensor) -> dict[str, Tensor]:
    """{"none": [1, 3, R, R], "from R": ..., ..., "from 4": ...}, named by the first resolution taken from `high`."""
    names = ["none", *(f"from {r}" for r in reversed(cuts(low.resolution)))]
    return dict(zip(names, strip(low, high, ws).values(), strict=True))


def share_bars(shares: Mapping[int, float], width: int = WIDTH, title: str = "", height: int = 36) -> Image.Image:
    """How much of each resolution is the target's, as bars side by side that fill from below.

    Args:
        shares: {resolution: 0 to 1}, of `target_share`.
        width, height: of the picture, and of the bars in it.
        title: a line above.
    """
    above = LINE if title else 0
    canvas = Image.new("RGB", (width, above + height + LINE), show.PAPER)
    pen = ImageDraw.Draw(canvas)
    pen.text((0, above / 2), title, show.INK, _font(), anchor="lm")
    each = (width + GAP) / len(shares)
    for i, (resolution, share) in enumerate(shares.items()):
        x0, x1 = round(i * each), round((i + 1) * each) - GAP - 1
        pen.rectangle((x0, above, x1, above + height - 1), REST)
        if filled := round(share * height):
            pen.rectangle((x0, above + height - filled, x1, above + height - 1), TARGET)
        middle = (x0 + x1) / 2, above + height + LINE / 2
        pen.text(middle, f"{resolution}x{resolution}: {share:.0%}", show.INK, _font(), anchor="mm")
    return canvas


def _row(images: Sequence[tuple[str, Tensor]], gap: int, chosen: str | None = None) -> Image.Image:
    """(name, [1, 3, R, R]) side by side, as large as the width allows, below their names; a frame around `chosen`."""
    side = (WIDTH - gap * (len(images) - 1)) // len(images)
    canvas = Image.new("RGB", (WIDTH, LINE + side), show.PAPER)
    pen = ImageDraw.Draw(canvas)
    for i, (name, image) in enumerate(images):
        x = i * (side + gap)
        canvas.paste(show.to_pil(image[0]).resize((side, side), Image.Resampling.BICUBIC), (x, LINE))
        pen.text((x + side / 2, LINE / 2), name, TARGET if name == chosen else show.INK, _font(), anchor="mm")
        if name == chosen:
            pen.rectangle((x, LINE, x + side - 1, LINE + side - 1), outline=TARGET, width=4)
    return canvas


@cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(14)


def swap_panel(source: Generator, targets: Mapping[str, Generator], record: Mapping[str, Any] | None = None) -> Panel:
    """Swap layers live: style, cut, its width, the face, and which of the two models lies below the cut."""
    sizes = cuts(source.resolution)
    controls = {
        "style": choice("style", list(targets)),
        "swap_resolution": steps_slider(
            "swap from", sizes, sizes[min(2, len(sizes) - 1)], "first resolution taken from the model on the right"
        ),
        "width": float_slider("width", 0.0, 0.0, 2.0, 0.1, "0: a hard cut; above: the blocks around it are blended"),
        "seed": int_slider("seed", 14, 0, 999, "which face"),
        "truncation": float_slider("ψ", 0.8, -1.0, 2.0, 0.05, "0: the mean face, 1: untouched"),
        "reverse": w.Checkbox(False, description="exchange the roles", style={"description_width": "90px"}),
    }
    return Panel(partial(render_swap, source, targets, seen={}), controls, "swap", record=record)
