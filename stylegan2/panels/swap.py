"""The layer-swapping panel: a face from below the cut, swapped, and from above it; all its cuts; who owns what.

swap_panel(source, {"webtoon": webtoon, "storybook": storybook}).show()
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import ipywidgets as w
import torch
from PIL import Image
from torch import Tensor

from stylegan2 import display
from stylegan2.editing import videos
from stylegan2.editing.latents import ws_from_seeds
from stylegan2.editing.layer_swapping import blend_blocks, cuts, strip, swap, swap_images, target_share
from stylegan2.networks import Generator
from stylegan2.panels.controls import choice, float_slider, int_slider, labelled, psi_slider, steps_slider
from stylegan2.panels.panel import Panel, Worlds, framed

BETWEEN, GAP = 5, 2  # pixels between the large pictures, and between the small ones
WIDTH = 3 * 256 + 2 * BETWEEN  # of the whole
LINE, BARS = 20, 36  # height of a caption, of the bars
TARGET, REST = (122, 92, 255), (226, 226, 232)  # colours of the target's share, and of what is left for the source


@torch.no_grad()
def render_swap(
    worlds: Worlds,
    style: str,
    swap_resolution: int,
    width: float = 0.0,
    seed: int = 0,
    truncation: float = 0.8,
    reverse: bool = False,
    preview: bool = False,
) -> Image.Image:
    """One face: source | swapped | target, below it at every hard cut, below that each resolution's share.

    All pictures are rendered from one code, of the source's mapping, with the fixed noise.

    Args:
        worlds, style: models, which keep the cuts of the last face; and which of the targets.
        swap_resolution: first resolution taken from the right-hand model.
        width: of the cut in the large middle picture, see `target_share`; the small pictures stay hard cuts.
        seed, truncation: of the face.
        reverse: exchange the roles: the target below the cut (on the left), the source above it.
        preview: of another face than the last, render the large pictures only: half the time.

    Raises ValueError for an unknown style, a resolution that the models do not have, or an impossible width.
    """
    (left, low), (right, high) = _ends(worlds, style, reverse)
    shares = target_share(cuts(low.resolution), swap_resolution, width)
    ws = ws_from_seeds(worlds.source, [seed], truncation)
    face = (style, seed, truncation, reverse)
    if preview and not worlds.knows("cuts", face):
        at = _ends_and_cut(low, high, ws, None if width else swap_resolution)
    else:
        at = worlds.latest("cuts", face, lambda: strip(low, high, ws, names=("none", "from 4")))
    chosen = f"from {swap_resolution}"
    soft = f", width {width:g}" if width else ""
    swapped = swap(low, high, swap_resolution, width).synthesis(ws, "const") if width else at[chosen]
    large = {left: at["none"], f"swapped {chosen}{soft}": swapped, right: at["from 4"]}
    return display.stack(
        [_row(large, BETWEEN), _row(at, GAP, chosen), share_bars(shares, f"share of {right} in each resolution")],
        gap=8,
    )


def _ends(worlds: Worlds, style: str, reverse: bool) -> list[tuple[str, Generator]]:
    """(name, model) below the cut and above it. Raises ValueError for an unknown style."""
    ends = list(worlds.models(style).items())
    return ends[::-1] if reverse else ends


def _ends_and_cut(low: Generator, high: Generator, ws: Tensor, cut: int | None) -> dict[str, Tensor | None]:
    """As `strip`, but None for all cuts between the ends except this one."""
    names = ["none", *(f"from {r}" for r in reversed(cuts(low.resolution)))]
    images = dict.fromkeys(names) | {"none": low.synthesis(ws, "const"), "from 4": high.synthesis(ws, "const")}
    return images if cut in (None, 4) else images | {f"from {cut}": swap_images(low, high, ws, cut)}


@torch.no_grad()
def swap_video(
    worlds: Worlds,
    style: str,
    swap_resolution: int | None = None,
    width: float = 0.0,
    seed: int = 0,
    truncation: float = 0.8,
    reverse: bool = False,
    frames: int = 144,
) -> videos.Lazy:
    """The cut moves: nothing from the right-hand model, then block by block all of it, and back.

    Between two cuts the weights of one block (with a soft cut: of several) go over from one model to the other in a
    straight line. Above the shares stand the face of the model below the cut, the mixture, and the one above it.
    Arguments and errors are those of `render_swap`, but all cuts are shown, whatever `swap_resolution` is. `frames`: of
    the whole round, at least two.
    """
    (left, low), (right, high) = _ends(worlds, style, reverse)
    stops, mixture = _stops(cuts(low.resolution), width), swap(low, high, 4)
    ws = ws_from_seeds(worlds.source, [seed], truncation)
    first, last = (g.synthesis(ws, "const") for g in (low, high))

    @torch.no_grad()
    def picture(position: float) -> Image.Image:
        shares = _shares_at(stops, position)
        blend_blocks(mixture, low, high, shares)
        large = {left: first, "swapped": mixture.synthesis(ws, "const"), right: last}
        bars = share_bars(shares, f"share of {right} in each resolution")
        return display.stack([_row(large, BETWEEN), bars], gap=8)

    return videos.Lazy(picture, videos.there_and_back(0, len(stops) - 1, frames))


def _stops(sizes: Sequence[int], width: float) -> list[dict[int, float]]:
    """The shares of each resolution without a cut, at every cut, and with all of the model on the right."""
    stops = [dict.fromkeys(sizes, 0.0), *(target_share(sizes, r, width) for r in reversed(sizes))]
    return [*stops, dict.fromkeys(sizes, 1.0)] if width else stops  # a hard cut at 4 takes all of it


def _shares_at(stops: Sequence[Mapping[int, float]], position: float) -> dict[int, float]:
    """Shares between two stops, which are 0 to len - 1."""
    stop = min(int(position), len(stops) - 2)
    pairs = zip(stops[stop].items(), stops[stop + 1].values(), strict=True)
    return {r: a + (b - a) * (position - stop) for (r, a), b in pairs}


def share_bars(shares: Mapping[int, float], title: str = "") -> Image.Image:
    """How much of each resolution is the target's, as bars side by side that fill from below.

    `shares`: {resolution: 0 to 1}, of `target_share`. `title`: a line above.
    """
    size = (WIDTH + GAP) // len(shares) - GAP, BARS
    bars = [Image.new("RGB", size, REST) for _ in shares]
    for bar, share in zip(bars, shares.values(), strict=True):
        bar.paste(TARGET, (0, BARS - round(share * BARS), *size))
    words = [f"{resolution}x{resolution}: {share:.0%}" for resolution, share in shares.items()]
    picture = display.table([bars, words], gap=(GAP, 0), band=LINE)
    return display.label(picture, title) if title else picture


def _row(images: Mapping[str, Tensor | None], gap: int, chosen: str | None = None) -> Image.Image:
    """{name: [1, 3, R, R], or None for a plain square}, scaled to the whole width; a frame around `chosen`."""
    side = (WIDTH - gap * (len(images) - 1)) // len(images)
    plain = Image.new("RGB", (side, side), REST)
    faces = {name: plain if image is None else display.sized(image[0], side) for name, image in images.items()}
    if chosen in faces:
        faces[chosen] = framed(faces[chosen], TARGET)
    return display.table([list(faces.values())], list(faces), gap=gap, band=LINE)


def swap_panel(source: Generator, targets: Mapping[str, Generator], record: Mapping[str, Any] | None = None) -> Panel:
    """Swap layers live: style, cut, its width, the face, and which of the two models lies below the cut."""
    sizes, help = cuts(source.resolution), "first resolution taken from the model on the right"
    controls = {
        "style": choice("style", list(targets)),
        "swap_resolution": steps_slider("swap from", sizes, sizes[len(sizes) // 2], help),
        "width": float_slider("width", 0.0, 0.0, 2.0, 0.1, "0: a hard cut; above: the blocks around it are blended"),
        "seed": int_slider("seed", 14, 0, 999, "which face"),
        "truncation": psi_slider(0.8),
        "reverse": w.Checkbox(False, **labelled("exchange the roles")),
    }
    render, video = (partial(function, Worlds(source, targets)) for function in (render_swap, swap_video))
    return Panel(render, controls, "swap", record=record, preview=True, video=video)
