"""The layer-swapping panel: a face from below the cut, swapped, and from above it; all its cuts; who owns what."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import ipywidgets as w
import torch
from PIL import Image
from torch import Tensor

from stylegan2 import display
from stylegan2.editing.latents import ws_from_seeds
from stylegan2.editing.layer_swapping import cuts, strip, swap, swap_images, target_share
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
    """One face, of one code of the source's: source | swapped | target; at every hard cut; each resolution's share.

    Args:
        worlds, style: models, which keep the cuts of the last face; and which of the targets.
        swap_resolution: first resolution taken from the right-hand model.
        width: of the cut in the large middle picture, see `target_share`; the small pictures stay hard cuts.
        seed, truncation: of the face.
        reverse: exchange the roles: the target below the cut (on the left), the source above it.
        preview: of another face than the last, without the other cuts: half the time.

    Raises ValueError for an unknown style, a resolution that the models do not have, or an impossible width.
    """
    models = list(worlds.models(style).items())
    (left, low), (right, high) = reversed(models) if reverse else models
    shares = target_share(cuts(low.resolution), swap_resolution, width)
    ws = ws_from_seeds(worlds.source, [seed], truncation)
    face, chosen = (style, seed, truncation, reverse), f"from {swap_resolution}"
    if preview and not worlds.knows("cuts", face):
        at = dict.fromkeys(["none", *(f"from {r}" for r in reversed(shares))])
        at |= {"none": low.synthesis(ws, "const"), "from 4": high.synthesis(ws, "const")}
        at[chosen] = swap_images(low, high, ws, swap_resolution)
    else:
        at = worlds.latest("cuts", face, lambda: strip(low, high, ws, names=("none", "from 4")))
    soft = f", width {width:g}" if width else ""
    swapped = swap(low, high, swap_resolution, width).synthesis(ws, "const") if width else at[chosen]
    large = {left: at["none"], f"swapped {chosen}{soft}": swapped, right: at["from 4"]}
    bars = share_bars(shares, f"share of {right} in each resolution")
    return display.stack([_row(large, BETWEEN), _row(at, GAP, chosen), bars], gap=8)


def share_bars(shares: Mapping[int, float], title: str = "") -> Image.Image:
    """How much of each resolution is the target's (of `target_share`), as bars side by side that fill from below."""
    size = (WIDTH + GAP) // len(shares) - GAP, BARS
    bars = [Image.new("RGB", size, REST) for _ in shares]
    for bar, share in zip(bars, shares.values(), strict=True):
        bar.paste(TARGET, (0, BARS - round(share * BARS), *size))
    words = [f"{resolution}x{resolution}: {share:.0%}" for resolution, share in shares.items()]
    picture = display.table([bars, words], gap=(GAP, 0), band=LINE)
    return display.label(picture, title) if title else picture


def _row(images: Mapping[str, Tensor | None], gap: int, chosen: str | None = None) -> Image.Image:
    """{name: [1, 3, R, R], or None for a grey square}, scaled to the whole width; a frame around `chosen`."""
    side = (WIDTH - gap * (len(images) - 1)) // len(images)
    grey = Image.new("RGB", (side, side), REST)
    faces = {name: grey if image is None else display.sized(image[0], side) for name, image in images.items()}
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
    return Panel(partial(render_swap, Worlds(source, targets)), controls, "swap", record=record, preview=True)
