"""Panels: sliders beside one picture that is updated in place.

A panel is thin: it turns controls into keyword arguments of a plain function `render(**settings) -> PIL image`, which
is tested without any widget. It shows errors inside itself, never queues work (while you drag, only the latest position
is rendered), and leaves a static picture in the output for readers without a kernel (GitHub, the course's site).
"""

from __future__ import annotations

import asyncio
import io
import json
from base64 import b64encode
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets as w
from IPython.display import display
from PIL import Image, ImageOps
from tqdm.notebook import tqdm

from stylegan2.display import save
from stylegan2.editing import videos
from stylegan2.editing.free_threads import free_threads
from stylegan2.files import CourseError, find_root
from stylegan2.networks import Generator
from stylegan2.panels.controls import assign, parse_settings
from stylegan2.runtime import threads

DELAY = 0.01  # seconds to wait for a newer position before rendering
PATIENCE = 0.1  # seconds from the first unrendered position to rendering, at most: the picture follows a steady drag
SETTLE = 0.25  # seconds without a newer position before the full picture replaces a preview
FRAMES = 72  # of a video, at 24 a second
TOOLS = 320  # pixels: width of buttons and messages, about that of a slider, so that the picture has room beside them
LIVE_QUALITY = 95  # of the JPEG on show: encoded in 0.2 ms where a PNG takes 4; "Save picture" writes every bit
SOURCE = "photo"  # what the source is called in captions
WIDGET = "application/vnd.jupyter.widget-view+json"


class Panel:
    """Controls on the left, one picture on the right.

    Args:
        render: called with one keyword argument per control.
        controls: {argument: widget}, in the order to show them.
        title: file name of saved pictures.
        folder: where "Save picture" writes; None: build/panels in the course's folder, or here outside of it.
        record: more settings for "Copy settings" (e.g. a checkpoint's hash); a function where they depend on controls.
        preview: `render` takes `preview=True`, and then is quicker: for while a control is moved.
        video: settings that a video moves from 0 and back: to a number, or to where they stand (None); {}: no video.
        above, below: more widgets, above the controls and below the buttons.
    """

    def __init__(
        self,
        render: Callable[..., Image.Image],
        controls: Mapping[str, w.ValueWidget],
        title: str = "panel",
        folder: str | Path | None = None,
        record: Mapping[str, Any] | Callable[[], Mapping[str, Any]] | None = None,
        preview: bool = False,
        video: Mapping[str, float | None] = {},
        above: Sequence[w.Widget] = (),
        below: Sequence[w.Widget] = (),
    ):
        self.render, self.controls, self.title = render, dict(controls), title
        self.folder, self._record = Path(folder or _panels_folder()), record or {}
        self.preview, self.video = preview, video
        self.defaults = self.settings
        self.picture: Image.Image | None = None
        self._finished = False  # is `picture` the full one of the controls as they stand?
        self._timer: asyncio.TimerHandle | None = None
        self._waiting_since: float | None = None  # time of the first change that no picture shows yet
        self._quiet = False
        self.image = w.Image(format="jpeg", layout=w.Layout(object_fit="contain", max_width="100%"))
        self.message = w.HTML(layout=w.Layout(max_width=f"{TOOLS}px"))
        self.progress = w.HBox()  # holds the bar of what is under way
        self.film = w.Box(layout=w.Layout(max_width="100%"))  # holds the video last saved
        left = w.VBox([*above, *self.controls.values(), *self._tools(), self.progress, self.message, *below])
        right = w.VBox([self.image, self.film])
        self.box = w.HBox([left, right], layout=w.Layout(flex_flow="row wrap", align_items="flex-start"))
        for control in self.controls.values():
            control.observe(self._changed, "value")

    def _tools(self) -> list[w.Widget]:
        buttons = [self._button("Reset", self.reset, "undo"), self._button("Save picture", self.save, "download")]
        buttons += [self._button("Save video", self.save_video, "film")] if self.video else []
        buttons += [self._button("Copy settings", self.show_settings, "copy")]
        text = "paste settings here, then Enter"
        self.pasted = w.Text(placeholder=text, continuous_update=False, layout=w.Layout(width="300px"))
        self.pasted.observe(lambda _: self._guarded(self._apply_pasted), "value")
        return [w.HBox(buttons, layout=w.Layout(flex_flow="row wrap", max_width=f"{TOOLS}px")), self.pasted]

    def _button(self, text: str, action: Callable[[], Any], icon: str) -> w.Button:
        button = w.Button(description=text, icon=icon, layout=w.Layout(width="auto"))
        button.on_click(lambda _: self._guarded(action))
        return button

    @property
    def settings(self) -> dict[str, Any]:
        """The controls' values, as `render` gets them."""
        return {name: control.value for name, control in self.controls.items()}

    @property
    def record(self) -> Mapping[str, Any]:
        """What "Copy settings" says besides the controls."""
        return self._record() if callable(self._record) else self._record

    def _changed(self, _) -> None:
        """Render soon; a newer change replaces this one. Without a running event loop (scripts, tests): render now."""
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
            return  # rendering is due, and will see this position
        self._at(min(loop.time() + DELAY, self._waiting_since + PATIENCE), self._render_due)

    def _at(self, when: float, action: Callable[[], None]) -> None:
        """Call `action` at that time of the event loop, instead of what was to be called."""
        self._cancel()
        self._timer = asyncio.get_running_loop().call_at(when, action)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _render_due(self) -> None:
        """A preview now and the picture when the controls have come to rest; without a preview, the picture."""
        if not self.preview:
            return self.update()
        self._waiting_since = None
        self._guarded(self._render_preview)
        self._at(asyncio.get_running_loop().time() + SETTLE, self.update)

    def _render_preview(self) -> None:
        self._display(self._rendered(preview=True))

    def update(self) -> None:
        """Render the picture for the controls as they stand; an error is shown in the panel."""
        self._guarded(self._render_full)

    def _render_full(self) -> None:
        self._cancel()
        self._waiting_since = None
        self._display(self._rendered())
        self._finished = True

    def _rendered(self, **more: bool) -> Image.Image:
        with threads(free_threads()):
            return self.render(**self.settings, **more)

    def _display(self, picture: Image.Image) -> None:
        self.picture = picture
        self.image.value = jpeg_bytes(picture, LIVE_QUALITY)
        self.message.value = ""

    def _guarded(self, action: Callable[[], Any]) -> None:
        try:
            action()
        except KeyboardInterrupt:  # ends what is under way, not the panel
            self.message.value = "stopped"
        except Exception as error:  # whatever it is, the learner must see it here and not in a log
            self.show_error(error)

    def show_error(self, error: Exception) -> None:
        """Write an error below the controls."""
        self.message.value = f"<b style='color:#b00020'>{type(error).__name__}:</b> {escape(str(error), False)}"

    @contextmanager
    def _silence(self) -> Iterator[None]:
        """Changes made here render nothing."""
        before, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = before

    def reset(self) -> None:
        """Put every control back to where it began, and render once."""
        with self._silence():
            assign(self.controls, self.defaults)
        self._render_full()

    def save(self) -> Path:
        """Write the picture of the controls as they stand as a new PNG; returns its path."""
        if not self._finished:
            self._render_full()
        path = save(self.picture, self._next_path(".png"))
        self._tell_saved(path)
        return path

    def save_video(self) -> Path:
        """Write a video of the controls as they stand as MP4 and show it below the picture; returns its path.

        If that fails or is interrupted, no file is left. Raises ValueError where nothing would move.
        """
        self.message.value = ""
        path = self._next_path(".mp4")
        with closing(self.watch(self.frames(), "frames")) as frames:
            videos.save(frames, path, progress=False)
        width, layout = 384 if self.picture is None else self.picture.width, w.Layout(max_width="100%")
        self.film.children = (w.Video(value=path.read_bytes(), width=str(width), layout=layout),)
        self._tell_saved(path)
        return path

    def frames(self) -> videos.Lazy:
        """The pictures of a video. Raises ValueError where nothing would move."""
        settings = self.settings
        ends = {name: settings[name] if end is None else end for name, end in self.video.items()}
        if not any(ends.values()):
            (what,) = ends if len(ends) == 1 else ["a slider"]
            raise ValueError(f"nothing to show: move {what} away from 0 first")

        def picture(share: float) -> Image.Image:
            with threads(free_threads()):  # as for the picture on show
                return self.frame(**settings | {name: share * end for name, end in ends.items()})

        return videos.Lazy(picture, videos.there_and_back(0, 1, FRAMES))

    def frame(self, **settings: Any) -> Image.Image:
        """A picture of a video: the panel's own."""
        return self.render(**settings)

    def watch(self, items: Iterable, unit: str, total: int | None = None) -> Iterator:
        """The items as they are, and meanwhile a bar in the panel; `total`: how many, None: their length, if any."""
        words = f"{{bar}}{{n_fmt}} of {{total_fmt}} {unit}, {{remaining}} left"
        bar = tqdm(items, total=total, disable=False, display=False, ncols=TOOLS, bar_format=words)
        self.progress.children = (bar.container,)
        try:
            yield from bar
        finally:
            self.progress.children = ()

    def _next_path(self, ending: str) -> Path:
        numbers = [int(path.stem.rpartition("-")[2]) for path in self.folder.glob(f"{self.title}-[0-9]*{ending}")]
        return self.folder / f"{self.title}-{1 + max(numbers, default=0):03d}{ending}"

    def _tell_saved(self, path: Path) -> None:
        self.message.value = f"saved as <code>{escape('/'.join(path.parts[-3:]), False)}</code>"

    def show_settings(self) -> str:
        """Everything that rebuilds this picture, as JSON to copy; `apply` reads it."""
        text = json.dumps({**self.record, **self.settings})
        box = "<textarea rows=4 style='width:95%' readonly onclick='this.select()'>"
        self.message.value = f"{box}{escape(text, False)}</textarea>"
        return text

    def apply(self, settings: str | Mapping[str, Any]) -> None:
        """Set the controls to what "Copy settings" gave, or a dictionary, and render; others stay as they are.

        Raises ValueError, and leaves the controls as they were: no JSON object, an unknown name, an impossible value,
        or settings of another model than the panel's.
        """
        settings, before = parse_settings(settings), self.settings
        with self._silence():
            try:
                assign(self.controls, settings)
                self._check_record({name: settings[name] for name in settings.keys() - self.controls.keys()})
            except ValueError:
                assign(self.controls, before)
                raise
        self._render_full()

    def _check_record(self, given: Mapping[str, Any]) -> None:
        """Settings that are no controls must say what this panel's record says."""
        record = self.record
        if unknown := sorted(given.keys() - record.keys()):
            known = ", ".join([*self.controls, *record])
            raise ValueError(f"unknown settings {', '.join(map(repr, unknown))}: this panel has {known}")
        for name, value in given.items():
            if json.dumps(value, sort_keys=True) != json.dumps(record[name], sort_keys=True):
                remedy = f"open a panel with that one, or leave {name} out"
                raise ValueError(
                    f"these settings are for {name} {value!r}, this panel shows {record[name]!r}: {remedy}"
                )

    def _apply_pasted(self) -> None:
        """Apply the pasted text; it is cleared where that went well, and kept to be mended where not."""
        if text := self.pasted.value.strip():
            self.apply(text)
            self.pasted.value = ""

    def show(self) -> None:
        """Render, then display the live panel and, for readers without a kernel, the picture itself."""
        self._render_full()
        display(StaticAndLive(self.box, self.picture))


def _panels_folder() -> Path:
    try:
        return find_root() / "build" / "panels"
    except CourseError:
        return Path("build/panels")


def jpeg_bytes(picture: Image.Image, quality: int = 88) -> bytes:
    """The picture as a JPEG file in memory, for an image widget or to be kept in a notebook."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def framed(picture: Image.Image, colour: str | tuple[int, int, int], width: int = 4) -> Image.Image:
    """A copy with a frame along its inner edge."""
    return ImageOps.expand(ImageOps.crop(picture, width), width, colour)


class StaticAndLive:
    """One output of two forms: the widget for front ends with a kernel, a picture for all others."""

    def __init__(self, box: w.Box, picture: Image.Image):
        self.box, self.picture = box, picture

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.box.model_id}  # ipywidgets 7 and 8 alike
        picture = b64encode(jpeg_bytes(self.picture)).decode()
        return {"text/plain": repr(self.box), WIDGET: view, "image/jpeg": picture}


def pick(what: str, name: str, options: Mapping[str, Any]) -> Any:
    """One of the options by name. Raises ValueError, which lists them, for an unknown name."""
    if name not in options:
        raise ValueError(f"unknown {what} {name!r}: expected one of {', '.join(options) or 'none, as there are none'}")
    return options[name]


@dataclass
class Worlds:
    """A generator, models fine-tuned from it by name, and what was rendered last, so that it need not be again."""

    source: Generator
    targets: Mapping[str, Generator]
    memory: dict[str, Any] = field(default_factory=dict, kw_only=True)

    def models(self, style: str) -> dict[str, Generator]:
        """The source and one target, by their names in captions. Raises ValueError for an unknown style."""
        return {SOURCE: self.source, style: pick("style", style, self.targets)}

    def knows(self, what: str, key: Hashable) -> bool:
        """Would `latest` give it at once?"""
        return what in self.memory and self.memory[what][0] == key

    def latest(self, what: str, key: Hashable, make: Callable[[], Any]) -> Any:
        """What `make` gives for this key, kept until another key is asked for."""
        if not self.knows(what, key):
            self.memory[what] = key, make()
        return self.memory[what][1]
