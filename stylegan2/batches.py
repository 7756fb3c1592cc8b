"""The order in which training sees its images: endless, shuffled, stateless.

Batch k is computed from (seed, k) alone, by hashing, so nothing has to be saved or replayed to resume at step k.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from itertools import count

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from stylegan2.files import counted

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _hash64(seed: int, stream: int, counter: np.ndarray) -> np.ndarray:
    """Random bits, uint64 [n], from (seed, stream, counter uint64 [n]): the same in every version of every library.

    SplitMix64's mixer (Steele, Lea, Flood, OOPSLA 2014), applied to each part in turn.
    """
    bits = np.zeros_like(counter)
    with np.errstate(over="ignore"):  # arithmetic modulo 2^64 is the point
        for part in (np.uint64(seed % 2**64), np.uint64(stream), counter):
            bits = (bits ^ part) + _GOLDEN
            bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            bits = bits ^ (bits >> np.uint64(31))
    return bits


class BatchOrder:
    """An endless, stateless order of batches: lists of (index, flip), also usable as a DataLoader's `batch_sampler`.

    All epochs, each a fresh permutation of the dataset, are laid end to end and cut into batches: no image is dropped.
    `BatchOrder(..., start=k)` begins with batch k. Shard s of n takes every n-th element of the whole batch, from s on.

    length: images in the dataset; batch: images per step over all shards; mirror: flip each image with probability 1/2.
    Raises ValueError where the dataset is smaller than a batch or the shards do not divide it.
    """

    def __init__(
        self, length: int, batch: int, seed: int, mirror: bool = True, start: int = 0, num_shards: int = 1, shard=0
    ):
        check_batch(length, batch)
        if num_shards < 1 or batch % num_shards or not 0 <= shard < num_shards:
            raise ValueError(
                f"shard {shard} of {num_shards} with batch {batch}: expected 0 <= shard < num_shards and "
                "a batch (over all shards) that num_shards divides"
            )
        if start < 0:
            raise ValueError(f"start={start}: expected the number of batches already used, 0 or more")
        self.length, self.batch, self.seed, self.mirror = length, batch, seed, mirror
        self.start, self.num_shards, self.shard = start, num_shards, shard
        self._epochs: dict[int, np.ndarray] = {}  # the permutations in use, at most a few

    def permutation(self, epoch: int) -> np.ndarray:
        """The order of one epoch: int64 [length]."""
        if epoch not in self._epochs:
            self._epochs = {k: v for k, v in self._epochs.items() if k == epoch - 1}
            keys = _hash64(self.seed, 2 * epoch, np.arange(self.length, dtype=np.uint64))
            self._epochs[epoch] = np.argsort(keys, kind="stable")
        return self._epochs[epoch]

    def batch_at(self, step: int) -> list[tuple[int, bool]]:
        """Batch number `step` (this shard's part of it): a list of (index, flip)."""
        positions = np.arange(step * self.batch + self.shard, (step + 1) * self.batch, self.num_shards)
        epochs, offsets = np.divmod(positions, self.length)
        indices = [int(self.permutation(int(e))[o]) for e, o in zip(epochs, offsets, strict=True)]
        if not self.mirror:
            return [(index, False) for index in indices]
        flips = _hash64(self.seed, 1, positions.astype(np.uint64)) >> np.uint64(63)
        return [(index, bool(flip)) for index, flip in zip(indices, flips, strict=True)]

    def __iter__(self) -> Iterator[list[tuple[int, bool]]]:
        return map(self.batch_at, count(self.start))


def check_batch(length: int, batch: int) -> None:
    """Raise ValueError where a dataset of `length` images cannot fill a batch."""
    if batch < 1:
        raise ValueError(f"batch={batch}: expected at least 1")
    if length < batch:
        raise ValueError(
            f"the dataset has {counted(length, 'image')}, fewer than one batch of {batch}: "
            f"add images or use a batch of at most {length}"
        )


def batches(
    dataset: Dataset, batch: int, seed: int, workers: int = 0, pin: bool = False, **order
) -> Iterator[torch.Tensor]:
    """Endless batches, uint8 [batch / num_shards, 3, H, W], in the order of `BatchOrder`, to which `order` goes.

    The images are the same for any number of `workers` (0, or a dataset held in memory: read in this process), and
    torch's global random state is left alone. `pin` pins memory for copies to a GPU where there is one.
    Raises ValueError where the dataset is smaller than a batch.
    """
    pairs = BatchOrder(len(dataset), batch, seed, **order)
    pin = pin and torch.cuda.is_available()
    if workers == 0 or getattr(dataset, "is_cached", False):
        return _read_here(dataset, pairs, pin)
    loader = DataLoader(
        dataset,
        batch_sampler=pairs,
        num_workers=workers,
        prefetch_factor=4,
        persistent_workers=True,
        pin_memory=pin,
        worker_init_fn=_ignore_interrupt,
        generator=torch.Generator().manual_seed(0),  # else the loader would draw a seed from the global state
    )
    return iter(loader)


def _ignore_interrupt(_: int) -> None:
    """Ctrl-C reaches every process of a terminal; the trainer still needs its workers to finish the iteration."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _read_here(dataset: Dataset, order: BatchOrder, pin: bool) -> Iterator[torch.Tensor]:
    for pairs in order:
        images = dataset.batch(pairs) if hasattr(dataset, "batch") else torch.stack([dataset[p] for p in pairs])
        yield images.pin_memory() if pin else images
