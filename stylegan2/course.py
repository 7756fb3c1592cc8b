"""What a notebook asks for: models, datasets, folders and step budgets. Only this module knows the scale.

from stylegan2.course import setup
course = setup()
source = course.source()
"""

from __future__ import annotations

import os
import shutil
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from stylegan2 import __repository__, checkpoints
from stylegan2.runtime import keep_memory_warm

SCALES = ("auto", "pocket")
BUDGETS = ("course", "test")
POCKET_SIZE = 64


class CourseError(RuntimeError):
    """Something the course needs is not there; the message says how to get it."""


@dataclass
class Course:
    """The course's surroundings at one scale.

    Attributes:
        root: the course's folder (the one with `notebooks/` in it).
        scale: "pocket": 64-pixel rendered faces and shipped models, no download, no GPU needed.
        budget: "course" for learners; "test" makes every training a matter of seconds.
        resolution: side of all images in pixels.
    """

    root: Path
    scale: str
    budget: str
    device: torch.device
    resolution: int = POCKET_SIZE

    @property
    def shipped(self) -> Path:
        """The models that come with the course."""
        return self.root / "checkpoints" / "pocket"

    @property
    def build(self) -> Path:
        """Where notebooks write: datasets, runs, saved pictures. Safe to delete."""
        return self.root / "build" / "course"

    def steps(self, course: int, test: int) -> int:
        """One of two budgets, e.g. how many images to train on: `course` for learners, `test` for automatic checks."""
        return course if self.budget == "course" else test

    def _shipped_file(self, name: str) -> Path:
        path = self.shipped / f"{name}.pt"
        if not path.exists():
            raise CourseError(
                f"checkpoints/pocket/{path.name} is missing: get the whole repository, or run `make pocket`"
            )
        return path

    def source(self) -> checkpoints.Checkpoint:
        """The model everything starts from: a generator of photo-like faces, with its discriminator."""
        return checkpoints.load(self._shipped_file("photo"), device=self.device)

    def target(self, method: str = "baseline", domain: str = "webtoon") -> checkpoints.Checkpoint:
        """A model fine-tuned from the source to `domain` by `method`."""
        name = f"{domain}_{method}"
        there = sorted(p.stem for p in self.shipped.glob("*_*.pt"))
        if name not in there:
            raise CourseError(f"no shipped model '{name}'; there are: {', '.join(there) or 'none'}")
        return checkpoints.load(self._shipped_file(name), device=self.device)

    def scoreboard(self, name: str = "scoreboard") -> list[dict]:
        """Rows of the shipped comparison of methods ("scoreboard") or of their settings ("sweeps")."""
        from stylegan2.scoreboard import read_rows

        return read_rows(self.shipped / f"{name}.json")

    @cached_property
    def judge(self):
        """The network that reads attributes and landmarks off a face."""
        from stylegan2.judge import Judge

        return Judge.load(self._shipped_file("judge"))

    @cached_property
    def clip(self):
        """The network that says how well a text describes a face."""
        from stylegan2.clip_model import ClipModel

        return ClipModel.load(self._shipped_file("clip"), self.device)

    @cached_property
    def encoder(self):
        """The network that goes from an image to codes of the source."""
        return checkpoints.load_encoder(self._shipped_file("encoder"), self.device).encoder

    def record(self, name: str = "photo") -> dict[str, str]:
        """What says exactly which shipped model a picture is of, for a panel's "Copy settings"."""
        return {"model": f"checkpoints/pocket/{name}.pt", "sha256": checkpoints.sha256(self._shipped_file(name))[:16]}

    def dataset(self, source: str | os.PathLike = "pocket:webtoon") -> Path:
        """An LMDB of `source` at the course's resolution, prepared at first use.

        Args:
            source: a folder or a zip of images, an LMDB, or a rendered set ("pocket:webtoon", "pocket:photo?n=2000").
        """
        from stylegan2.data.prepare import ensure_lmdb

        return Path(ensure_lmdb(source, self.build / "datasets", self.resolution))

    def new_run(self, name: str) -> Path:
        """An empty folder for a training run called `name`; the run before it is kept as `name.previous`."""
        folder = self.build / "runs" / name
        previous = folder.with_name(f"{name}.previous")
        if folder.exists():
            shutil.rmtree(previous, ignore_errors=True)
            folder.rename(previous)
        return folder


def find_root(start: Path | None = None) -> Path:
    """The course's folder: the nearest one upwards that holds `checkpoints/` and `notebooks/`, or a clone just below.

    Raises CourseError where there is none.
    """
    start = (start or Path.cwd()).resolve()
    clone = start / __repository__.rpartition("/")[2]  # on Colab, after the kernel was started anew
    for folder in (start, *start.parents, clone):
        if (folder / "notebooks").is_dir() and (folder / "checkpoints").is_dir():
            return folder
    raise CourseError(f"'{start}' is not inside the course: open the notebook from the course's notebooks/ folder")


def setup(scale: str | None = None, seed: int = 0) -> Course:
    """Prepare a notebook: find the course, choose the scale, seed PyTorch, and say so in one line.

    Args:
        scale: "auto" or "pocket"; None asks the variable COURSE_SCALE, and "auto" if that is not set.
        seed: for PyTorch's global random numbers.

    Raises:
        ValueError: for an unknown scale or budget.
        CourseError: outside the course's folder.
    """
    scale = scale or os.environ.get("COURSE_SCALE", "auto")
    budget = os.environ.get("COURSE_BUDGET", "course")
    if scale not in SCALES:
        raise ValueError(f"COURSE_SCALE is {scale!r}; this version knows: {', '.join(SCALES)}")
    if budget not in BUDGETS:
        raise ValueError(f"COURSE_BUDGET is {budget!r}, expected one of: {', '.join(BUDGETS)}")
    torch.manual_seed(seed)
    warnings.filterwarnings("ignore", message=".*IProgress not found.*")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        keep_memory_warm()
    machine = torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} CPU threads"
    print(f"pocket scale ({POCKET_SIZE}-pixel faces, nothing to download) on {machine}, PyTorch {torch.__version__}")
    return Course(find_root(), "pocket", budget, device)
