"""The layer-swapping panel: a face from below the cut, swapped, and from above it; all its cuts; who owns what.

    swap_panel(source, {"webtoon": webtoon, "storybook": storybook}).show()

`render_swap` is its callback, a plain function from settings to a picture; in `swap_video` the cut wanders from one end
to the other and back; `share_bars` draws `target_share` alone.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any

import ipywidgets as w
import torch
from PIL import Image
from torch import Tensor

from stylegan2 import display
from stylegan2.editing import videos
from stylegan2.editing.latents import ws_from_seeds
from stylegan2.editing.layer_swapping import cuts, strip, swap, swap_images, target_share
from stylegan2.networks import Generator
from stylegan2.panels.controls import STYLE, choice, float_slider, int_slider, psi_slider, steps_slider
from stylegan2.panels.panel import Panel, with_source

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
    preview: bool = False,
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
        preview: of a face that was not seen, draw the large pictures only: half the time.

    Raises:
        ValueError: an unknown style, a resolution that the models do not have, or an impossible width.
    """
    (left, low), (right, high) = _ends(source, targets, style, reverse)
    shares = target_share(cuts(source.resolution), swap_resolution, width)
    ws = ws_from_seeds(source, [seed], truncation)
    face = (style, seed, truncation, reverse)
    seen = {} if seen is None else seen
    if face not in seen and not preview:
        seen.clear()
        seen[face] = _every_cut(low, high, ws)
    at = seen.get(face) or _only_the_large(low, high, ws, None if width else swap_resolution)
    chosen = f"from {swap_resolution}"
    soft = f", width {width:g}" if width else ""
    swapped = swap(low, high, swap_resolution, width).synthesis(ws, "const") if width else at[chosen]
    large = {left: at["none"], f"swapped {chosen}{soft}": swapped, right: at["from 4"]}
    parts = [_row(large, BETWEEN), _row(at, GAP, chosen), _shares_of(right, shares)]
    return display.stack(parts, gap=8)


def _ends(
    source: Generator, targets: Mapping[str, Generator], style: str, reverse: bool
) -> list[tuple[str, Generator]]:
    """(name, model) below the cut and above it. Raises ValueError for a style that there is not."""
    ends = list(with_source(source, targets, style).items())
    return ends[::-1] if reverse else ends


def _shares_of(right: str, shares: Mapping[int, float]) -> Image.Image:
    return share_bars(shares, WIDTH, f"share of {right} in each resolution")


@torch.no_grad()
def swap_video(
    source: Generator,
    targets: Mapping[str, Generator],
    style: str,
    swap_resolution: int | None = None,
    width: float = 0.0,
    seed: int = 0,
    truncation: float = 0.8,
    reverse: bool = False,
    frames: int = 144,
) -> videos.Lazy:
    """The cut wanders: nothing from the right-hand model, then block by block all of it, and back.

    Between two cuts the weights of one block (with a soft cut: of several) go over from one model to the other in a
    straight line. Above the shares stand the face of the model below the cut, the mixture, and the one above it.

    Arguments and errors are those of `render_swap`, but that all cuts are shown, whatever `swap_resolution` says.
    `frames`: of the whole round, at least two.
    """
    (left, low), (right, high) = _ends(source, targets, style, reverse)
    way, ws = _Way(low, high, width), ws_from_seeds(source, [seed], truncation)
    first, last = (g.synthesis(ws, "const") for g in (low, high))

    @torch.no_grad()
    def picture(position: float) -> Image.Image:
        g, shares = way.at(position)
        large = {left: first, "swapped": g.synthesis(ws, "const"), right: last}
        return display.stack([_row(large, BETWEEN), _shares_of(right, shares)], gap=8)

    return videos.Lazy(picture, videos.there_and_back(0, len(way) - 1, frames))


class _Way:
    """Models from all `low` to all `high`, one cut after the other, and what lies between two of them."""

    def __init__(self, low: Generator, high: Generator, width: float):
        sizes = cuts(low.resolution)
        soft = width > 0  # then the cut at 4 is not quite `high` yet
        self.stops = [None, *reversed(sizes)] + ["all"] * soft
        self.shares = [dict.fromkeys(sizes, 0.0), *(target_share(sizes, r, width) for r in reversed(sizes))]
        self.shares += [dict.fromkeys(sizes, 1.0)] * soft
        self.ends, self.width = {None: low, "all": high}, width
        self.mixture = copy.deepcopy(low)
        self._model = lru_cache(maxsize=2)(self._make)  # the two around a position; the film needs no others

    def __len__(self) -> int:
        return len(self.stops)

    def _make(self, stop: int) -> Mapping[str, Tensor]:
        where = self.stops[stop]
        low, high = self.ends.values()
        g = self.ends[where] if where in self.ends else swap(low, high, where, self.width)
        return g.synthesis.state_dict()

    def at(self, position: float) -> tuple[Generator, dict[int, float]]:
        """The model at 0 (low) to len - 1 (high), the same object every time; and each resolution's share of `high`."""
        stop = min(int(position), len(self) - 2)
        amount = position - stop
        before, after = self._model(stop), self._model(stop + 1)
        for name, tensor in self.mixture.synthesis.state_dict().items():
            torch.lerp(before[name], after[name], amount, out=tensor)
        pairs = zip(self.shares[stop].items(), self.shares[stop + 1].values(), strict=True)
        return self.mixture, {r: a + (b - a) * amount for (r, a), b in pairs}


def _every_cut(low: Generator, high: Generator, ws: Tensor) -> dict[str, Tensor]:
    """{"none": [1, 3, R, R], "from R": ..., ..., "from 4": ...}, named by the first resolution taken from `high`."""
    return dict(zip(_names(low), strip(low, high, ws).values(), strict=True))


def _names(g: Generator) -> list[str]:
    return ["none", *(f"from {r}" for r in reversed(cuts(g.resolution)))]


def _only_the_large(low: Generator, high: Generator, ws: Tensor, cut: int | None) -> dict[str, Tensor | None]:
    """As `_every_cut`, but None for all cuts between the ends except this one."""
    drawn = dict.fromkeys(_names(low)) | {"none": low.synthesis(ws, "const"), "from 4": high.synthesis(ws, "const")}
    return drawn if cut in (None, 4) else drawn | {f"from {cut}": swap_images(low, high, ws, cut)}


def share_bars(shares: Mapping[int, float], width: int = WIDTH, title: str = "", height: int = 36) -> Image.Image:
    """How much of each resolution is the target's, as bars side by side that fill from below.

    Args:
        shares: {resolution: 0 to 1}, of `target_share`.
        width, height: of the picture, and of the bars in it.
        title: a line above.
    """
    size = (width + GAP) // len(shares) - GAP, height
    bars = [Image.new("RGB", size, REST) for _ in shares]
    for bar, share in zip(bars, shares.values(), strict=True):
        bar.paste(TARGET, (0, height - round(share * height), *size))
    words = [f"{resolution}x{resolution}: {share:.0%}" for resolution, share in shares.items()]
    picture = display.table([bars, words], gap=(GAP, 0), band=LINE)
    return display.label(picture, title) if title else picture


def _row(images: Mapping[str, Tensor | None], gap: int, chosen: str | None = None) -> Image.Image:
    """{name: [1, 3, R, R]} side by side, as large as the width allows, below their names; a frame around `chosen`.

    In the place of None there is a plain square.
    """
    side = (WIDTH - gap * (len(images) - 1)) // len(images)
    plain = Image.new("RGB", (side, side), REST)
    faces = {name: plain if image is None else display.sized(image[0], side) for name, image in images.items()}
    if chosen in faces:
        faces[chosen] = display.framed(faces[chosen], TARGET)
    return display.table([list(faces.values())], list(faces), gap=gap, band=LINE)


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
        "truncation": psi_slider(0.8),
        "reverse": w.Checkbox(False, description="exchange the roles", style=STYLE),
    }
    render, video = partial(render_swap, source, targets, seen={}), partial(swap_video, source, targets)
    return Panel(render, controls, "swap", record=record, preview=True, video=video)
