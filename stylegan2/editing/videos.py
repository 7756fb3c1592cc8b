"""Videos: frames that are rendered when they are asked for, along a path of codes or of any number; and their files.

    frames = videos.walk({"photo": source, "webtoon": target}, ws)  # the same w in both, from face to face and back
    frames = videos.sweep(g, lambda psi: ws_from_seeds(g, [3], psi), videos.there_and_back(0, 1.5, 48), "psi {:.2f}")
    videos.save(frames, "faces.mp4")

Noise is the same in all frames; otherwise hair and skin would flicker.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stylegan2 import display, files
from stylegan2.bars import bar
from stylegan2.editing import latents
from stylegan2.networks import Generator, Noise

SIDE = 256  # pixels of a face, about and at least, by default
Generators = Generator | Mapping[str, Generator]
ENDINGS = (".mp4", ".gif")
MOST_SHOWN = 4_000_000  # bytes of a video inside a notebook


class Lazy(Sequence[Image.Image]):
    """Pictures render(value) of a list of values, each made when it is asked for: `save` never holds them all."""

    def __init__(self, render: Callable[[Any], Image.Image], values: Iterable[Any]):
        self.render, self.values = render, list(values)
        if not self.values:
            raise ValueError("a video needs at least one frame, got none")

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, i):
        """A picture, or a list of them for a slice. Raises IndexError beyond the end."""
        return [self.render(value) for value in self.values[i]] if isinstance(i, slice) else self.render(self.values[i])


class Frames(Lazy):
    """Pictures of codes, rendered by one or several generators side by side, a few codes at a time.

    Args:
        generators: one; or {caption: generator}, which all render the same codes.
        ws: [T, L, w_dim], a code per frame; or [T, N, L, w_dim], N faces in a row, several generators below each other.
        captions: a line above every frame.
        noise: as in `SynthesisNetwork.sample_noise`, but "random", which would flicker; sampled once, for one image.
        scale: enlargement, a whole factor; None: what brings faces to about `side` pixels, or leaves them larger.
        batch: codes at once. A frame always shares its batch with the same others, so its pixels never change.

    Raises ValueError for codes that a generator does not take, other noise, or no frames.
    """

    def __init__(
        self, generators: Generators, ws: Tensor, captions=None, noise: Noise = "const", scale=None, batch=16, side=SIDE
    ):
        self.generators = {"": generators} if isinstance(generators, Generator) else dict(generators)
        self.ws = ws[:, None] if ws.ndim == 3 else ws
        if self.ws.ndim != 4:
            raise ValueError(f"codes are {list(ws.shape)}, expected [frames, L, w_dim] or [frames, faces, L, w_dim]")
        for name, g in self.generators.items():
            latents.check_fits(g, self.ws, name)
        self.captions = None if captions is None else list(captions)
        if captions is not None and len(self.captions) != len(ws):
            raise ValueError(f"expected a caption for each of {len(ws)} frames, got {len(self.captions)}")
        if noise == "random":
            raise ValueError("noise is 'random', expected 'const', 'none' or a torch.Generator: it would flicker")
        largest = max(self.generators.values(), key=lambda g: g.resolution)
        self.noise = noise if isinstance(noise, str) else largest.synthesis.sample_noise(1, noise)
        self.scale = scale or max(1, side // largest.resolution)  # whole, and none is ever shrunk
        self.batch = max(1, batch // self.ws.shape[1])
        self._images = lru_cache(maxsize=1)(self._render)
        super().__init__(self._frame, range(len(ws)))

    def _frame(self, i: int) -> Image.Image:
        number, at = divmod(i, self.batch)
        rows = {name: images[at] for name, images in self._images(number).items()}  # [N, 3, R, R] each
        pictures = [display.grid(images, len(images), self.scale) for images in rows.values()]
        pictures = [display.label(row, name) if name else row for name, row in zip(rows, pictures, strict=True)]
        picture = display.stack(pictures) if self.ws.shape[1] > 1 else display.beside(pictures)
        return picture if self.captions is None else display.label(picture, self.captions[i])

    def _render(self, number: int) -> dict[str, Tensor]:
        """The images of a batch, by generator: uint8 [B, N, 3, R, R] on the CPU."""
        ws = self.ws[number * self.batch : (number + 1) * self.batch]
        flat = ws.flatten(0, 1)
        rendered = {name: latents.render(g, flat, self.noise, len(flat)) for name, g in self.generators.items()}
        return {name: display.to_uint8(images).cpu().unflatten(0, ws.shape[:2]) for name, images in rendered.items()}


def walk(generators: Generators, keys: Tensor, frames_per_key: int = 48, **settings: Any) -> Frames:
    """From code to code [K, L, w_dim] and back to the first, easing in and out; `settings` as of `Frames`."""
    if len(keys) < 2:
        raise ValueError(f"faces to go between: {len(keys)}, expected at least two, such as seeds 1,5,9")
    if frames_per_key < 1:
        raise ValueError(f"there are {frames_per_key} frames from face to face, expected at least 1")
    return Frames(generators, latents.loop(keys, frames_per_key), **settings)


def there_and_back(low: float, high: float, frames: int) -> list[float]:
    """low + (high - low) (1 - cos 2 pi t) / 2: a round that rests at both ends. Raises ValueError below 2 frames."""
    if frames < 2:
        raise ValueError(f"there are {frames} frames, expected at least 2 to go there and back")
    return [low + (high - low) * (1 - math.cos(2 * math.pi * i / frames)) / 2 for i in range(frames)]


@torch.no_grad()
def sweep(
    generators: Generators, ws_of: Callable[[float], Tensor], amounts: Iterable[float], caption=None, **settings: Any
) -> Frames:
    """What one number does to the codes: degrees of a direction, strength of an edit, psi.

    `ws_of` an amount is [L, w_dim], or [N, L, w_dim] for N faces; there is a frame for each of `amounts`, which are put
    into the caption: "degree {:+.1f}". Other arguments, and errors, as those of `Frames`.
    """
    amounts = [float(amount) for amount in amounts]
    captions = None if caption is None else [caption.format(amount) for amount in amounts]
    return Frames(generators, torch.stack([ws_of(amount) for amount in amounts]), captions, **settings)


# ----------------------------------------------------------------------------------------------- files, and notebooks
def save(frames: Iterable[Image.Image], path: str | os.PathLike, fps: float = 24, progress: bool = True) -> Path:
    """Write frames atomically as GIF (a path that ends in .gif) or MP4 (H.264, plays everywhere).

    The frames may be rendered meanwhile. An MP4 loses a last odd row or column. Raises ValueError for another ending,
    no frames, or frames of several sizes.
    """
    path = Path(path)
    if path.suffix.lower() not in ENDINGS:
        raise ValueError(f"'{path.name}': expected a name that ends in {' or '.join(ENDINGS)}")
    frames = bar(frames, path.name, "frame", progress)
    with files.replacing(path) as part:
        if path.suffix.lower() == ".gif":
            part.write_bytes(_gif_bytes(frames, fps))
        else:
            _write_mp4(frames, part, fps)
    return path


def show(frames: Iterable[Image.Image], fps: int = 16, width: int | None = None, colours: int = 96):
    """Frames as an endless GIF inside the notebook, `width` pixels wide there; few `colours` keep it small.

    Raises ValueError for more than 4 MB, which would make the notebook slow to open.
    """
    from IPython.display import Image as Shown

    data = _gif_bytes(bar(frames, "film", "frame"), fps, colours)
    if len(data) > MOST_SHOWN:
        raise ValueError(
            f"the video has {len(data) / 1e6:.1f} MB, at most {MOST_SHOWN / 1e6:g} are shown: render fewer or smaller "
            "frames, or `save` them as .mp4"
        )
    return Shown(data=data, format="gif", width=width)


def _gif_bytes(frames: Iterable[Image.Image], fps: int, colours: int = 96) -> bytes:
    """An endless GIF, of one palette: small and free of flicker. Its times are whole hundredths of a second."""
    frames = list(_alike(frames))
    spread = frames[:: -(-len(frames) // 8)]  # colours of the whole round, not only of its first frame
    palette = display.stack(spread, gap=0).quantize(colours, kmeans=3)
    small = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    buffer = io.BytesIO()
    small[0].save(buffer, "GIF", save_all=True, append_images=small[1:], duration=round(1000 / fps), loop=0)
    return buffer.getvalue()


def even(size: tuple[int, int]) -> tuple[int, int]:
    """The width and height that an MP4 of such pictures has: without a last odd row or column."""
    return size[0] // 2 * 2, size[1] // 2 * 2


def _write_mp4(frames: Iterable[Image.Image], path: Path, fps: float) -> None:
    import imageio.v2 as imageio

    writer = imageio.get_writer(path, fps=fps, quality=8, macro_block_size=1)
    with closing(writer):  # as a context of its own it stays open after an error, and would write the file later
        for frame in _alike(frames):
            width, height = even(frame.size)
            writer.append_data(np.asarray(frame)[:height, :width])


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
