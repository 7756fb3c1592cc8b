"""The sentence panel: two texts, a button; then how strongly faces become what the second one says."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from html import escape
from typing import Any

from PIL import Image
from torch import Tensor

from stylegan2 import display
from stylegan2.editing.cartoonize import cartoonize
from stylegan2.editing.latents import render
from stylegan2.editing.nada import Learning, NadaConfig
from stylegan2.networks import Generator
from stylegan2.panels.controls import float_slider, int_slider, text_field
from stylegan2.panels.panel import Panel
from stylegan2.panels.style import SIDE
from stylegan2.published.clip_model import ClipModel

ASKED = ("text", "from_text", "iterations")  # what a style depends on
Styles = dict[tuple, Generator]  # by the values of ASKED


def render_sentence(
    source: Generator, faces: Tensor, styles: Styles, strength: float = 1.0, **asked: Any
) -> Image.Image:
    """Faces of the source (codes [N, L, w_dim]), and the same in the style learnt with these settings.

    Where there is none yet, the last row says so. Raises ValueError for an impossible strength.
    """
    style = styles.get(tuple(asked[name] for name in ASKED))
    row = asked["text"] if style is not None else "press Learn"
    styled = cartoonize(source, {"": style or source}, faces, strength=strength)[""]
    return display.rows({asked["from_text"]: render(source, faces), row: styled}, side=SIDE)


class SentencePanel(Panel):
    """Learn a style from a sentence, live, and keep it; ■ in the notebook's bar stops early, and keeps the best by then
    as a style of so many iterations. `styles` were learnt already, the first is shown; `settings`: of `NadaConfig`.
    """

    def __init__(
        self,
        source: Generator,
        clips: Sequence[ClipModel],
        faces: Tensor,
        styles: Styles | None = None,
        settings: dict[str, Any] | None = None,
        record=None,
    ):
        self.source, self.clips, self.styles, self.fixed = source, clips, dict(styles or {}), settings or {}
        first = next(iter(self.styles), ("webtoon drawing", NadaConfig.source, 100))
        controls = {
            "text": text_field("text", first[0], "what the pictures should be"),
            "from_text": text_field("from", first[1], "what the source's pictures are"),
            "iterations": int_slider("iterations", first[2], 1, 500, "of learning, at most"),
            "strength": float_slider("strength", 1, 0, 1, 0.05, "0 the source, 1 the style"),
        }
        show = partial(render_sentence, source, faces, self.styles)
        super().__init__(show, controls, "sentence", record=record, above=[self._button("Learn", self.learn, "pencil")])

    def learn(self) -> None:
        """Learn with the controls as they stand, unless that was done, and show it."""
        key = text, from_text, iterations = tuple(self.settings[name] for name in ASKED)
        if key in self.styles:
            return self.update()
        learning = Learning(self.source, self.clips, NadaConfig(*key, **self.fixed))
        try:
            list(self.watch(learning, "steps", iterations))
        except KeyboardInterrupt:
            learning.keep()
        if learning.history:
            done = iterations if learning.collapsed else len(learning.history)
            self.styles[text, from_text, done] = learning.best
            with self._silence():
                self.controls["iterations"].value = done
            self.update()
            self.message.value = escape(learning.describe(), False)


sentence_panel = SentencePanel  # the name by which notebooks call it, as with the panels that are functions
