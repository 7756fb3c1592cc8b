"""Read a prepared LMDB: the dataset, and a summary of it. (Its order and batches: :mod:`stylegan2.batches`.)"""

from __future__ import annotations

import io
import json
import math
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

import lmdb
import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from stylegan2.data.sources import is_registered
from stylegan2.files import counted

CACHE_LIMIT = 1 << 30  # bytes: 87,000 images of 64 px, 5,400 of 256 px
SAMPLES = 256  # images, at most, of which `inspect` takes the colours
META_KEY, LENGTH_KEY = b"meta", b"length"


def image_key(size: int, index: int) -> bytes:
    """LMDB key of one image, as in the original: size, a dash, the index with at least five digits."""
    return f"{size}-{index:05d}".encode()


_ENVIRONMENTS: dict[str, tuple[tuple[int, int], object]] = {}  # real path -> ((device, inode) of the file, environment)


def open_reader(path: str | os.PathLike):
    """The read-only LMDB environment of `path`, opened once per process (LMDB allows no more) and shared.

    A file that was replaced since is reopened; a forked worker uses its parent's map, which is read-only and lock-free.
    Raises FileNotFoundError or ValueError where there is nothing to read.
    """
    real = os.path.realpath(path)
    try:
        stat = os.stat(Path(real) / "data.mdb")
    except (FileNotFoundError, NotADirectoryError):
        raise _no_lmdb(path) from None
    identity = (stat.st_dev, stat.st_ino)
    opened, environment = _ENVIRONMENTS.get(real, (None, None))
    if opened != identity:
        close_reader(path)
        try:
            environment = lmdb.open(real, max_readers=32, readonly=True, lock=False, readahead=False, meminit=False)
        except lmdb.Error as error:
            if "already open" in str(error):
                raise ValueError(f"'{path}' is already open in this process by other code; close that first") from error
            raise ValueError(f"'{path}' is not a readable LMDB ({error}); {_again(path)}") from error
        _ENVIRONMENTS[real] = (identity, environment)
    return environment


def _again(path: str | os.PathLike) -> str:
    return f"prepare it again: python -m stylegan2 prepare IMAGES --out {shlex.quote(os.fspath(path))} --overwrite"


def _no_lmdb(path: str | os.PathLike) -> Exception:
    """The error for a path that is no LMDB folder."""
    text, make = os.fspath(path), "python -m stylegan2 prepare"
    if not os.path.exists(path) and not is_registered(text):
        own = shlex.quote(f"{os.path.splitext(text)[0]}.lmdb")  # never a .zip, which would be read as images
        return FileNotFoundError(f"no dataset at '{text}'; make one: {make} IMAGES --out {own}")
    what = "a folder without data.mdb" if os.path.isdir(path) else "a file or a rendered set"
    make = f"{make} {shlex.quote(text)} --out OUT.lmdb"
    return ValueError(f"'{text}' is not an LMDB but {what}; if it has images, turn it into a dataset first: {make}")


def close_reader(path: str | os.PathLike) -> None:
    """Close the shared environment of `path`, if open; datasets reopen it at their next read."""
    _, environment = _ENVIRONMENTS.pop(os.path.realpath(path), (None, None))
    if environment is not None:
        environment.close()


def is_lmdb(path: str | os.PathLike) -> bool:
    """Does `path` look like an LMDB folder?"""
    return os.path.isfile(os.path.join(os.fspath(path), "data.mdb"))


def read_sizes(path: str | os.PathLike) -> tuple[int, ...]:
    """Image sizes in pixels, ascending. Jumps from prefix to prefix, so it is quick for any number of images."""
    sizes = []
    with open_reader(path).begin() as txn:
        cursor = txn.cursor()
        more = cursor.first()
        while more:
            prefix, dash, _ = bytes(cursor.key()).partition(b"-")
            if dash and prefix.isdigit():
                sizes.append(int(prefix))
            more = cursor.set_range(prefix + b".") if dash else cursor.next()  # "." is the byte after "-"
    return tuple(sorted(sizes))


class LMDBDataset(Dataset):
    """Images of one size from a prepared LMDB (ours or the original's).

    `dataset[i]` or `dataset[i, flip]` -> uint8 tensor [3, H, W], 0..255, RGB; `flip` mirrors left and right. With
    `cache`, and if all fit in `CACHE_LIMIT`, every image is decoded once, at the first read, and held in memory.
    Raises FileNotFoundError (no such path) or ValueError (not an LMDB, empty, no such resolution).
    """

    def __init__(self, path: str | os.PathLike, resolution: int | None = None, cache: bool = False):
        """resolution: None for the largest there is."""
        self.path = Path(path)
        with open_reader(path).begin() as txn:
            length = txn.get(LENGTH_KEY)
        if length is None or not length.isdigit():
            raise ValueError(f"'{path}' is an LMDB without a usable 'length' key ({length!r}): not an image dataset")
        self.length, sizes = int(length), read_sizes(path)
        if not self.length or not sizes:
            raise ValueError(f"the dataset '{path}' is empty; prepare it again and read the report's skipped files")
        self.resolution = max(sizes) if resolution is None else resolution
        if self.resolution not in sizes:
            raise ValueError(f"'{path}' has no images of {resolution} px; it has {', '.join(map(str, sizes))} px")
        self.is_cached = cache and self.length * 3 * self.resolution**2 <= CACHE_LIMIT  # read from memory
        self._pixels: torch.Tensor | None = None  # then, from the first read on: uint8 [N, 3, H, W]

    def __len__(self) -> int:
        return self.length

    def __repr__(self) -> str:
        cached = ", in memory" if self.is_cached else ""
        return f"LMDBDataset('{self.path}', {counted(self.length, 'image')} of {self.resolution} px{cached})"

    def __getitem__(self, item: int | tuple[int, bool]) -> torch.Tensor:
        pair = item if isinstance(item, tuple) else (item, False)
        return self.batch([pair])[0].contiguous()  # [3, H, W]

    def batch(self, pairs: Sequence[tuple[int, bool]]) -> torch.Tensor:
        """(index, flip) of each -> uint8 [N, 3, H, W], in the order of memory in which they were decoded."""
        for index, _ in pairs:
            if not -self.length <= index < self.length:
                raise IndexError(f"image {index} of '{self.path}', which has {self.length} (0 to {self.length - 1})")
        indices, flips = [index % self.length for index, _ in pairs], torch.tensor([bool(flip) for _, flip in pairs])
        if self.is_cached:
            if self._pixels is None:
                self._pixels = self._decoded(range(self.length)).contiguous()
            images = self._pixels[torch.tensor(indices)]  # a copy
        else:
            images = self._decoded(indices)
        images[flips] = images[flips].flip(3)
        return images

    def _decoded(self, indices: Sequence[int]) -> torch.Tensor:
        """Stored images -> uint8 [N, 3, H, W], channels last in memory."""
        return torch.from_numpy(np.stack([self._decode(index) for index in indices])).permute(0, 3, 1, 2)

    def _decode(self, index: int) -> np.ndarray:
        """One stored image -> uint8 [H, W, 3]."""
        with open_reader(self.path).begin() as txn:
            data = txn.get(image_key(self.resolution, index))
        if data is None:
            raise ValueError(
                f"'{self.path}' says it has {counted(self.length, 'image')} but lacks "
                f"'{image_key(self.resolution, index).decode()}'; {_again(self.path)}"
            )
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_pixels": None, "is_cached": False}  # a worker reads from disk


def inspect(path: str | os.PathLike) -> str:
    """In words: length, sizes, format, bytes on disk, keys, colours (at the smallest size, of at most `SAMPLES`)."""
    sizes = read_sizes(path)
    dataset, meta = LMDBDataset(path, min(sizes, default=None)), read_meta(path)
    keys = [image_key(sizes[0], 0), image_key(sizes[-1], dataset.length - 1), LENGTH_KEY]
    with open_reader(path).begin() as txn, Image.open(io.BytesIO(txn.get(keys[0]))) as image:
        kind = image.format
    step = max(1, math.ceil(dataset.length / SAMPLES))
    pixels = torch.stack([dataset[k] for k in range(0, dataset.length, step)]).double()  # [n, 3, H, W]
    mean, std = (
        " ".join(f"{v:.1f}" for v in values.tolist()) for values in (pixels.mean((0, 2, 3)), pixels.std((0, 2, 3)))
    )
    whole = meta.get("done", 0) == meta.get("total", 0)
    images = counted(dataset.length, "image") + " (not finished: run prepare again to continue)" * (not whole)
    return (
        f"{path}: {images}, {', '.join(f'{size} px' for size in sizes)}, {kind}, "
        f"{os.stat(Path(path) / 'data.mdb').st_size / 2**20:.1f} MiB\n"
        f"  keys {', '.join(dict.fromkeys(key.decode() for key in keys))}\n"
        f"  mean {mean}, standard deviation {std} (RGB, 0..255)"
    )


def read_meta(path: str | os.PathLike) -> dict:
    """The record that `prepare` keeps beside the images: source, settings, how far it is. Empty where there is none."""
    with open_reader(path).begin() as txn:
        raw = txn.get(META_KEY)
    return json.loads(raw) if raw else {}
