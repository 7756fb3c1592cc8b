"""Panels: sliders beside one picture that is updated in place.

A panel is thin: it turns controls into keyword arguments of a plain function `render(**settings) -> PIL image`, which
is tested without any widget. It shows errors inside itself, never queues work (while you drag, only the latest position
is drawn), and leaves a static picture in the output for readers without a kernel (GitHub, the course's site).
"""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ipywidgets as w
import torch
from IPython.display import display
from PIL import Image

from stylegan2 import display as show
from stylegan2.display import jpeg_bytes, save
from stylegan2.files import CourseError, find_root
from stylegan2.networks import Generator
from stylegan2.panels.controls import (
    Progress,
    assign,
    choice,
    float_slider,
    int_slider,
    parse_settings,
    put,
    steps_slider,
)
from stylegan2.trainer import Trainer

__all__ = ["Panel", "TrainingMonitor", "choice", "float_slider", "int_slider", "steps_slider"]

DELAY = 0.01  # seconds without a newer position before it is drawn: what piled up meanwhile is read first
PATIENCE = 0.1  # but so many seconds after the first one at the latest, so that the picture follows a steady drag
SETTLE = 0.25  # seconds without a newer position before the full picture replaces a preview
TOOLS = "320px"  # width of buttons and messages, about that of a slider: so there is room for the picture beside them
LIVE_QUALITY = 95  # of the JPEG on show: encoded in 0.2 ms where a PNG takes 4; "Save picture" writes every bit


class Panel:
    """Controls on the left, one picture on the right.

    Args:
        render: called with one keyword argument per control; returns a PIL image.
        controls: {argument: widget}, in the order to show them.
        title: file name of saved pictures and alternative text.
        folder: where "Save picture" writes; None: build/panels in the course's folder, or here outside of it.
        record: more settings for "Copy settings" (e.g. the checkpoint's hash), so that the JSON rebuilds the picture.
        preview: a quicker `render` for while a control is moved; True: `render` itself with `preview=True`. The full
            picture follows when the controls have come to rest.
        video: called like `render`; returns the frames of a film, PIL images of one size (best with a length, for the
            bar). Without it there is no button "Save video".
        fps: frames a second of that film.
    """

    def __init__(
        self,
        render: Callable[..., Image.Image],
        controls: Mapping[str, w.ValueWidget],
        title: str = "panel",
        folder: str | Path | None = None,
        record: Mapping[str, Any] | None = None,
        preview: Callable[..., Image.Image] | bool = False,
        video: Callable[..., Iterable[Image.Image]] | None = None,
        fps: int = 24,
    ):
        self.render, self.controls, self.title = render, dict(controls), title
        self.folder, self.record = Path(folder or _panels_folder()), dict(record or {})
        self.preview, self.video, self.fps = preview, video, fps
        self.defaults = self.settings
        self.picture: Image.Image | None = None
        self._finished = False  # is `picture` the full one of the controls as they stand?
        self._timer: asyncio.TimerHandle | None = None
        self._waiting_since: float | None = None  # the first change that no picture shows yet
        self._quiet = False
        self.image = w.Image(format="jpeg", layout=w.Layout(object_fit="contain", max_width="100%"))
        self.message, self.progress = w.HTML(layout=w.Layout(max_width=TOOLS)), Progress()
        self.film = w.Box(layout=w.Layout(max_width="100%"))  # holds the video last saved
        left = w.VBox([*self.controls.values(), *self._tools(), self.progress.box, self.message])
        right = w.VBox([self.image, self.film])
        self.box = w.HBox([left, right], layout=w.Layout(flex_flow="row wrap", align_items="flex-start"))
        for control in self.controls.values():
            control.observe(self._changed, "value")

    def _tools(self) -> list[w.Widget]:
        """The buttons, and the field that takes settings."""
        buttons = [self._button("Reset", self.reset, "undo"), self._button("Save picture", self.save, "download")]
        if self.video is not None:
            buttons.append(self._button("Save video", self._film_or_stop, "film"))
        buttons.append(self._button("Copy settings", self.show_settings, "copy"))
        self.pasted = w.Text(
            placeholder="paste settings here, then Enter", continuous_update=False, layout=w.Layout(width="300px")
        )
        self.pasted.observe(lambda change: self._paste(change["new"]), "value")
        return [w.HBox(buttons, layout=w.Layout(flex_flow="row wrap", max_width=TOOLS)), self.pasted]

    def _button(self, text: str, action: Callable[[], Any], icon: str) -> w.Button:
        button = w.Button(description=text, icon=icon, layout=w.Layout(width="auto"))
        button.on_click(lambda _: self._guarded(action))
        return button

    @property
    def settings(self) -> dict[str, Any]:
        """The controls' values, as `render` gets them."""
        return {name: control.value for name, control in self.controls.items()}

    # ------------------------------------------------------------------------------------------------------- drawing

    def _changed(self, _) -> None:
        """Draw soon; a newer change replaces this one. Without a running event loop (scripts, tests): draw now."""
        if self._quiet:
            return
        self._finished = False
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.update()
            return
        if self._waiting_since is None:
            self._waiting_since = loop.time()
        elif loop.time() > self._waiting_since + PATIENCE:
            return  # the drawing is due, and will see this position
        self._at(min(loop.time() + DELAY, self._waiting_since + PATIENCE), self._draw_soon)

    def _at(self, when: float, action: Callable[[], None]) -> None:
        """Call `action` at that time of the event loop, instead of what else is due."""
        self._cancel()
        self._timer = asyncio.get_running_loop().call_at(when, action)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    def _draw_soon(self) -> None:
        """A preview at once and the picture when the controls have come to rest; without a preview, the picture."""
        if self.preview is False:
            self.update()
            return
        self._waiting_since = None
        self._guarded(lambda: self._put(self._render_preview()))
        self._at(asyncio.get_running_loop().time() + SETTLE, self.update)

    def _render_preview(self) -> Image.Image:
        if self.preview is True:
            return self.render(**self.settings, preview=True)
        return self.preview(**self.settings)

    def update(self) -> None:
        """Draw the picture for the controls as they stand; an error is shown in the panel."""
        self._guarded(self._draw)

    def _draw(self) -> None:
        self._cancel()
        self._waiting_since = None
        self._put(self.render(**self.settings))
        self._finished = True

    def _put(self, picture: Image.Image) -> None:
        self.picture = picture
        self.image.value = jpeg_bytes(picture, LIVE_QUALITY)
        self.message.value = ""

    def _guarded(self, action: Callable[[], Any]) -> None:
        try:
            action()
        except Exception as error:  # whatever it is, the learner must see it here and not in a log
            self.tell(error)

    def tell(self, error: Exception) -> None:
        """Show an error below the controls."""
        self.message.value = f"<b style='color:#b00020'>{type(error).__name__}:</b> {escape(str(error))}"

    @contextmanager
    def _silence(self) -> Iterator[None]:
        """Changes made here draw nothing."""
        self._quiet = True
        try:
            yield
        finally:
            self._quiet = False

    def reset(self) -> None:
        """Put every control back to where it began, and draw once."""
        with self._silence():
            assign(self.controls, self.defaults)
        self._draw()

    # --------------------------------------------------------------------------------------------- pictures and films

    def save(self) -> Path:
        """Write the picture of the controls as they stand as PNG with a number of its own; the path is returned."""
        if not self._finished:
            self._draw()
        path = save(self.picture, self._next_path(".png"))
        self._tell_saved(path)
        return path

    def save_video(self) -> Path:
        """Draw the film of the controls as they stand, with a bar, show it below the picture and return its path.

        It is an MP4 with a number of its own. If the drawing fails or is interrupted, nothing is left of it.

        Raises:
            ValueError: for a panel without films.
        """
        if self.video is None:
            raise ValueError(f"the panel '{self.title}' has no video: give Panel a function `video`")
        self.message.value = ""
        path = self._next_path(".mp4")
        try:
            show.save_video(self.progress.watch(self.video(**self.settings)), path, self.fps, progress=False)
        finally:
            self.progress.hide()
        layout = w.Layout(max_width="100%")
        self.film.children = (w.Video(value=path.read_bytes(), width=str(self._film_width()), layout=layout),)
        self._tell_saved(path)
        return path

    def _film_or_stop(self) -> None:
        """What the button does: an interrupted kernel ends the film, not the panel."""
        try:
            self.save_video()
        except KeyboardInterrupt:
            self.message.value = "stopped; no video was written"

    def _film_width(self) -> int:
        return 384 if self.picture is None else self.picture.width

    def _next_path(self, ending: str) -> Path:
        taken = [int(path.stem.rpartition("-")[2]) for path in self.folder.glob(f"{self.title}-[0-9]*{ending}")]
        return self.folder / f"{self.title}-{1 + max(taken, default=0):03d}{ending}"

    def _tell_saved(self, path: Path) -> None:
        self.message.value = f"saved as <code>{escape('/'.join(path.parts[-3:]))}</code>"

    # ------------------------------------------------------------------------------------------------------ settings

    def show_settings(self) -> str:
        """Everything that rebuilds this picture, as JSON to copy; `apply` reads it."""
        text = json.dumps({**self.record, **self.settings})
        self.message.value = (
            f"<textarea rows=4 style='width:95%' readonly onclick='this.select()'>{escape(text)}</textarea>"
        )
        return text

    def apply(self, settings: str | Mapping[str, Any]) -> None:
        """Set the controls as `settings` says, and draw: the picture that "Copy settings" was pressed for.

        Args:
            settings: what "Copy settings" gave, or a dictionary. Controls that it does not name stay as they are.

        Raises:
            ValueError: no JSON object; a name that this panel does not have; a value that a control does not accept;
                or settings of another model than the panel's. The controls then stay as they were.
        """
        settings = parse_settings(settings) if isinstance(settings, str) else dict(settings)
        before = self.settings
        with self._silence():
            put(self.controls, settings)
            try:
                self._check_record({name: settings[name] for name in settings.keys() - self.controls.keys()})
            except ValueError:
                assign(self.controls, before)
                raise
        self._draw()

    def _check_record(self, given: Mapping[str, Any]) -> None:
        """Settings that are no controls must say what this panel's record says."""
        if unknown := sorted(given.keys() - self.record.keys()):
            known = ", ".join([*self.controls, *self.record])
            raise ValueError(f"unknown settings {', '.join(map(repr, unknown))}: this panel has {known}")
        for name, value in given.items():
            if json.dumps(value, sort_keys=True) != json.dumps(self.record[name], sort_keys=True):
                raise ValueError(
                    f"these settings are for {name} {value!r}, this panel shows {self.record[name]!r}: "
                    f"open a panel with that one, or leave {name} out"
                )

    def _paste(self, text: str) -> None:
        """Apply what was pasted; the field is cleared where that went well, and kept to be mended where not."""
        if not text.strip():
            return

        def apply() -> None:
            self.apply(text)
            self.pasted.value = ""

        self._guarded(apply)

    def show(self) -> None:
        """Draw, then display the live panel and, for readers without a kernel, the picture itself."""
        self._draw()
        display(_StaticAndLive(self.box, self.picture))


def _panels_folder() -> Path:
    try:
        return find_root() / "build" / "panels"
    except CourseError:
        return Path("build/panels")


WIDGET = "application/vnd.jupyter.widget-view+json"


class _StaticAndLive:
    """One output with two faces: the widget for front ends with a kernel, a picture for all others."""

    def __init__(self, box: w.Box, picture: Image.Image):
        self.box, self.picture = box, picture

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.box.model_id}  # ipywidgets 7 and 8 alike
        picture = b64encode(jpeg_bytes(self.picture)).decode()
        return {"text/plain": repr(self.box), WIDGET: view, "image/jpeg": picture}


def escape(text: str) -> str:
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
