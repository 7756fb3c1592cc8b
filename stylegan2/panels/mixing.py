"""The style-mixing panel: faces of two sets of seeds, and what becomes of them when chosen layers change hands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import ipywidgets as w
import torch
from PIL import Image
from traitlets import TraitError, Tuple, validate

from stylegan2 import display
from stylegan2.editing.latents import ws_from_seeds
from stylegan2.editing.layers import layer_presets
from stylegan2.editing.style_mixing import Layers, MixGrid, layer_label, layers_name, mix_images, render_ends
from stylegan2.networks import Generator
from stylegan2.panels.controls import choice, int_slider, labelled, psi_slider
from stylegan2.panels.panel import SOURCE, Panel, Worlds, pick

ROWS, COLUMNS = 2, 3  # of mixes: few, so that rendering stays below 0.1 s on one core
BLANK = 0.78  # light grey, of images in [-1, 1]: what a preview leaves out
SIDE = 128  # pixels of a face, about


def render_mixing(
    worlds: Worlds,
    style: str,
    layers: Layers,
    channels: tuple[int, int] | None = None,
    row_seed: int = 1,
    column_seed: int = 10,
    truncation: float = 0.7,
    preview: bool = False,
) -> Image.Image:
    """Mixes of faces in rows and columns, the faces themselves beside and above them, all of the source's mapping.

    Where a target renders the mixes, every face at the ends is rendered by both.

    Args:
        worlds: models, which keep the last faces at the ends.
        style: which model renders the mixes: one of the targets, or "photo" for the source.
        layers: taken from the columns' faces, see `style_mixing.mix`.
        channels: first and last component of those layers' codes that are exchanged; None: all.
        row_seed, column_seed, truncation: the first of consecutive seeds, and psi.
        preview: the first row of mixes, and of the ends what is known already; grey squares for the others.

    Raises ValueError for an unknown style, or layers or channels that the model does not have.
    """
    source, g = worlds.source, pick("style", style, {SOURCE: worlds.source, **worlds.targets})
    models = [source] if style == SOURCE else [source, g]
    seeds = {"rows": range(row_seed, row_seed + ROWS), "columns": range(column_seed, column_seed + COLUMNS)}
    ws = {side: ws_from_seeds(source, numbers, truncation) for side, numbers in seeds.items()}
    blank = torch.full((1, 3, source.resolution, source.resolution), BLANK, device=source.mapping.w_mean.device)
    ends = {}
    for side, codes in ws.items():
        faces = (style, *seeds[side], truncation)
        if preview and not worlds.knows(side, faces):
            ends[side] = blank.expand(len(models), len(codes), -1, -1, -1)
        else:
            ends[side] = worlds.latest(side, faces, partial(render_ends, models, codes))
    part = None if channels in (None, (0, source.w_dim - 1)) else range(channels[0], channels[1] + 1)
    rows = 1 if preview else ROWS
    mixes = mix_images(g, ws["rows"][:rows], ws["columns"], layers, part)
    mixes = torch.cat([mixes, blank.expand(ROWS - rows, COLUMNS, -1, -1, -1)])
    picture = MixGrid(mixes, **ends).picture(list(seeds["rows"]), list(seeds["columns"]), side=SIDE)
    name = layers_name(layers, source.num_ws)
    words = [f"layers {name}" if name else "nothing"]
    words += [f"channels {part[0]}-{part[-1]} only"] if part else []
    return display.label(picture, f"drawn by {style}; from the columns: {', '.join(words)}")


class LayerBoxes(w.VBox):
    """A box to tick for each of `num_ws` layers, and buttons that tick a preset's boxes.

    `value`: numbers of the ticked layers, ascending; it may be set. Raises TraitError for unknown layers.
    """

    value = Tuple()

    def __init__(self, num_ws: int, value: Sequence[int] = ()):
        presets = layer_presets(num_ws) | {"none": ()}
        buttons = [w.Button(description=name, layout=w.Layout(width="auto")) for name in presets]
        narrow = w.Layout(width="104px")
        labels = [layer_label(i, num_ws) for i in range(num_ws)]
        self.boxes = [w.Checkbox(False, description=text, indent=False, layout=narrow) for text in labels]
        wrap = w.Layout(flex_flow="row wrap", width="330px")
        super().__init__([w.HBox(buttons), w.HBox(self.boxes, layout=wrap)])
        self.value = value
        for button in buttons:
            button.on_click(lambda pressed: self.set_trait("value", presets[pressed.description]))
        for i, box in enumerate(self.boxes):
            self._link(i, box)

    def _link(self, layer: int, box: w.Checkbox) -> None:
        def ticked_layers(ticked: bool) -> tuple[int, ...]:
            return tuple({*self.value, layer} if ticked else {*self.value} - {layer})

        w.link((self, "value"), (box, "value"), (lambda layers: layer in layers, ticked_layers))

    @validate("value")
    def _known(self, proposal: Mapping[str, Any]) -> tuple[int, ...]:
        layers = range(len(self.boxes))
        if any(isinstance(i, bool) or i not in layers for i in proposal["value"]):
            raise TraitError(f"layers {proposal['value']}: expected numbers from 0 to {layers[-1]}")
        return tuple(sorted(set(proposal["value"])))


def mixing_panel(source: Generator, targets: Mapping[str, Generator], record: Mapping[str, Any] | None = None) -> Panel:
    """Mix faces live: which layers, which part of their codes, whose faces, and which model renders the mixes."""
    last = source.w_dim - 1
    controls = {
        "style": choice("drawn by", [SOURCE, *targets]),
        "layers": LayerBoxes(source.num_ws, layer_presets(source.num_ws)["coarse"]),
        "channels": w.IntRangeSlider(value=(0, last), max=last, **labelled("channels", "components of each code")),
        "row_seed": int_slider("rows from", 1, 0, 999, "seed of the first row"),
        "column_seed": int_slider("columns from", 10, 0, 999, "seed of the first column"),
        "truncation": psi_slider(0.7),
    }
    return Panel(partial(render_mixing, Worlds(source, targets)), controls, "mixing", record=record, preview=True)
