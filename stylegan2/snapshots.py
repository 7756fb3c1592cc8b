"""Snapshots of a run: atomic files, the newest few kept, the newest readable one found again."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch

from stylegan2 import checkpoints
from stylegan2.networks import Discriminator, Generator


def snapshot_files(folder: Path) -> list[Path]:
    """Snapshots of a run's folder, oldest first."""
    return sorted((folder / "snapshots").glob("[0-9]*.pt"))


def write(folder: Path, images: int, g_ema: Generator, g: Generator, d: Discriminator, state: dict, meta: dict) -> Path:
    """Save everything that resuming needs, named by the images seen."""
    path = folder / "snapshots" / f"{images:09d}.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    checkpoints.save(path, g_ema=g_ema, g=g, d=d, meta=meta, training=state)
    return path


def prune(folder: Path, keep: int, images: int) -> None:
    """Delete all but the newest `keep` snapshots up to `images`, which was just written.

    Later ones are damaged (`latest` passed them over) or of work that has been redone: they go too, and so does what a
    kill left of an unfinished one.
    """
    files = snapshot_files(folder)
    later = [path for path in files if int(path.stem) > images]
    old = [path for path in files if path not in later][:-keep]
    for path in [*later, *old, *(folder / "snapshots").glob(".*.part*")]:
        path.unlink()


def latest(folder: Path) -> Path | None:
    """The newest snapshot that can be read; a damaged one is warned about and passed over. None if there is none."""
    for path in reversed(snapshot_files(folder)):
        try:
            checkpoints.load(path, "cpu")
            return path
        except checkpoints.CheckpointError as error:
            warnings.warn(f"passing over a snapshot that cannot be read: {error}", stacklevel=2)
    return None


def read_training_state(path: Path, device: torch.device | str) -> checkpoints.Checkpoint:
    """Load a snapshot with its optimisers.

    Raises:
        checkpoints.CheckpointError: for a file without training state.
    """
    found = checkpoints.load(path, device=device)
    if found.training is None or found.g is None or found.d is None:
        raise checkpoints.CheckpointError(f"'{path}' is a model without training state: it can be loaded, not resumed")
    return found
