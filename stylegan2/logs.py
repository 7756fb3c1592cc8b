"""What a run tells: a CSV file, TensorBoard events if wanted, and averages in between."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from torch import Tensor

from stylegan2 import files

COLUMNS = ("images", "loss_g", "loss_d", "r1", "path_length", "augment_p", "r_t", "images_per_second")


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

    extra: columns beside COLUMNS, the losses that transfer methods add.

    Opening it for a resumed run drops lines beyond `images_seen`: they belong to work that will be done again.
    """

    def __init__(self, folder: Path, images_seen: int = 0, tensorboard: bool = False, extra: Sequence[str] = ()):
        self.path, self.columns = folder / "log.csv", (*COLUMNS, *extra)
        kept = [row for row in read_log(self.path) if row["images"] <= images_seen]
        _write_rows(self.path, self.columns, kept)
        self._writer = _tensorboard(folder / "tensorboard", images_seen) if tensorboard else None

    def write(self, images: int, values: dict[str, float]) -> None:
        """Append a line; names that are no column go to TensorBoard only."""
        with open(self.path, "a", newline="") as file:
            csv.DictWriter(file, self.columns, extrasaction="ignore").writerow({"images": images, **_rounded(values)})
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, images)

    def close(self) -> None:
        """Flush and close TensorBoard's file."""
        if self._writer is not None:
            self._writer.close()


class NoLog:
    """A `RunLog` that writes nothing: of several processes one keeps the log."""

    def write(self, images: int, values: dict[str, float]) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


def read_log(path: str | os.PathLike) -> list[dict[str, float]]:
    """Lines of a log.csv as numbers; an unfinished last line is left out, a missing file has none."""
    if not os.path.exists(path):
        return []
    with open(path, newline="") as file:
        rows = [row for row in csv.DictReader(file) if None not in row and None not in row.values()]
    return [{name: float(value) for name, value in row.items() if value != ""} for row in rows]


def _write_rows(path: Path, columns: Sequence[str], rows: list[dict[str, float]]) -> None:
    """Replace the file in one step."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, extrasaction="ignore")
    writer.writeheader()
    writer.writerows({**_rounded(row), "images": int(row["images"])} for row in rows)
    files.write_text(path, text.getvalue())


def _rounded(values: dict[str, float]) -> dict[str, str]:
    return {name: f"{value:.6g}" for name, value in values.items()}


def _tensorboard(folder: Path, images_seen: int) -> Callable:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ImportError("tensorboard=True needs the package 'tensorboard': pip install tensorboard") from error
    return SummaryWriter(folder, purge_step=images_seen + 1)
