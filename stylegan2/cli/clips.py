"""What `cartoonize` does with a clip: a video file, or the rendered one, `pocket:clip`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stylegan2.cli import common
from stylegan2.files import counted

if TYPE_CHECKING:
    from stylegan2.editing.cartoon_clip import Report
    from stylegan2.editing.clips import Clip
    from stylegan2.editing.photos import Cutting

ENDINGS = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".3gp")
RENDERED = "pocket:clip"
FIRST = "webtoon"  # the style of a clip where none is asked for
REST = "a gap of up to a second shows the cartoon before it, a longer one the clip's own frames"


def _is_rendered(path: Path) -> bool:
    return str(path).startswith(RENDERED)


def _some_existing(given: list[Path]) -> list[Path]:
    """As `common.some_existing`; the rendered clip is no file."""
    return given if any(map(_is_rendered, given)) else common.some_existing(given)


PhotosOrClip = Annotated[
    list[Path],
    typer.Argument(metavar="PHOTO...", help="Faces; or one clip: a video, or pocket:clip.", callback=_some_existing),
]


def open_clip(inputs: Sequence[Path]) -> Clip | None:
    """The clip among the inputs; None: photos. Raises ValueError for a clip with others, or one that cannot be read."""
    from stylegan2.editing.clips import VideoFile
    from stylegan2.pocket import clip

    if not any(_is_rendered(path) or path.suffix.lower() in ENDINGS for path in inputs):
        return None
    if len(inputs) > 1:
        raise ValueError(f"{counted(len(inputs), 'input')} with a clip among them: expected one clip, or only photos")
    return clip.open_clip(str(inputs[0])) if _is_rendered(inputs[0]) else VideoFile(inputs[0])


def check_out(clip: Clip | None, out: Path | None, inputs: Sequence[Path]) -> Path:
    """Where the cartoon of a clip goes, or those of photos; checked before the work, see `common`."""
    if clip is not None:
        return common.new_file(out, "cartoon.mp4", ".mp4", inputs=inputs)
    return common.new_folder(out, "cartoons", inputs)


def style_for(clip: Clip | None, styles: Sequence[str]) -> str:
    """The styles with commas between them; of a clip one. Raises ValueError for more."""
    given = ",".join(styles)
    if clip is None:
        return given
    if "," in given:
        raise ValueError(f"style is {given}: of a clip one style is made at a time, such as {FIRST}")
    return FIRST if given == "all" else given


def make(clip: Clip, out: Path, source, style, distance, encoder, cutting: Cutting, *, space: str, **config) -> None:
    """Write the cartoon of a clip, and say what came of it; arguments as of `cartoon_clip.cartoonize_clip`.

    space: where its codes are searched, as of `cartoonize`. config: of `ClipConfig`.
    """
    from stylegan2.editing.cartoon_clip import ClipConfig, cartoonize_clip
    from stylegan2.pocket.nets.perceptual import frame_for

    cutting = replace(cutting, frame=frame_for(source.resolution))
    outside = {"w": True, "w+": False}.get(space)
    try:
        report = cartoonize_clip(clip, out, source, style, distance, encoder, ClipConfig(**config), cutting, outside)
    except KeyboardInterrupt:
        common.stop("stopped by Ctrl-C: the same command goes on after the last part that was finished")
    _say(report, clip, out)


def _say(report: Report, clip: Clip, out: Path) -> None:
    if report.outside:
        common.note(f"{common.UNKNOWN}: {common.NEAREST}")
    if report.faceless:
        common.note(f"{report.faceless} of {counted(report.frames, 'frame')} without a face ({REST})")
    if clip.count > report.frames + clip.fps:
        common.note(
            f"{report.frames} frames could be read, and the file lasts as long as {clip.count}: its sound goes on, or "
            "the rest is damaged"
        )
    sound = "sound kept" if report.sound else "the clip has no sound"
    if clip.sound and not report.sound:
        sound = f"WITHOUT SOUND: ffmpeg cannot put its sound ({clip.sound}) into an MP4"
    typer.echo(f"{out}: {counted(report.frames, 'frame')}, {report.frames / clip.fps:.1f} s, {sound}")
    typer.echo(
        f"flicker {report.flicker:.2f}: from frame to frame the aligned cartoon changes {report.cartoon_change:.1f} of "
        f"255, the aligned clip {report.clip_change:.1f}; {report.fps:.1f} frames a second after the search"
    )
