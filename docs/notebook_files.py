"""Finding, cleaning and writing the course's notebooks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import nbformat
from stamp import COURSE, ROOT

from stylegan2 import files

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
SHOWN_TEXTS = ("text/plain", "text/html", "text/markdown")


def find_notebooks(names: Sequence[str] = ()) -> list[Path]:
    """The course's notebooks in order; with `names`, those whose name begins with one of them.

    Raises FileNotFoundError where none begins so.
    """
    stems = [stop.stem for stop in COURSE]
    unknown = [name for name in names if not any(stem.startswith(name) for stem in stems)]
    if unknown:
        raise FileNotFoundError(f"No notebook begins with {', '.join(unknown)}. There are: {', '.join(stems)}.")
    chosen = [stem for stem in stems if not names or stem.startswith(tuple(names))]
    return [ROOT / "notebooks" / f"{stem}.ipynb" for stem in chosen]


def clean(notebook: nbformat.NotebookNode) -> None:
    """Keep what a reader needs: outputs yes; widget state, timings and this machine's paths no."""
    notebook.metadata.pop("widgets", None)
    notebook.metadata["kernelspec"] = dict(KERNEL)
    notebook.metadata["language_info"] = {"name": "python"}
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":  # a finished progress bar leaves a stream of blanks
            cell.outputs = [o for o in cell.outputs if o.output_type != "stream" or o.text.strip()]
            for output in cell.outputs:
                _clean_output(output)


def _clean_output(output: nbformat.NotebookNode) -> None:
    """Paths relative to the checkout, and of a picture the JPEG, several times smaller than the PNG beside it."""

    def relative(text: str) -> str:
        return text.replace(f"{ROOT}{os.sep}", "").replace(str(ROOT), ".")

    if "text" in output:
        output["text"] = relative(output["text"])
    data = output.get("data", {})
    data.update({mime: relative(data[mime]) for mime in SHOWN_TEXTS if mime in data})
    if "image/jpeg" in data:
        data.pop("image/png", None)


def write_atomically(notebook: nbformat.NotebookNode, path: Path) -> None:
    """A reader never sees half a file."""
    with files.replacing(path) as part:
        nbformat.write(notebook, part)
