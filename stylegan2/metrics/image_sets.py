"""Sets of images to measure: rendered from seeds, or read from a dataset, folder or zip; all uint8."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from stylegan2.bars import bar
from stylegan2.data.dataset import LMDBDataset, is_lmdb
from stylegan2.data.images import Settings
from stylegan2.data.sources import open_source
from stylegan2.display import to_uint8
from stylegan2.editing.latents import noise_from_seeds, render, z_from_seeds
from stylegan2.networks import Generator, MappingNetwork

Images = Tensor | Dataset  # [N, 3, H, W], uint8 or float in [-1, 1], at once or image by image


class GeneratedImages(Dataset):
    """Images of seeds, rendered when they are asked for: item i -> uint8 [3, R, R], on the generator's device.

    Item i is the image of seed `first_seed` + i, noise included, without truncation, whatever is rendered beside it.
    `mapping` makes the codes, default `g`'s: with the source's mapping, source and target share their codes.
    """

    def __init__(self, g: Generator, count: int, first_seed: int = 0, mapping: MappingNetwork | None = None):
        self.g, self.count, self.first_seed = g, count, first_seed
        self.mapping = mapping or g.mapping

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Tensor:
        if not 0 <= index < self.count:
            raise IndexError(f"image {index} of {self.count}")
        return self.__getitems__([index])[0]

    @torch.no_grad()
    def __getitems__(self, indices: Sequence[int]) -> list[Tensor]:
        """Several at once; what a `DataLoader` asks for."""
        seeds = [self.first_seed + index for index in indices]
        ws = self.mapping(z_from_seeds(self.mapping.z_dim, seeds))
        return list(to_uint8(render(self.g, ws, noise_from_seeds(self.g, seeds), len(ws))))


class SourceImages(Dataset):
    """Images of a folder, a zip or a rendered set, cropped and resized as `prepare` does: item i -> uint8 [3, S, S].

    Raises FileNotFoundError or ValueError for no such source, and, when its turn comes, for a file that is no image.
    """

    def __init__(self, path: str | os.PathLike, size: int):
        self.source, self.size = open_source(path), size
        self.settings = Settings(sizes=(size,))

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Tensor:
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        (loaded,) = self.source.load(range(index, index + 1), self.settings)
        if isinstance(loaded, str):
            raise ValueError(
                f"'{self.source.names[index]}' in {self.source.title} gives no image ({loaded}): take it out, or make "
                "a dataset, which leaves it out: python -m stylegan2 prepare"
            )
        return torch.from_numpy(np.array(loaded[self.size])).permute(2, 0, 1)


def open_images(path: str | os.PathLike, size: int) -> Dataset:
    """Real images of `size` px: a prepared dataset (LMDB) as it is; a folder, zip or rendered set by `SourceImages`.

    Raises FileNotFoundError or ValueError for nothing there, or a dataset without images of that size.
    """
    return LMDBDataset(path, size) if is_lmdb(path) else SourceImages(path, size)


def batches(images: Images, batch: int, what: str | None) -> Iterator[Tensor]:
    """All images in order, uint8 [n, 3, H, W]; a progress bar called `what`, should it take long."""
    loader = DataLoader(images, batch, generator=torch.Generator())  # without one it would use the global one
    for chunk in bar(loader, what or "", "batch", what is not None):
        yield to_uint8(chunk)
