"""Finding, cleaning and writing the course's notebooks."""

from __future__ import annotations

import json
import os
from pathlib import Path

import nbformat

from stylegan2 import files

ROOT = Path(__file__).resolve().parents[1]
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
FIRST_CELL_SECONDS = 6.0  # a first cell that no earlier run timed: it imports torch
UNKNOWN_CELL_SECONDS = 3.0  # any other such cell


def find_notebooks(names: list[str] | None = None) -> list[Path]:
    """The course's notebooks in order; with `names`, those whose name begins with one of them.

    Raises FileNotFoundError where there is none, or none of that name.
    """
    paths = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    if not paths:
        raise FileNotFoundError(f"No notebook named like 00_meet_stylegan2.ipynb in {ROOT / 'notebooks'}.")
    unknown = [name for name in names or [] if not any(p.stem.startswith(name) for p in paths)]
    if unknown:
        known = ", ".join(p.stem for p in paths)
        raise FileNotFoundError(f"No notebook begins with {', '.join(unknown)}. There are: {known}.")
    return [p for p in paths if not names or any(p.stem.startswith(name) for name in names)]


def count_pictures(notebook: nbformat.NotebookNode) -> int:
    """Image outputs of all code cells."""
    outputs = [o for cell in notebook.cells if cell.cell_type == "code" for o in cell.outputs]
    return sum(any(mime.startswith("image/") for mime in output.get("data", {})) for output in outputs)


def clean(notebook: nbformat.NotebookNode) -> None:
    """Keep what a reader needs: outputs yes; widget state, timings and this machine's paths no."""
    notebook.metadata.pop("widgets", None)
    notebook.metadata["kernelspec"] = dict(KERNEL)
    notebook.metadata["language_info"] = {"name": "python"}
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if not _is_wiped_bar(output)]
        for output in cell.get("outputs", []):
            _drop_machine_paths(output)
            _keep_one_picture(output)


def _is_wiped_bar(output: nbformat.NotebookNode) -> bool:
    """A stream of blanks: what a progress bar leaves when it is done."""
    return output.output_type == "stream" and not output.text.strip()


def _keep_one_picture(output: nbformat.NotebookNode) -> None:
    """Pillow shows every picture as PNG and as JPEG; the JPEG is several times smaller."""
    data = output.get("data", {})
    if "image/jpeg" in data:
        data.pop("image/png", None)


def _drop_machine_paths(output: nbformat.NotebookNode) -> None:
    """Paths below the checkout become relative to it: they mean something on the reader's machine too."""

    def relative(text: str) -> str:
        return text.replace(f"{ROOT}{os.sep}", "").replace(str(ROOT), ".")

    if "text" in output:
        output["text"] = relative(output["text"])
    for mime in ("text/plain", "text/html", "text/markdown"):
        if mime in output.get("data", {}):
            output["data"][mime] = relative(output["data"][mime])


def write_atomically(notebook: nbformat.NotebookNode, path: Path) -> None:
    """A reader never sees half a file."""
    with files.replacing(path) as part:
        nbformat.write(notebook, part)


class Timings:
    """Seconds of each code cell, to estimate the time left: measured on this machine, or else as shipped in docs/."""

    SHIPPED = ROOT / "docs" / "course_times.json"
    LOCAL = ROOT / "build" / "course_times.json"

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = self._read(self.SHIPPED) | self._read(self.LOCAL)

    @staticmethod
    def _read(path: Path) -> dict[str, list[float]]:
        try:
            return json.loads(path.read_text())
        except (OSError, ValueError):
            return {}

    def expected(self, path: Path) -> list[float]:
        """Seconds expected of each code cell; a guess where the notebook is new or its cells have changed in number."""
        code = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code" and c.source.strip()]
        known = self.seconds.get(path.stem, [])
        guess = [FIRST_CELL_SECONDS, *[UNKNOWN_CELL_SECONDS] * len(code)][: len(code)]
        return known if len(known) == len(code) else guess

    def record(self, name: str, seconds: list[float], ship: bool = False) -> None:
        """Remember a notebook's cells for the next run here; with `ship` for everybody's first run too."""
        for path in [self.LOCAL, self.SHIPPED][: 1 + ship]:
            times = self._read(path) | {name: [round(s, 1) for s in seconds]}
            files.write_text(path, json.dumps(dict(sorted(times.items()))) + "\n")
