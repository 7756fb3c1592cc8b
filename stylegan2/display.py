"""Pictures from tensors: grids, strips, labels, files. Most functions return a PIL image, which a notebook shows."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

from stylegan2.bars import bar
from stylegan2.fonts import caption_font, figure_text

INK, PAPER = (40, 40, 48), (255, 255, 255)
VIDEOS = (".mp4", ".gif")
MOST_SHOWN = 4_000_000  # bytes of a video inside a notebook
SMALLER = "draw fewer or smaller frames, or take kind='mp4'"


def to_uint8(images: Tensor) -> Tensor:
    """Network output [N, 3, H, W] in [-1, 1] -> uint8 [N, 3, H, W] in 0..255; uint8 passes through."""
    if images.dtype == torch.uint8:
        return images
    return (images.detach().float() * 127.5 + 128).clamp(0, 255).to(torch.uint8)


def enlargement(size: int, side: int) -> int:
    """The whole factor that brings images of `size` pixels near `side`, at least 1: none is ever shrunk."""
    return max(1, side // size)


def to_pil(image: Tensor, scale: int = 1, side: int | None = None) -> Image.Image:
    """One image [3, H, W], float in [-1, 1] or uint8, enlarged by a whole factor (bicubic), see `grid`."""
    scale = scale if side is None else enlargement(image.shape[-1], side)
    array = to_uint8(image[None])[0].permute(1, 2, 0).cpu().numpy()
    picture = Image.fromarray(np.ascontiguousarray(array))
    size = (picture.width * scale, picture.height * scale)
    return picture if scale == 1 else picture.resize(size, Image.Resampling.BICUBIC)


def sized(image: Tensor, side: int) -> Image.Image:
    """One image [3, H, W], float in [-1, 1] or uint8, as a square of any size (bicubic)."""
    return to_pil(image).resize((side, side), Image.Resampling.BICUBIC)


def fitted(picture: Image.Image | None, side: int) -> Image.Image:
    """A whole picture in the middle of a white square; None: the square alone."""
    if picture is None:
        return Image.new("RGB", (side, side), PAPER)
    return ImageOps.pad(picture, (side, side), Image.Resampling.LANCZOS, PAPER)


def font(size: int = 14) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The letters of captions, of any script, so many pixels high; see :mod:`stylegan2.fonts`."""
    return caption_font(size)


def grid(
    images: Tensor, columns: int | None = None, scale: int = 1, gap: int = 2, side: int | None = None
) -> Image.Image:
    """All images in rows.

    Args:
        images: [N, 3, H, W], float in [-1, 1] or uint8.
        columns: images per row; None: all in one row up to 8.
        scale: enlargement, a whole factor.
        gap: white pixels between images.
        side: instead of `scale`: pixels of an image, about and at least; a larger one stays as it is.
    """
    scale = scale if side is None else enlargement(images.shape[-1], side)
    columns = min(len(images), 8) if columns is None else columns
    rows = -(-len(images) // columns)
    h, w = images.shape[2] * scale, images.shape[3] * scale
    sheet = Image.new("RGB", (columns * (w + gap) - gap, rows * (h + gap) - gap), PAPER)
    for i, image in enumerate(to_uint8(images)):
        sheet.paste(to_pil(image, scale), ((i % columns) * (w + gap), (i // columns) * (h + gap)))
    return sheet


def label(picture: Image.Image, text: str, width: int | None = None) -> Image.Image:
    """The picture with a caption on a white band above it; `width` puts it on a band to the left instead."""
    if width is None:
        canvas = Image.new("RGB", (picture.width, picture.height + 22), PAPER)
        canvas.paste(picture, (0, 22))
        ImageDraw.Draw(canvas).text((3, 3), text, INK, font())
        return canvas
    canvas = Image.new("RGB", (picture.width + width, picture.height), PAPER)
    canvas.paste(picture, (width, 0))
    pen, middle = ImageDraw.Draw(canvas), (width - 8, picture.height // 2)
    pen.multiline_text(middle, text, INK, font(), anchor="rm", align="right")
    return canvas


def stack(pictures: Sequence[Image.Image], gap: int = 4) -> Image.Image:
    """Pictures below each other, left-aligned."""
    canvas = Image.new("RGB", (max(p.width for p in pictures), sum(p.height + gap for p in pictures) - gap), PAPER)
    y = 0
    for picture in pictures:
        canvas.paste(picture, (0, y))
        y += picture.height + gap
    return canvas


def beside(pictures: Sequence[Image.Image], gap: int = 4) -> Image.Image:
    """Pictures from left to right, aligned at the top."""
    size = sum(p.width + gap for p in pictures) - gap, max(p.height for p in pictures)
    canvas, x = Image.new("RGB", size, PAPER), 0
    for picture in pictures:
        canvas.paste(picture, (x, 0))
        x += picture.width + gap
    return canvas


def rows(named: dict[str, Tensor], scale: int = 1, width: int | None = None, side: int | None = None) -> Image.Image:
    """One labelled row of images per entry: {"photo": [N, 3, H, W], "webtoon": ...}; `scale` or `side` as in `grid`."""
    if width is None:
        width = 16 + int(max(font().getlength(line) for name in named for line in name.split("\n")))
    drawn = {name: grid(images, len(images), scale, side=side) for name, images in named.items()}
    return stack([label(picture, name, width) for name, picture in drawn.items()], gap=2)


def jpeg_bytes(picture: Image.Image, quality: int = 88) -> bytes:
    """The picture as a JPEG file in memory, for an image widget or to be kept in a notebook."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def save(picture: Image.Image, path: str | os.PathLike, quality: int = 92) -> Path:
    """Write a picture atomically; the format follows the file's ending. Folders are made as needed."""
    with _replacing(path) as part:
        picture.save(part, quality=quality)
    return Path(path)


@contextmanager
def _replacing(path: str | os.PathLike) -> Iterator[Path]:
    """A file beside `path` to write to; it takes that name at the end, and is removed if anything goes wrong."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def gif(frames: Iterable[Image.Image], fps: int = 16, colours: int = 96):
    """An endless animation to show in a notebook (GitHub and the site show it too).

    One palette for all frames, and few colours, keep it small and free of flicker.
    """
    from IPython.display import Image as Shown

    return Shown(data=_gif_bytes(bar(frames, "film", "frame"), fps, colours), format="gif")


def _gif_bytes(frames: Iterable[Image.Image], fps: int, colours: int = 96) -> bytes:
    """An endless GIF. Its times are whole hundredths of a second: 24 frames a second become 25."""
    frames = list(_alike(frames))
    spread = frames[:: -(-len(frames) // 8)]  # colours of the whole round, not only of its first frame
    palette = stack(spread, gap=0).quantize(colours)
    small = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    buffer = io.BytesIO()
    small[0].save(buffer, "GIF", save_all=True, append_images=small[1:], duration=round(1000 / fps), loop=0)
    return buffer.getvalue()


def _alike(frames: Iterable[Image.Image]) -> Iterator[Image.Image]:
    """The frames in RGB. Raises ValueError if there is none, or one of another size than the first."""
    size = None
    for i, frame in enumerate(frames):
        size = size or frame.size
        if frame.size != size:
            raise ValueError(f"frame {i} is {frame.size} pixels, frame 0 is {size}: a video has one size")
        yield frame.convert("RGB")
    if size is None:
        raise ValueError("a video needs at least one frame, got none")


def save_video(frames: Iterable[Image.Image], path: str | os.PathLike, fps: int = 24, progress: bool = True) -> Path:
    """Write frames atomically as GIF (a path that ends in .gif) or MP4 (H.264, plays everywhere).

    Args:
        frames: pictures of one size; they may be drawn while they are written, see `editing.videos`. An MP4 has even
            sides: a last odd row or column is cut off.
        path: of the file.
        fps: frames a second.
        progress: a bar, should it take long.

    Raises:
        ValueError: another ending, no frames, frames of several sizes, or fps below 1.
    """
    path = Path(path)
    if path.suffix.lower() not in VIDEOS:
        raise ValueError(f"'{path.name}': expected a name that ends in {' or '.join(VIDEOS)}")
    if fps < 1:
        raise ValueError(f"fps is {fps}, expected at least 1 frame a second")
    frames = bar(frames, path.name, "frame", progress)
    with _replacing(path) as part:
        if path.suffix.lower() == ".gif":
            part.write_bytes(_gif_bytes(frames, fps))
        else:
            _write_mp4(frames, part, fps)
    return path


def _write_mp4(frames: Iterable[Image.Image], path: Path, fps: int) -> None:
    import imageio.v2 as imageio

    writer = imageio.get_writer(path, fps=fps, quality=8, macro_block_size=1)
    with closing(writer):  # as a context of its own it stays open after an error, and would write the file later
        for frame in _alike(frames):
            writer.append_data(np.asarray(frame)[: frame.height // 2 * 2, : frame.width // 2 * 2])


def show_video(
    video: str | os.PathLike | Iterable[Image.Image], fps: int = 16, kind: Literal["gif", "mp4"] = "gif", width=None
):
    """A video to show in a notebook, held by the notebook itself.

    Args:
        video: a file (.mp4 or .gif), shown as it is; or frames.
        fps: of frames.
        kind: what frames become: "gif" (GitHub and the site show it too), or "mp4" (smaller, with a time line; in an
            open notebook only).
        width: of the picture on the page, in pixels; None: as it is.

    Raises:
        ValueError: another file or kind; or more than 4 MB, which would make the notebook slow to open.
    """
    from IPython.display import Image as Shown
    from IPython.display import Video

    if isinstance(video, str | os.PathLike):
        kind, data = Path(video).suffix.lower().lstrip("."), Path(video).read_bytes()
    elif f".{kind}" in VIDEOS:
        data = _video_bytes(video, kind, fps)
    if f".{kind}" not in VIDEOS:
        raise ValueError(f"a video is one of {', '.join(VIDEOS)}, got {kind!r}")
    if len(data) > MOST_SHOWN:
        raise ValueError(f"the video has {len(data) / 1e6:.1f} MB, at most {MOST_SHOWN / 1e6:g} are shown: {SMALLER}")
    if kind == "gif":
        return Shown(data=data, format="gif", width=width)
    return Video(data=data, embed=True, mimetype="video/mp4", width=width, html_attributes="controls loop autoplay")


def _video_bytes(frames: Iterable[Image.Image], kind: str, fps: int) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return save_video(frames, Path(folder) / f"video.{kind}", fps).read_bytes()


def curves(
    rows: Sequence[dict[str, float]], names: dict[str, list[str]], x: str = "images", xlabel: str = "images seen"
):
    """Lines of a log against its column `x`, one small plot per entry of `names`: {"losses": ["loss_g", "loss_d"]}."""
    import matplotlib.pyplot as plt
    from matplotlib.ticker import MaxNLocator

    figure, axes = plt.subplots(1, len(names), figsize=(4 * len(names), 2.6), squeeze=False, layout="constrained")
    for axis, (title, columns) in zip(axes[0], names.items(), strict=True):
        for column in columns:
            points = [(row[x], row[column]) for row in rows if column in row]
            axis.plot(*zip(*points, strict=True) if points else ((), ()), label=column)
        axis.set(title=title, xlabel=xlabel)
        axis.xaxis.set_major_locator(MaxNLocator(5))
        axis.xaxis.set_major_formatter(lambda images, _: f"{images:,.0f}")
        axis.legend(frameon=False)
        axis.spines[["top", "right"]].set_visible(False)
    plt.close(figure)
    return figure


def figure_to_pil(figure) -> Image.Image:
    """A matplotlib figure as a picture."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=140)
    return Image.open(buffer).convert("RGB")


def bars(values: dict[str, float], highlight: Sequence[str] = (), xlabel: str = ""):
    """Horizontal bars with their numbers; the names in `highlight` in colour, the others grey."""
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(7, 0.5 + 0.42 * len(values)), layout="constrained")
    colours = ["#7a5cff" if name in highlight else "#c9c9d2" for name in values]
    drawn = axis.barh([figure_text(name) for name in values], list(values.values()), color=colours)
    axis.bar_label(drawn, [f"{v:,.0f}" if v >= 100 else f"{v:.3g}" for v in values.values()], padding=4)
    axis.invert_yaxis()
    axis.set(xlabel=xlabel)
    axis.margins(x=0.12)
    axis.spines[["top", "right"]].set_visible(False)
    plt.close(figure)
    return figure


def paths(
    named: dict[str, dict[str, tuple[float, float]]], xlabel="", ylabel="", limits: dict[str, float] | None = None
):
    """How two numbers go together while a setting moves: a line through named points per entry of `named`.

    Args:
        named: {line: {point: (x, y)}}; points are joined in the order given, and their names written beside them.
        xlabel, ylabel: of the axes.
        limits: {name: x} to mark by dotted vertical lines, e.g. the floor and the ceiling of a measure.
    """
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(7, 4.2), layout="constrained")
    colours, sides = ("#7a5cff", "#c98b1d", "#1f9d6b", "#d1476f"), ((7, 5, "left"), (-7, -12, "right"))
    for i, (name, points) in enumerate(named.items()):
        colour, (dx, dy, align) = colours[i % len(colours)], sides[i % len(sides)]
        axis.plot(*zip(*points.values(), strict=True), "o-", color=colour, label=figure_text(name))
        for text, at in points.items():
            axis.annotate(figure_text(text), at, (dx, dy), textcoords="offset points", ha=align, size=9, color=colour)
    for name, x in (limits or {}).items():
        axis.axvline(x, color="#9a9aa4", ls=":", lw=1)
        axis.text(x, axis.get_ylim()[1], figure_text(name), rotation=90, va="top", ha="right", size=8, color="#6a6a74")
    axis.set(xlabel=xlabel, ylabel=ylabel)
    axis.legend(frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    plt.close(figure)
    return figure
