"""Clips: frames and sound of a video file, read and written by ffmpeg, which comes with imageio-ffmpeg.

    clip = VideoFile("me.mp4")
    for frame in clip.frames(): ...                           # upright RGB pictures, as many a second as `clip.fps`
    with_sound("silent.mp4", clip, "me_too.mp4")              # its sound under other pictures

A video whose frames come at uneven times, as those of phones do, is read at its mean rate: a frame that comes late, or
that is damaged, is the one before once more, and the sound stays in time.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import Protocol

import imageio_ffmpeg
import numpy as np
from PIL import Image

from stylegan2 import files
from stylegan2.editing import videos

COPIED = ("aac", "mp3", "opus", "ac3", "alac")  # sound that an MP4 holds as it is; other kinds become AAC


class Clip(Protocol):
    """What can be made a cartoon."""

    name: str  # for messages
    fps: float  # frames a second
    size: tuple[int, int]  # width and height in pixels
    count: int  # frames, about
    sound: str  # its codec; "": there is none
    fingerprint: str  # another one for other frames

    def frames(self) -> Iterator[Image.Image]:
        """All frames from the first, in RGB, upright."""


class VideoFile:
    """A video file. Raises ValueError for none, or one that cannot be read; OSError without ffmpeg."""

    def __init__(self, path: Path):
        self.path, self.name = Path(path), f"'{path}'"
        ffmpeg()
        if not self.path.stat().st_size:
            raise ValueError(f"{self.name} is empty")
        with closing(self._reader()) as reader:
            meta, first = _next(reader, self.name), _next(reader, self.name)
        self.size, self.fps = meta["size"], meta["fps"] or 25.0
        self.count = round(meta["duration"] * self.fps)
        self.sound = meta.get("audio_codec", "").strip(",")
        if len(first) != self.size[0] * self.size[1] * 3:
            raise ValueError(f"{self.name}: ffmpeg gives other frames than it says; save it anew with a video program")

    @cached_property
    def fingerprint(self) -> str:
        return files.sha256(self.path)

    def frames(self) -> Iterator[Image.Image]:
        with closing(self._reader(["-r", f"{self.fps:g}"])) as reader:
            next(reader)  # what is known of the file
            for pixels in reader:
                yield Image.fromarray(np.frombuffer(pixels, np.uint8).reshape(self.size[1], self.size[0], 3))

    def _reader(self, more: list[str] = ()) -> Iterator:
        return imageio_ffmpeg.read_frames(self.path.resolve(), output_params=["-map", "0:v:0", *more])


def _next(reader: Iterator, name: str):
    """What a reader has next. Raises ValueError, with ffmpeg's own reason, where there is nothing."""
    try:
        if (found := next(reader, None)) is not None:
            return found
        why = "it has no frame that could be read"
    except (OSError, RuntimeError, IndexError, AttributeError) as error:  # of imageio-ffmpeg, by what is missing
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        why = lines[-1].rpartition("] ")[2][:120] if lines else "it has no pictures"
    raise ValueError(
        f"{name} is no video that ffmpeg can read ({why}): expected a whole file such as an MP4; a phone or a video "
        "program can save it anew"
    )


def ffmpeg() -> str:
    """Path of the program. Raises OSError where there is none."""
    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError:
        raise OSError(
            "videos need ffmpeg, and there is none: `pip install imageio-ffmpeg` brings it; or name your own in the "
            "variable IMAGEIO_FFMPEG_EXE"
        ) from None


def check_writing(folder: Path, size: tuple[int, int]) -> None:
    """Write a little video of this size into a folder, and read it: before the work. Raises ValueError: no codec."""
    path = folder / "trial.mp4"
    try:
        videos.save([Image.new("RGB", size)] * 2, path, progress=False)
        VideoFile(path)
    except (RuntimeError, OSError, ValueError) as error:
        raise ValueError(
            f"ffmpeg cannot write an MP4 of {size[0]}x{size[1]} pixels ({files.reason(error)}): it needs an encoder of "
            "H.264, which the one that comes with imageio-ffmpeg has"
        ) from error
    finally:
        path.unlink(missing_ok=True)


def with_sound(silent: Path, clip: Clip, out: Path) -> bool:
    """Give the pictures of an MP4 the sound of a clip, in a new file. Returns whether it could be done.

    False: there is no sound, or ffmpeg cannot put it into an MP4; then `out` is of no use.
    """
    if not clip.sound or not isinstance(clip, VideoFile):
        return False
    inputs = ["-i", silent, "-i", clip.path.resolve(), "-map", "0:v:0", "-map", "1:a:0"]
    length = f"{VideoFile(silent).count / clip.fps:.3f}"  # sound may go on behind the last picture
    for codec in ("copy", "aac") if clip.sound in COPIED else ("aac",):
        options = ["-c:v", "copy", "-c:a", codec, "-t", length, "-movflags", "+faststart"]
        command = [ffmpeg(), "-y", "-v", "error", *inputs, *options, out]
        if not subprocess.run(list(map(str, command)), capture_output=True, stdin=subprocess.DEVNULL).returncode:
            return True
    return False
