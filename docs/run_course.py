"""Run the notebooks top to bottom and build the site: what `make course` does.

    python docs/run_course.py                      every notebook into build/notebooks/, then build/site/
    python docs/run_course.py 00 03 --in-place     only these, and write them back to notebooks/, cleaned, to commit

Each notebook gets a fresh kernel. One that fails is reported with its cell and the end of the error; the others still
run, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import nbformat
from build_site import build_site
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from stamp import COURSE, ROOT, TIMES, stamped, write
from tqdm import tqdm

from stylegan2 import files

EXECUTED = ROOT / "build" / "notebooks"
KERNEL_LOG = ROOT / "build" / "kernel.log"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
SHOWN_TEXTS = ("text/plain", "text/html", "text/markdown")
GUESS = 3.0  # seconds of a cell that was never timed
BAR = "{desc:<24} {percentage:3.0f}%|{bar:16}| {elapsed} so far, about {remaining} left"


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


class Client(NotebookClient):
    """A NotebookClient that can be told apart after Ctrl-C, which it answers by ending the kernel itself."""

    async def _async_cleanup_kernel(self) -> None:
        if self.km is not None:  # on Ctrl-C it is called twice
            await super()._async_cleanup_kernel()

    @property
    def was_interrupted(self) -> bool:
        return getattr(self, "_async_cleanup_kernel_future", None) is not None


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """Those that are run."""
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def run_notebook(notebook: nbformat.NotebookNode, folder: Path, on_cell: Callable[[int], None]) -> tuple[list, str]:
    """Run it in a fresh kernel of this Python, and clean it. Seconds of each finished code cell; what failed, or "".

    on_cell: called with the number of code cells that are finished.
    """
    started: list[float] = []
    seconds: list[float] = []

    def executed(cell: dict, cell_index: int, execute_reply: dict) -> None:
        seconds.append(time.monotonic() - started[-1])
        on_cell(len(seconds))

    client = Client(
        notebook,
        timeout=None,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        store_widget_state=False,
        coalesce_streams=True,
        on_cell_execute=lambda cell, cell_index: started.append(time.monotonic()),
        on_cell_executed=executed,
    )
    failure = ""
    try:
        KERNEL_LOG.parent.mkdir(parents=True, exist_ok=True)
        with KERNEL_LOG.open("w") as log:
            client.execute(stderr=log)  # the kernel's own words would break the bar
    except (Exception, asyncio.CancelledError) as error:
        if client.was_interrupted:
            raise KeyboardInterrupt from None
        if not isinstance(error, (CellExecutionError, DeadKernelError, TimeoutError)):
            raise
        failure = describe_failure(error, code_cells(notebook), max(1, len(started)))
    clean(notebook)
    return seconds, failure


def describe_failure(error: Exception, cells: list[nbformat.NotebookNode], number: int) -> str:
    """The cell's number and first line, then the last lines of the error."""
    cell, reason = cells[number - 1], f"{type(error).__name__}: {error}"
    if isinstance(error, DeadKernelError):
        reason = f"the kernel died, perhaps for want of memory; its last words, if any: {KERNEL_LOG}"
    for output in cell.outputs:
        if output.output_type == "error":
            reason = f"{output.ename}: {output.evalue}"
    tail = "\n".join(f"      {line}" for line in reason.strip().splitlines()[-6:])
    return f"    cell {number} of {len(cells)}: {cell.source.strip().splitlines()[0]}\n{tail}"


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


def run_all(paths: list[Path], in_place: bool) -> list[str]:
    """Run each notebook and write it under build/notebooks/; with `in_place` write back those that went well.

    The names of those that failed.
    """
    times, failed = json.loads(TIMES.read_text(encoding="utf-8")), []
    notebooks = {path: nbformat.read(path, as_version=4) for path in paths}
    counts = {path: len(code_cells(notebook)) for path, notebook in notebooks.items()}
    known = {path: times.get(path.stem, []) for path in paths}
    expected = {path: known[path] if len(known[path]) == n else [GUESS] * n for path, n in counts.items()}
    official = (os.environ["COURSE_BUDGET"], os.environ["COURSE_SCALE"]) == ("course", "pocket")
    with tqdm(total=sum(map(sum, expected.values())), bar_format=BAR, smoothing=0, disable=None, leave=False) as bar:
        for path, notebook in notebooks.items():
            begin, before = time.monotonic(), bar.n
            bar.set_description_str(path.stem)

            def on_cell(number: int, before: float = before, path: Path = path) -> None:
                bar.update(before + sum(expected[path][:number]) - bar.n)

            seconds, failure = run_notebook(notebook, path.parent, on_cell)
            on_cell(counts[path])  # what a failure left out counts as done
            write_atomically(notebook, EXECUTED / path.name)
            if failure:
                failed.append(path.stem)
            elif in_place:
                write_atomically(notebook, path)
                if official:
                    times |= {path.stem: [round(s, 1) for s in seconds]}
                    files.write_text(TIMES, json.dumps(dict(sorted(times.items()))) + "\n")
            took = tqdm.format_interval(time.monotonic() - begin)
            bar.write(f"{path.stem:<24} " + (f"FAILED after {took}\n{failure}" if failure else took))
    return failed


def main(arguments: list[str] | None = None) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(description="Run the notebooks and build the site.")
    parser.add_argument("names", nargs="*", help="beginnings of notebook names, like 00 or 03_fine; default: all")
    parser.add_argument("--in-place", action="store_true", help="also write the executed notebooks back to notebooks/")
    parser.add_argument("--no-site", action="store_true", help="do not build the site")
    options = parser.parse_args(arguments)
    # Kernels inherit these: this Python's own kernel goes before one of the user's that bears the same name.
    os.environ.update(JUPYTER_PREFER_ENV_PATH="1", PYDEVD_DISABLE_FILE_VALIDATION="1")
    os.environ.setdefault("COURSE_SCALE", "pocket")
    os.environ.setdefault("COURSE_BUDGET", "course")
    paths = find_notebooks(options.names)
    print(f"Running {len(paths)} notebooks at {os.environ['COURSE_SCALE']} scale.", flush=True)
    failed = run_all(paths, options.in_place)
    if options.in_place:  # their heads say how long they take
        for path, text in stamped(ROOT).items():
            if path.read_text(encoding="utf-8") != text:
                write(path, text)
    if failed:
        print(f"\nFailed: {', '.join(failed)}. The reasons stand above.", flush=True)
    if not options.no_site:
        print(f"\nOpen the course in a browser:\n  {build_site(EXECUTED, ROOT / 'build' / 'site')}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\nStopped. Finished notebooks are in build/notebooks/.")
    except FileNotFoundError as error:
        sys.exit(str(error))
