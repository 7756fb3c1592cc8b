"""Style mixing: some layers' codes from one face, the others from another (arXiv 1812.04948, section 3.1).

    mix_grid(g, ws_from_seeds(g, range(3)), ws_from_seeds(g, range(10, 14)), "coarse").picture()

A column gives the chosen layers, a row everything else. With `channels` only some components of their codes are
exchanged (the authors of arXiv 2106.12445 cut at 10 of 512). Unlike layers, these have no order and no meaning each:
exchanging half of them acts like a blend half way (notebook 09, section 7).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from PIL import Image
from torch import Tensor

from stylegan2 import display
from stylegan2.editing.latents import check_fits, finish, in_parts, render, slices
from stylegan2.editing.layers import parse_layers
from stylegan2.networks import Generator, Stage

BATCH = 16  # images rendered at once
GAP, EDGE, LINE = 2, 8, 20  # pixels: between faces, between the ends and the mixes, height of a line of text

Layers = str | Sequence[int]


# ------------------------------------------------------------------------------------------------------------- codes
def mix(
    ws_row: Tensor, ws_col: Tensor, layers: Layers, channels: Sequence[int] | None = None, amount: float = 1.0
) -> Tensor:
    """The row's codes, with the column's in the chosen layers: [..., L, w_dim] each; leading sizes are broadcast.

    layers: see `parse_layers`; an empty tuple exchanges nothing. channels: only these components of the chosen codes, 0
    to w_dim - 1; None: all. amount: 1 takes the column's, 0 keeps the row's, between them lies a straight blend.

    Raises ValueError for codes of different L or w_dim, or layers or channels that they do not have.
    """
    if ws_row.shape[-2:] != ws_col.shape[-2:]:
        raise ValueError(
            f"the rows' codes are {list(ws_row.shape)} and the columns' {list(ws_col.shape)}: the number of layers and "
            "w_dim must be the same, as between a model and one fine-tuned from it"
        )
    num_ws, w_dim = ws_row.shape[-2:]
    channels = list(range(w_dim) if channels is None else channels)
    if not channels or not set(channels) <= set(range(w_dim)):
        raise ValueError(f"channels {channels}: expected some of 0 to {w_dim - 1}, the components of this model's w")
    share = ws_row.new_zeros(num_ws, w_dim)
    for layer in _numbers(layers, num_ws):
        share[layer, channels] = amount
    return torch.lerp(ws_row, ws_col, share)  # exact at 0 and 1


def _numbers(layers: Layers, num_ws: int) -> tuple[int, ...]:
    """As `parse_layers`, but no layers at all may be given as an empty tuple."""
    return () if not isinstance(layers, str) and len(layers) == 0 else parse_layers(layers, num_ws)


def layers_name(layers: Layers, num_ws: int) -> str:
    """ "3", "0-4" or "2, 5-7" for layers as `mix` takes them; "" for none."""
    numbers = _numbers(layers, num_ws)
    starts = [i for i in numbers if i - 1 not in numbers]
    ends = [i for i in numbers if i + 1 not in numbers]
    return ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True))


def layer_label(layer: int, num_ws: int) -> str:
    """A layer and the resolution it drives, "3: 16x16"; the last code drives no convolution, only the last tRGB."""
    side = 4 * 2 ** ((layer + 1) // 2)
    return f"{layer}: colours" if layer == num_ws - 1 else f"{layer}: {side}x{side}"


# ------------------------------------------------------------------------------------------------------------ images
@torch.no_grad()
def mix_images(
    g: Generator, row_ws: Tensor, col_ws: Tensor, layers: Layers, channels: Sequence[int] | None = None
) -> Tensor:
    """Every row's face mixed with every column's, [R, L, w_dim] and [C, L, w_dim]: [R, C, 3, H, W], about in [-1, 1].

    What lies below the first exchanged layer is rendered once for a row, with fixed noise. See `mix`, also for errors.
    """
    if row_ws.ndim != 3 or col_ws.ndim != 3:
        raise ValueError(f"codes must be [N, L, w_dim], got {list(row_ws.shape)} and {list(col_ws.shape)}")
    mixed = mix(row_ws[:, None], col_ws[None], layers, channels)  # [R, C, L, w_dim]
    first = min(_numbers(layers, row_ws.shape[1]), default=row_ws.shape[1])
    shared = min(first // 2, len(g.synthesis.resolutions) - 1)  # blocks; block i uses codes up to 2 i + 1
    parts = slices(len(row_ws), BATCH // max(1, len(col_ws)))  # of rows
    return torch.cat([_render_rows(g, row_ws[rows], mixed[rows], shared) for rows in parts])


def _render_rows(g: Generator, row_ws: Tensor, mixed: Tensor, shared: int) -> Tensor:
    """Codes [R, C, L, w_dim], which no block below `shared` tells from row_ws [R, L, w_dim] -> [R, C, 3, H, W]."""
    stages = list(islice(g.synthesis.stages(row_ws, "const"), shared))
    codes, whose = mixed.flatten(0, 1), torch.arange(len(row_ws)).repeat_interleave(mixed.shape[1])

    def rendered(part: slice) -> Tensor:
        rows = whose[part]
        after = Stage(stages[-1].resolution, stages[-1].x[rows], stages[-1].rgb[rows]) if stages else None
        return finish(g, codes[part], after)

    return in_parts(g.synthesis, len(codes), rendered).unflatten(0, mixed.shape[:2])


@dataclass(frozen=True)
class MixGrid:
    """Mixes and the faces that they were made of, rendered by each of K generators; images about in [-1, 1]."""

    images: Tensor  # [R, C, 3, H, W]
    rows: Tensor  # [K, R, 3, H, W]
    columns: Tensor  # [K, C, 3, H, W]

    def picture(
        self, row_names: Sequence = (), column_names: Sequence = (), scale: int = 1, side: int | None = None
    ) -> Image.Image:
        """The columns' faces on top, the rows' on the left, every mix where two meet; sizes as in `display.grid`."""
        corner = [None] * (len(self.rows) + 1)  # beside each other: the rows' ends, and the space before the mixes
        space = Image.new("RGB", (EDGE - 2 * GAP,) * 2, display.PAPER)

        def faces(images: Tensor) -> list[Image.Image]:
            return [display.to_pil(image, scale, side) for image in display.to_uint8(images)]

        cells = [[*corner, *faces(ends)] for ends in self.columns] + [[space]]
        pairs = zip(self.rows.unbind(1), self.images, strict=True)
        cells += [[*faces(ends), space, *faces(mixes)] for ends, mixes in pairs]
        columns = [*[""] * len(corner), *map(str, column_names)] if column_names else ()
        rows = [*[""] * (len(self.columns) + 1), *map(str, row_names)] if row_names else ()
        return display.table(cells, columns, rows, gap=GAP, band=LINE)


@torch.no_grad()
def mix_grid(
    g: Generator, row_ws: Tensor, col_ws: Tensor, layers: Layers, channels=None, ends: Sequence[Generator] = ()
) -> MixGrid:
    """All mixes of rows and columns, with their ends. Arguments and errors as those of `mix_images`.

    `ends` render the rows' and columns' own faces; (): `g` alone. To mix across domains, give codes of the source's
    mapping, a target as `g`, and both as `ends`.
    """
    for model in (g, *ends):
        check_fits(model, row_ws)
    images = mix_images(g, row_ws, col_ws, layers, channels)
    rows, columns = (render_ends(ends or (g,), ws) for ws in (row_ws, col_ws))
    return MixGrid(images, rows, columns)


@torch.no_grad()
def render_ends(models: Sequence[Generator], ws: Tensor) -> Tensor:
    """The same codes through K models: [N, L, w_dim] -> [K, N, 3, H, W]."""
    return torch.stack([render(g, ws, batch=BATCH) for g in models])
