"""The text panel: write what a face should show, press Edit, and then choose how strongly.

The optimisation takes seconds: it runs when its button is pressed, shows its images meanwhile, and can be stopped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

import ipywidgets as w
import torch
from PIL import Image, ImageDraw

from stylegan2 import display
from stylegan2.editing import videos
from stylegan2.editing.latents import ws_from_seeds
from stylegan2.editing.layers import layer_presets
from stylegan2.editing.optimise import INTERRUPTED
from stylegan2.editing.styleclip import EditConfig, Optimisation, TextEdit
from stylegan2.networks import Generator
from stylegan2.panels.controls import choice, float_slider, int_slider, parse_settings, psi_slider, text_field
from stylegan2.panels.panel import LIVE_QUALITY, Panel, Worlds, jpeg_bytes
from stylegan2.published.clip_model import ClipModel

SIDE, GAP, LINE = 256, 4, 20  # pixels: of a picture, between pictures, of a caption
PLOT = 56  # height of the loss plot
CURVE = (122, 92, 255)
FACE = ("seed", "truncation")  # settings that choose the face
ASKED = ("text", "neutral", "layers", "steps", "l2", "keep", "found_on", *FACE)  # all that an edit depends on
THIS_FACE, MANY_FACES = "this face", "16 faces"  # what an edit is found on; one way for many fits every face
MANY = range(16)  # their seeds
SHOW_EVERY = 4  # steps between two pictures of an optimisation under way


@dataclass
class Scene(Worlds):
    """What the panel can show."""

    clip: ClipModel
    edits: dict[tuple, TextEdit] = field(default_factory=dict)  # also stopped ones, by `key`: none is made twice


def config_of(text: str, neutral: str = "", found_on: str = THIS_FACE, **settings: Any) -> EditConfig:
    """The controls' values as settings of an edit; an empty neutral text is none, and `FACE` is left out."""
    settings = {name: value for name, value in settings.items() if name not in FACE}
    return EditConfig(text, neutral.strip() or None, together=found_on == MANY_FACES, **settings)


def key(asked: Mapping[str, Any]) -> tuple:
    """What tells one edit from another: found on many faces, it is the same for every seed."""
    return tuple(asked[name] for name in ASKED if name != "seed" or asked["found_on"] == THIS_FACE)


def editing(scene: Scene, **asked: Any) -> Iterator[Optimisation]:
    """Optimise for these settings (`ASKED`) step by step, unless that was done; at its end, or where it is stopped, the
    edit is in the scene."""
    if (known := scene.edits.get(key(asked))) and known.stopped != INTERRUPTED:
        return
    config = config_of(**asked)
    seeds = MANY if config.together else [asked["seed"]]
    ws = ws_from_seeds(scene.source, seeds, asked["truncation"])
    run = Optimisation(scene.source, scene.clip, ws, config)
    try:
        while not run.stopped:
            run.step()
            yield run
    except (GeneratorExit, KeyboardInterrupt):
        pass  # what there is by then is the edit
    scene.edits[key(asked)] = run.edit("" if run.stopped else INTERRUPTED)


def edit_for(scene: Scene, most: int | None = None, **asked: Any) -> TextEdit:
    """The edit of these settings, made as `editing` says; `most`: steps, None: as many as it takes."""
    with closing(editing(scene, **asked)) as steps:
        list(islice(steps, most))
    return scene.edits[key(asked)]


@torch.no_grad()
def render_text(scene: Scene, style: str, strength: float = 1.0, **asked: Any) -> Image.Image:
    """The face before and after the edit, in the source and in one style, above the curve of the loss.

    Where the edit of these settings (`ASKED`) is not there yet, the face is shown as it is: see `edit_for`. `strength`:
    see `TextEdit.at`. Raises ValueError for an unknown style, or settings that make no edit.
    """
    config_of(**asked)  # refuses impossible settings
    edit, face = scene.edits.get(key(asked)), (asked["seed"], asked["truncation"])
    start = ws_from_seeds(scene.source, [asked["seed"]], asked["truncation"])
    words, rows = "press Edit" if edit is None else f"{asked['text']}, {strength:+.2f}", []
    for name, g in scene.models(style).items():
        before = after = scene.latest(f"{name}, before", face, partial(g.synthesis, start, "const"))[0]
        if edit is not None:
            after = g.synthesis(edit.onto(start, strength), "const")[0]
        titles = [f"{name}, before", f"{name}: {words}"]
        rows.append(display.table([[before, after]], titles, gap=GAP, band=LINE, side=SIDE))
    picture = display.stack(rows, gap=0)
    return picture if edit is None else display.stack([picture, loss_strip(edit, picture.width)], gap=4)


def loss_strip(edit: TextEdit, width: int) -> Image.Image:
    """The loss over the steps as a small curve, with how the optimisation ended."""
    canvas = Image.new("RGB", (width, PLOT), display.PAPER)
    pen, losses = ImageDraw.Draw(canvas), [row["loss"] for row in edit.history]
    if not losses:
        return canvas
    low, high = min(losses), max(losses)
    right, down = (width - 9) / max(1, len(losses) - 1), (PLOT - 27) / max(high - low, 1e-9)
    pen.line([(4 + i * right, 22 + down * (high - loss)) for i, loss in enumerate(losses)], CURVE, 2)
    words = f"loss {losses[0]:.3f} to {losses[-1]:.3f} in {len(losses)} steps, {edit.stopped}"
    pen.text((4, 8), words, display.INK, display.font(), anchor="lm")
    return canvas


class TextPanel(Panel):
    """Edit a face by a text, live: prompt, neutral text, layers, steps; then the strength, in two worlds.

    Found on 16 faces, an edit takes longer, and then fits every seed. The settings also say after how many steps the
    edit on show ended: with them comes the same picture.
    """

    def __init__(
        self,
        source: Generator,
        targets: Mapping[str, Generator],
        clip: ClipModel,
        record: Mapping[str, Any] | None = None,
    ):
        controls = {
            "text": text_field("text", "red hair", "what the face should show"),
            "neutral": text_field("neutral text", "", "what it shows now, or nothing"),
            "found_on": choice("found on", [THIS_FACE, MANY_FACES]),
            "strength": float_slider("strength", 1, -3, 4, 0.05, "0 before, 1 as optimised, below 0 the opposite"),
            "style": choice("style", list(targets)),
            "seed": int_slider("seed", 3, 0, 999, "which face"),
            "truncation": psi_slider(0.8, "of the face before the edit"),
            "layers": choice("layers", list(layer_presets(source.num_ws))),
            "steps": int_slider("steps", EditConfig.steps, 5, 300, "of the optimisation, at most"),
            "l2": float_slider("stay near", EditConfig.l2, 0, 0.02, 0.0005, "weight of the distance to the first code"),
            "keep": float_slider("keep the rest", EditConfig.keep, 0, 3, 0.1, "weight of what else CLIP sees change"),
        }
        controls["l2"].readout_format = ".4f"
        self.scene = Scene(source, targets, clip)
        self._task: asyncio.Task | None = None
        buttons = [self._button("Edit", self.start, "magic"), self._button("Stop", self.stop, "stop")]
        above = [w.HBox(buttons, layout=w.Layout(flex_flow="row wrap"))]
        super().__init__(
            partial(render_text, self.scene), controls, "text", record=record, video={"strength": None}, above=above
        )

    @property
    def record(self) -> dict[str, Any]:
        """As `Panel.record`, with how many steps the edit took."""
        edit = self.scene.edits.get(key(self.asked))
        return {**super().record, "steps_done": 0 if edit is None else len(edit.history)}

    @property
    def asked(self) -> dict[str, Any]:
        """What the edit depends on, as the controls say it."""
        return {name: self.controls[name].value for name in ASKED}

    def start(self) -> None:
        """Optimise for the controls as they stand. In a notebook other buttons keep working meanwhile."""
        self.stop()
        try:
            self._task = asyncio.get_running_loop().create_task(self._run())
        except RuntimeError:  # no loop, as in a script
            edit_for(self.scene, **self.asked)
            self.update()

    async def _run(self) -> None:
        """The steps; after each, buttons pressed meanwhile take effect."""
        try:
            with closing(editing(self.scene, **self.asked)) as steps:
                for run in steps:
                    row = run.history[-1]
                    if row["step"] % SHOW_EVERY == 0:
                        self.image.value = jpeg_bytes(display.to_pil(run.images[0], side=SIDE), LIVE_QUALITY)
                        self.message.value = f"step {row['step'] + 1} of {run.config.steps}, loss {row['loss']:.3f}"
                    await asyncio.sleep(0)
        except asyncio.CancelledError:
            pass  # by `stop`: the picture shows the edit as far as it came
        except Exception as error:  # inside a task nobody would see it
            return self.show_error(error)
        self.update()

    def frames(self) -> videos.Lazy:
        """As `Panel.frames`. Raises ValueError where there is no edit yet, too."""
        if key(self.asked) not in self.scene.edits:
            raise ValueError("nothing to show: press Edit first")
        return super().frames()

    def stop(self) -> None:
        """End a running optimisation; what there is by then is the edit."""
        if self._task is not None:
            self._task.cancel()
        self._task = None

    def reset(self) -> None:
        """As `Panel.reset`; a running optimisation ends."""
        self.stop()
        super().reset()

    def apply(self, settings: str | Mapping[str, Any]) -> None:
        """As `Panel.apply`; the edit of the settings is made, with as many steps as it had."""
        settings = parse_settings(settings)
        done = settings.pop("steps_done", 0)
        super().apply(settings)
        if done:
            edit_for(self.scene, done, **self.asked)
            self._render_full()

    def _display(self, picture: Image.Image) -> None:
        """As `Panel._display`, with the words that CLIP does not know below it."""
        super()._display(picture)
        if unknown := self.scene.clip.unknown_words(f"{self.settings['text']} {self.settings['neutral']}"):
            self.message.value = f"this CLIP never saw: {', '.join(unknown)}"


text_panel = TextPanel  # the name by which notebooks call it, as with the panels that are functions
