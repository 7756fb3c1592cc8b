"""Where the course lies."""

from __future__ import annotations

from pathlib import Path

from stylegan2 import __repository__


class CourseError(RuntimeError):
    """Something the course needs is not there; the message says how to get it."""


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
