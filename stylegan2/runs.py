"""A run's folder: log.csv, TensorBoard events if wanted, and snapshots, of which the newest few are kept."""

from __future__ import annotations

import csv
import io
import os
import warnings
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from stylegan2 import checkpoints, files

COLUMNS = ("images", "loss_g", "loss_d", "r1", "path_length", "augment_p", "r_t", "images_per_second")


def snapshot_files(folder: Path) -> list[Path]:
    """Snapshots of a run's folder, oldest first; each is named by the images seen."""
    return sorted((folder / "snapshots").glob("[0-9]*.pt"))


def prune(folder: Path, keep: int, images: int) -> None:
    """Delete all but the newest `keep` snapshots up to `images`, which was just written, and unfinished ones.

    Later ones are damaged (`latest` passed them over) or of work that has been redone.
    """
    paths = snapshot_files(folder)
    later = [path for path in paths if int(path.stem) > images]
    old = [path for path in paths if path not in later][:-keep]
    for path in [*later, *old, *(folder / "snapshots").glob(".*.part")]:
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


class Averages:
    """Means of scalars between two lines of the log. Tensors are only read out at the end: no waiting in between."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor | float] = {}
        self._counts: dict[str, int] = {}

    def add(self, **values: Tensor | float) -> None:
        """Count one value for each name."""
        for name, value in values.items():
            value = value.detach() if isinstance(value, Tensor) else value
            self._sums[name] = self._sums.get(name, 0.0) + value
            self._counts[name] = self._counts.get(name, 0) + 1

    def pop(self) -> dict[str, float]:
        """The means so far, and start again."""
        means = {name: float(total) / self._counts[name] for name, total in self._sums.items()}
        self._sums, self._counts = {}, {}
        return means

    def state_dict(self) -> dict[str, dict[str, float]]:
        """The unfinished means, for a snapshot: a resumed run then logs what an uninterrupted one does."""
        return {"sums": {name: float(total) for name, total in self._sums.items()}, "counts": dict(self._counts)}

    def load_state_dict(self, state: dict[str, dict[str, float]]) -> None:
        """Continue where `state_dict` was taken."""
        self._sums, self._counts = dict(state["sums"]), dict(state["counts"])


class RunLog:
    """Writes one line per call to `log.csv`, and TensorBoard events below `tensorboard/` if asked to.

    A resumed run drops lines beyond `images_seen`, which will be written again. `extra`: columns beside COLUMNS.
    """

    def __init__(self, folder: Path, images_seen: int = 0, tensorboard: bool = False, extra: Sequence[str] = ()):
        self.path, self.columns, self._writer = folder / "log.csv", (*COLUMNS, *extra), None
        text = io.StringIO(newline="")
        csv.DictWriter(text, self.columns).writeheader()
        for row in read_log(self.path):
            if row["images"] <= images_seen:
                self._write_row(text, int(row.pop("images")), row)
        files.write_text(self.path, text.getvalue())
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter  # here: it takes seconds to import

            self._writer = SummaryWriter(folder / "tensorboard", purge_step=images_seen + 1)

    def _write_row(self, file: io.TextIOBase, images: int, values: dict[str, float]) -> None:
        row = {"images": images, **{name: f"{value:.6g}" for name, value in values.items()}}
        csv.DictWriter(file, self.columns, extrasaction="ignore").writerow(row)

    def write(self, images: int, values: dict[str, float]) -> None:
        """Append a line; names that are no column go to TensorBoard only."""
        with open(self.path, "a", newline="") as file:
            self._write_row(file, images, values)
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, images)

    def close(self) -> None:
        """Flush and close TensorBoard's file."""
        if self._writer is not None:
            self._writer.close()


def read_log(path: str | os.PathLike) -> list[dict[str, float]]:
    """Lines of a log.csv as numbers; an unfinished last line is left out, a missing file has none."""
    if not os.path.exists(path):
        return []
    with open(path, newline="") as file:
        rows = [row for row in csv.DictReader(file) if None not in row and None not in row.values()]
    return [{name: float(value) for name, value in row.items() if value != ""} for row in rows]
