"""The style panel: a drawing, how long to learn from it, a button; then how strongly faces are drawn like it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import ipywidgets as w
import torch
from PIL import Image
from torch import Tensor

from stylegan2 import display
from stylegan2.editing.cartoonize import cartoonize
from stylegan2.editing.jojogan import StyleConfig, stylize_steps
from stylegan2.editing.latents import render
from stylegan2.networks import Discriminator, Generator
from stylegan2.panels.controls import choice, float_slider, int_slider
from stylegan2.panels.panel import Panel, pick

SIDE = 128  # pixels of a face, about and at least
ASKED = ("drawing", "iterations", "keep_colours")  # what a style depends on
Drawings = Mapping[str, tuple[Tensor, Tensor]]  # by name: [3, R, R] in [-1, 1], and codes [1, L, w_dim]
Styles = dict[tuple, Generator]  # by the values of ASKED


def render_style(
    source: Generator, drawings: Drawings, faces: Tensor, styles: Styles, strength: float = 1.0, **asked: Any
) -> Image.Image:
    """A drawing, faces of the source (codes [N, L, w_dim]), and the same in the style learnt with these settings.

    Where there is none yet, the last row says so. Raises ValueError for an unknown drawing, or an impossible strength.
    """
    drawing, ws = pick("drawing", asked["drawing"], drawings)
    style = styles.get(tuple(asked[name] for name in ASKED), source)
    row = "in this style" if style is not source else "press Learn"
    styled = cartoonize(source, {"": style}, torch.cat([ws, faces]), strength=strength)[""]
    top = torch.cat([drawing[None], render(source, ws), styled[:1]])
    return display.rows({"drawing, found, learnt": top, "faces": render(source, faces), row: styled[1:]}, side=SIDE)


class StylePanel(Panel):
    """Learn a style from a drawing, live, and keep it; ■ in the notebook's bar stops early, and keeps what was learnt
    as a style of so many iterations. `styles` were learnt already, the first is shown.
    """

    def __init__(
        self, source: Generator, d: Discriminator, drawings: Drawings, faces: Tensor, styles: Styles, record=None
    ):
        self.source, self.d, self.drawings, self.styles = source, d, drawings, dict(styles)
        first = next(iter(styles), (next(iter(drawings)), StyleConfig.iterations, False))
        controls = {
            "drawing": choice("drawing", list(drawings), first[0]),
            "iterations": int_slider("iterations", first[1], 1, 500, "of learning; the paper: 200 to 500"),
            "keep_colours": w.Checkbox(first[2], description="keep colours"),
            "strength": float_slider("strength", 1, 0, 1, 0.05, "alpha: 0 the source, 1 the style"),
        }
        show = partial(render_style, source, drawings, faces, self.styles)
        super().__init__(show, controls, "style", record=record, above=[self._button("Learn", self.learn, "pencil")])

    def learn(self) -> None:
        """Learn with the controls as they stand, unless that was done, and show it."""
        name, iterations, keep_colours = key = tuple(self.settings[name] for name in ASKED)
        drawing, ws = self.drawings[name]
        config, done = StyleConfig(iterations=iterations, keep_colours=keep_colours), 0
        steps = () if key in self.styles else stylize_steps(self.source, self.d, drawing[None], ws, config)
        try:
            for style, row in self.watch(steps, "steps", iterations):  # noqa: B007  (the last is kept)
                done = row["step"] + 1
        except KeyboardInterrupt:
            pass
        if done:
            self.styles[name, done, keep_colours] = style
            with self._silence():
                self.controls["iterations"].value = done
        self.update()


style_panel = StylePanel  # the name by which notebooks call it, as with the panels that are functions
