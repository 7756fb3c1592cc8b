"""The style-mixing panel: faces of two sets of seeds, and what becomes of them when chosen layers change hands.

    mixing_panel(source, {"webtoon": webtoon, "storybook": storybook}).show()

A column gives the layers whose boxes are ticked, a row all the others. `render_mixing` is the callback, a plain
function from settings to a picture; `mix_video` blends the ticked layers over and back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import ipywidgets as w
import torch
from PIL import Image
from torch import Tensor
from traitlets import TraitError, Tuple, observe, validate

from stylegan2 import display
from stylegan2.editing import videos
from stylegan2.editing.latents import ws_from_seeds
from stylegan2.editing.layers import layer_presets
from stylegan2.editing.style_mixing import Layers, MixGrid, layer_label, layers_name, mix_images, render_ends
from stylegan2.networks import Generator
from stylegan2.panels.controls import STYLE, choice, int_slider, psi_slider, tip
from stylegan2.panels.panel import SOURCE, Panel, pick

ROWS, COLUMNS = 2, 3  # of mixes: few, so that a redraw stays below 0.1 s on one core
BLANK = 0.78  # light grey, of images in [-1, 1]: what a preview leaves out
SIDE = 128  # pixels of a face, about


def render_mixing(
    source: Generator,
    targets: Mapping[str, Generator],
    style: str,
    layers: Layers,
    channels: tuple[int, int] | None = None,
    row_seed: int = 1,
    column_seed: int = 10,
    truncation: float = 0.7,
    rows: int = ROWS,
    columns: int = COLUMNS,
    amount: float = 1.0,
    seen: dict[str, tuple[tuple, Tensor]] | None = None,
    preview: bool = False,
) -> Image.Image:
    """Mixes of faces in rows and columns, the faces themselves beside and above them.

    All codes are of the source's mapping. Where a target draws the mixes, every face at the ends is drawn twice: by the
    source, and by the target.

    Args:
        source: a generator.
        targets: generators fine-tuned from it, by name.
        style: who draws the mixes: one of the targets, or "photo" for the source.
        layers: from the columns' faces, see `style_mixing.mix`.
        channels: first and last component of those layers' codes that are exchanged; None: all.
        row_seed, column_seed: the first of consecutive seeds.
        truncation: psi.
        rows, columns: how many faces.
        amount: 1 takes the columns' codes, 0 keeps the rows', between them lies a blend.
        seen: keeps the faces at the ends between calls, so that other layers draw the mixes only.
        preview: draw the first row of mixes only, and no ends that were not seen: grey squares are in their place.

    Raises:
        ValueError: an unknown style, or layers or channels that the model does not have.
    """
    drawer = pick("style", style, {SOURCE: source, **targets})
    drawers = [source] if style == SOURCE else [source, drawer]
    seeds = {"rows": range(row_seed, row_seed + rows), "columns": range(column_seed, column_seed + columns)}
    ws = {side: ws_from_seeds(source, numbers, truncation) for side, numbers in seeds.items()}
    seen, ends = {} if seen is None else seen, {}
    for side, codes in ws.items():
        faces = (style, *seeds[side], truncation)
        if seen.get(side, ())[:1] == (faces,):
            ends[side] = seen[side][1]
        elif preview:
            ends[side] = _blank(source, len(drawers), len(codes))
        else:
            ends[side] = render_ends(drawers, codes)
            seen[side] = faces, ends[side]
    part = None if channels in (None, (0, source.w_dim - 1)) else range(channels[0], channels[1] + 1)
    first = ws["rows"][: 1 if preview else rows]
    mixes = mix_images(drawer, first, ws["columns"], layers, part, amount=amount)
    grid = MixGrid(torch.cat([mixes, _blank(source, rows - len(first), columns)]), ends["rows"], ends["columns"])
    picture = grid.picture(list(seeds["rows"]), list(seeds["columns"]), side=SIDE)
    return display.label(picture, _caption(style, layers_name(layers, source.num_ws), part, amount))


def _blank(g: Generator, *counts: int) -> Tensor:
    """Grey squares as large as a generator's images, [*counts, 3, R, R]."""
    return torch.full((*counts, 3, g.resolution, g.resolution), BLANK, device=g.mapping.w_mean.device)


def _caption(style: str, layers: str, channels: range | None, amount: float) -> str:
    parts = [f"layers {layers}" if layers else "nothing"]
    parts += [f"channels {channels[0]}-{channels[-1]} only"] if channels else []
    parts += [f"{amount:.0%} of the way"] if amount != 1 else []
    return f"drawn by {style}; from the columns: {', '.join(parts)}"


def mix_video(
    source: Generator, targets: Mapping[str, Generator], frames: int = 72, seen: dict | None = None, **settings
) -> videos.Lazy:
    """The chosen layers go from the rows' faces over to the columns' and back, in a straight line of codes.

    Arguments and errors are those of `render_mixing`; `amount` is what changes. `frames`: of the whole
    round, at least two.
    """
    seen = {} if seen is None else seen
    draw = partial(render_mixing, source, targets, **settings, seen=seen)
    return videos.Lazy(lambda amount: draw(amount=amount), videos.there_and_back(0, 1, frames))


class LayerBoxes(w.VBox):
    """A box to tick for every layer, and buttons that tick a preset's boxes.

    Args:
        num_ws: how many layers.
        value: which of them are ticked at first.

    Attributes:
        value: numbers of the ticked layers, ascending; may be set. TraitError for layers that there are not.
    """

    value = Tuple()

    def __init__(self, num_ws: int, value: Sequence[int] = ()):
        self._following = False  # are the boxes just being set to `value`?
        self.presets = layer_presets(num_ws) | {"none": ()}
        self.boxes = [self._box(layer_label(i, num_ws)) for i in range(num_ws)]
        wrap = w.Layout(flex_flow="row wrap", width="330px")
        super().__init__([w.HBox([*map(self._button, self.presets)]), w.HBox(self.boxes, layout=wrap)])
        self.value = value

    def _box(self, text: str) -> w.Checkbox:
        box = w.Checkbox(False, description=text, indent=False, layout=w.Layout(width="104px"))
        box.observe(self._ticked, "value")
        return box

    def _button(self, preset: str) -> w.Button:
        button = w.Button(description=preset, layout=w.Layout(width="auto"))
        button.on_click(lambda _: self.set_trait("value", self.presets[preset]))
        return button

    def _ticked(self, _) -> None:
        if not self._following:
            self.value = tuple(i for i, box in enumerate(self.boxes) if box.value)

    @observe("value")
    def _follow(self, change: Mapping[str, Any]) -> None:
        self._following = True
        for i, box in enumerate(self.boxes):
            box.value = i in change["new"]
        self._following = False

    @validate("value")
    def _known(self, proposal: Mapping[str, Any]) -> tuple[int, ...]:
        layers = range(len(self.boxes))
        if any(isinstance(i, bool) or i not in layers for i in proposal["value"]):
            raise TraitError(f"layers {proposal['value']}: expected numbers from 0 to {layers[-1]}")
        return tuple(sorted(set(proposal["value"])))


def mixing_panel(
    source: Generator,
    targets: Mapping[str, Generator],
    record: Mapping[str, Any] | None = None,
    rows: int = ROWS,
    columns: int = COLUMNS,
) -> Panel:
    """Mix faces live: which layers, which part of their codes, whose faces, and which model draws the mixes.

    Args:
        source: makes all codes.
        targets: generators fine-tuned from it, by name.
        record: what says exactly which models these are, for "Copy settings"; see `Course.record`.
        rows, columns: how many faces; a redraw takes about as long as their product.
    """
    last = source.w_dim - 1
    controls = {
        "style": choice("drawn by", [SOURCE, *targets]),
        "layers": LayerBoxes(source.num_ws, layer_presets(source.num_ws)["coarse"]),
        "channels": w.IntRangeSlider(
            value=(0, last), min=0, max=last, description="channels", style=STYLE, **tip("components of each code")
        ),
        "row_seed": int_slider("rows from", 1, 0, 999, "seed of the first row"),
        "column_seed": int_slider("columns from", 10, 0, 999, "seed of the first column"),
        "truncation": psi_slider(0.7),
    }
    seen: dict = {}
    settings = {"rows": rows, "columns": columns, "seen": seen}
    render, video = (partial(draw, source, targets, **settings) for draw in (render_mixing, mix_video))
    return Panel(render, controls, "mixing", record=record, preview=True, video=video)
