"""Panels: sliders beside one picture that is updated in place.

A panel is thin: it turns controls into keyword arguments of a plain function `render(**settings) -> PIL image`, which
is tested without any widget. It shows errors inside itself, never queues work (while you drag, only the latest position
is drawn), and leaves a static picture in the output for readers without a kernel (GitHub, the course's site).
"""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ipywidgets as w
import torch
from IPython.display import display
from PIL import Image

from stylegan2 import display as show
from stylegan2.course import CourseError, find_root
from stylegan2.display import jpeg_bytes, save
from stylegan2.networks import Generator
from stylegan2.training.trainer import Trainer

DELAY = 0.02  # seconds to wait for a newer position before drawing
LIVE_QUALITY = 95  # of the JPEG on show: encoded in 0.2 ms where a PNG takes 4; "Save picture" writes every bit


def int_slider(label: str, value: int, low: int, high: int, help: str = "") -> w.IntSlider:
    """A slider over whole numbers that reports while it is dragged."""
    return w.IntSlider(value, low, high, description=label, tooltip=help, continuous_update=True, style=_STYLE)


def float_slider(
    label: str, value: float, low: float, high: float, step: float = 0.05, help: str = ""
) -> w.FloatSlider:
    """A slider over numbers that reports while it is dragged."""
    return w.FloatSlider(value, min=low, max=high, step=step, description=label, tooltip=help, style=_STYLE)


def choice(label: str, options: list, value: Any = None) -> w.ToggleButtons | w.Dropdown:
    """A few options as buttons, many as a list."""
    kind = w.ToggleButtons if len(options) <= 4 else w.Dropdown
    return kind(options=options, value=options[0] if value is None else value, description=label, style=_STYLE)


def steps_slider(label: str, options: list, value: Any, help: str = "") -> w.SelectionSlider:
    """A slider over a few values, or (name, value) pairs."""
    return w.SelectionSlider(options=options, value=value, description=label, tooltip=help, style=_STYLE)


_STYLE = {"description_width": "90px"}


class Panel:
    """Controls on the left, one picture on the right.

    Args:
        render: called with one keyword argument per control; returns a PIL image.
        controls: {argument: widget}, in the order to show them.
        title: file name of saved pictures and alternative text.
        folder: where "Save picture" writes; None: build/panels in the course's folder, or here outside of it.
        record: more settings for "Copy settings" (e.g. the checkpoint's hash), so that the JSON rebuilds the picture.
    """

    def __init__(
        self,
        render: Callable[..., Image.Image],
        controls: Mapping[str, w.ValueWidget],
        title: str = "panel",
        folder: str | Path | None = None,
        record: Mapping[str, Any] | None = None,
    ):
        self.render, self.controls, self.title = render, dict(controls), title
        self.folder, self.record = Path(folder or _panels_folder()), dict(record or {})
        self.defaults = self.settings
        self.picture: Image.Image | None = None
        self._pending: asyncio.TimerHandle | None = None
        self._quiet = False
        self.image = w.Image(format="jpeg", layout=w.Layout(object_fit="contain", max_width="100%"))
        self.message = w.HTML()
        buttons = [self._button("Reset", self.reset, "undo"), self._button("Save picture", self.save, "download")]
        buttons.append(self._button("Copy settings", self.show_settings, "copy"))
        left = w.VBox([*self.controls.values(), w.HBox(buttons), self.message])
        self.box = w.HBox([left, self.image], layout=w.Layout(flex_flow="row wrap", align_items="flex-start"))
        for control in self.controls.values():
            control.observe(self._changed, "value")

    def _button(self, text: str, action: Callable[[], Any], icon: str) -> w.Button:
        button = w.Button(description=text, icon=icon, layout=w.Layout(width="auto"))
        button.on_click(lambda _: self._guarded(action))
        return button

    @property
    def settings(self) -> dict[str, Any]:
        """The controls' values, as `render` gets them."""
        return {name: control.value for name, control in self.controls.items()}

    def _changed(self, _) -> None:
        """Draw soon; a newer change replaces this one. Without a running event loop (scripts, tests): draw now."""
        if self._quiet:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.update()
            return
        if self._pending is not None:
            self._pending.cancel()
        self._pending = loop.call_later(DELAY, self.update)

    def update(self) -> None:
        """Draw the picture for the controls as they stand; an error is shown in the panel."""
        self._guarded(self._draw)

    def _draw(self) -> None:
        self.picture = self.render(**self.settings)
        self.image.value = jpeg_bytes(self.picture, LIVE_QUALITY)
        self.message.value = ""

    def _guarded(self, action: Callable[[], Any]) -> None:
        try:
            action()
        except Exception as error:  # whatever it is, the learner must see it here and not in a log
            self.message.value = f"<b style='color:#b00020'>{type(error).__name__}:</b> {_escape(str(error))}"

    def reset(self) -> None:
        """Put every control back to where it began, and draw once."""
        self._quiet = True
        for name, value in self.defaults.items():
            self.controls[name].value = value
        self._quiet = False
        self._draw()

    def save(self) -> Path:
        """Write the picture as PNG with a number of its own; the path is shown and returned."""
        taken = [int(path.stem.rpartition("-")[2]) for path in self.folder.glob(f"{self.title}-[0-9]*.png")]
        number = 1 + max(taken, default=0)
        path = save(self.picture, self.folder / f"{self.title}-{number:03d}.png")
        self.message.value = f"saved as <code>{_escape('/'.join(path.parts[-3:]))}</code>"
        return path

    def show_settings(self) -> str:
        """Everything that rebuilds this picture, as JSON to copy."""
        text = json.dumps({**self.record, **self.settings})
        self.message.value = f"<textarea rows=3 cols=44 readonly onclick='this.select()'>{_escape(text)}</textarea>"
        return text

    def show(self) -> None:
        """Draw, then display the live panel and, for readers without a kernel, the picture itself."""
        self._draw()
        display(_StaticAndLive(self.box, self.picture))


def _panels_folder() -> Path:
    try:
        return find_root() / "build" / "panels"
    except CourseError:
        return Path("build/panels")


class _StaticAndLive:
    """One output with two faces: the widget for front ends with a kernel, a picture for all others."""

    def __init__(self, box: w.Box, picture: Image.Image):
        self.box, self.picture = box, picture

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        bundle = self.box._repr_mimebundle_()
        return {**bundle, "image/jpeg": b64encode(jpeg_bytes(self.picture)).decode()}


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class TrainingMonitor:
    """A live view of a run: the same latents at every sample (a timeline), and the losses so far.

    Give `on_sample` and `on_log` to `Trainer.run`. To stop, interrupt the kernel: the run saves and returns.

    columns: fixed latents to follow; most: rows to keep, evenly spread over the run.
    """

    def __init__(self, columns: int = 8, most: int = 7):
        self.columns, self.most = columns, most
        self.samples: dict[int, torch.Tensor] = {}  # images seen -> uint8 [columns, 3, R, R]
        self.image = w.Image(format="jpeg")
        self.status = w.HTML("waiting for the first samples")
        self.box = w.VBox([self.status, self.image])

    def on_sample(self, trainer: Trainer, images: torch.Tensor) -> None:
        """Add a row to the timeline."""
        self.samples[trainer.images_seen] = show.to_uint8(images[: self.columns]).cpu()
        self.image.value = jpeg_bytes(self.picture(), LIVE_QUALITY)

    def on_log(self, trainer: Trainer, values: Mapping[str, float]) -> None:
        """Refresh the line of numbers."""
        left = (trainer.config.images - trainer.images_seen) / max(values["images_per_second"], 1e-9)
        self.status.value = (
            f"{trainer.images_seen:,} of {trainer.config.images:,} images, {values['images_per_second']:.0f} a second, "
            f"about {max(0, left):.0f} s left · ADA p {values['augment_p']:.2f} · loss G {values['loss_g']:.2f}, "
            f"D {values['loss_d']:.2f} · interrupt the kernel to stop and save"
        )

    def picture(self) -> Image.Image:
        """The timeline: a row per sample, oldest on top."""
        seen = sorted(self.samples)
        chosen = sorted({seen[round(i * (len(seen) - 1) / max(1, self.most - 1))] for i in range(self.most)})
        return show.rows({f"{n:,}": self.samples[n] for n in chosen}, 1 if self.samples[seen[0]].shape[-1] > 64 else 2)

    def run(self, trainer: Trainer) -> Generator:
        """Show the monitor, train, leave the finished timeline as a static picture; returns `g_ema`."""
        blank = Image.new("RGB", (8, 8), show.PAPER)
        handle = display(_StaticAndLive(self.box, blank), display_id=True)
        g_ema = trainer.run(self.on_log, self.on_sample, progress=False)
        if handle is not None and self.samples:
            handle.update(_StaticAndLive(self.box, self.picture()))
        return g_ema
