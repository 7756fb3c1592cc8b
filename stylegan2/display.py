"""Pictures from tensors: tables of images with titles, and files. Most functions return a PIL image."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from itertools import accumulate, zip_longest
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageOps
from torch import Tensor

from stylegan2 import files
from stylegan2.fonts import font

INK, PAPER = (40, 40, 48), (255, 255, 255)
Cell = Image.Image | Tensor | str | None


def to_uint8(images: Tensor) -> Tensor:
    """Network output [N, 3, H, W] in [-1, 1] -> uint8 [N, 3, H, W] in 0..255; uint8 passes through."""
    if images.dtype == torch.uint8:
        return images
    return (images.detach().float() * 127.5 + 128).clamp(0, 255).to(torch.uint8)


def to_pil(image: Tensor, scale: int = 1, side: int | None = None) -> Image.Image:
    """One image [3, H, W], float in [-1, 1] or uint8, enlarged by a whole factor (bicubic), see `grid`."""
    scale = scale if side is None else max(1, side // image.shape[-1])
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


def table(
    cells: Sequence[Sequence[Cell]],
    columns: Sequence[str] = (),
    rows: Sequence[str] = (),
    *,
    gap: int | tuple[int, int] = 4,
    band: int = 20,
    side: int | None = None,
    corner: str = "",
) -> Image.Image:
    """Pictures and texts in rows and columns.

    Args:
        cells: rows of pictures or images [3, H, W] (float in [-1, 1] or uint8), at the upper left of their place; of
            texts, in the middle of theirs; or of None. Rows may have different lengths.
        columns, rows: titles above the columns, and to the left of the rows (of one or several lines).
        gap: white pixels between cells; or (between columns, between rows).
        band: height of column titles and texts.
        side: pixels of the images, which become squares; None: as they are.
        corner: title of the rows' titles.
    """
    if side is not None:
        cells = [[sized(cell, side) if isinstance(cell, Tensor) else cell for cell in row] for row in cells]
    placed = [[to_pil(cell) if isinstance(cell, Tensor) else cell for cell in row] for row in cells]
    across, down = (gap, gap) if isinstance(gap, int) else gap
    lines = "\n".join([*rows, corner]).split("\n")
    left = 16 + int(max(map(font().getlength, lines))) if rows else 0
    widths = [max(getattr(cell, "width", 0) for cell in column) for column in zip_longest(*placed)]
    heights = [max(band if isinstance(cell, str) else getattr(cell, "height", 0) for cell in row) for row in placed]
    xs = list(accumulate((width + across for width in widths), initial=left))
    ys = list(accumulate((height + down for height in heights), initial=band if columns else 0))
    canvas = Image.new("RGB", (xs[-1] - across, ys[-1] - down), PAPER)
    texts = [(left - 8, band / 2, corner, "rm")]
    texts += [(x + width / 2, band / 2, text, "mm") for x, width, text in zip(xs, widths, columns, strict=False)]
    texts += [(left - 8, y + height / 2, text, "rm") for y, height, text in zip(ys, heights, rows, strict=False)]
    for y, height, row in zip(ys, heights, placed, strict=False):
        for x, width, cell in zip(xs, widths, row, strict=False):
            if isinstance(cell, Image.Image):
                canvas.paste(cell, (x, y))
            elif cell:
                texts.append((x + width / 2, y + height / 2, cell, "mm"))
    pen = ImageDraw.Draw(canvas)
    for x, y, text, anchor in texts:
        pen.text((x, y), text, INK, font(), anchor=anchor, align="right")
    return canvas


def grid(
    images: Tensor, columns: int | None = None, scale: int = 1, gap: int = 2, side: int | None = None
) -> Image.Image:
    """All images [N, 3, H, W], float in [-1, 1] or uint8, in rows of `columns` (None: of all, up to 8).

    scale: enlargement, a whole factor. side: instead, pixels of an image, about and at least; a larger one stays as
    it is. gap: white pixels between images.
    """
    columns = min(len(images), 8) if columns is None else columns
    pictures = [to_pil(image, scale, side) for image in to_uint8(images)]
    return table([pictures[i : i + columns] for i in range(0, len(pictures), columns)], gap=gap)


def label(picture: Image.Image, text: str) -> Image.Image:
    """The picture with a caption on a white band above it, at the left."""
    canvas = stack([Image.new("RGB", (1, 22), PAPER), picture], gap=0)
    ImageDraw.Draw(canvas).text((3, 3), text, INK, font())
    return canvas


def note(text: str, width: int) -> Image.Image:
    """A text in small letters, in lines of about `width` pixels; as wide as that."""
    letters = font(12)
    lines = textwrap.wrap(text, max(8, int(width / letters.getlength("n"))))
    canvas = Image.new("RGB", (width, 15 * len(lines) + 5), PAPER)
    ImageDraw.Draw(canvas).text((1, 1), "\n".join(lines), INK, letters, spacing=2)
    return canvas


def stack(pictures: Sequence[Image.Image], gap: int = 4) -> Image.Image:
    """Pictures below each other, left-aligned."""
    return table([[picture] for picture in pictures], gap=gap)


def beside(pictures: Sequence[Image.Image], gap: int = 4) -> Image.Image:
    """Pictures from left to right, aligned at the top."""
    return table([pictures], gap=gap)


def rows(named: dict[str, Tensor], scale: int = 1, side: int | None = None) -> Image.Image:
    """One labelled row of images per entry: {"photo": [N, 3, H, W], "webtoon": ...}; `scale` or `side` as in `grid`."""
    return table([[grid(images, len(images), scale, side=side)] for images in named.values()], rows=list(named), gap=2)


def save(picture: Image.Image, path: str | os.PathLike, quality: int = 92) -> Path:
    """Write a picture atomically; the format follows the file's ending. Folders are made as needed."""
    with files.replacing(path) as part:
        picture.save(part, quality=quality)
    return Path(path)
