"""Run the notebooks top to bottom and build the site: what `make course` does.

    python docs/run_course.py                      every notebook into build/notebooks/, then build/site/
    python docs/run_course.py 00 03 --in-place     only these, and write them back to notebooks/, cleaned, to commit

Each notebook gets a fresh kernel. One that fails is reported with its cell and the end of the error; the others still
run, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from build_site import build_site
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from notebook_files import ROOT, Timings, clean, count_pictures, find_notebooks, write_atomically
from progress import Progress, clock
from stamp import stamped, write

EXECUTED = ROOT / "build" / "notebooks"
KERNEL_LOG = ROOT / "build" / "kernel.log"


@dataclass
class Result:
    """How one notebook went."""

    name: str
    seconds: float = 0.0
    cells: int = 0
    pictures: int = 0
    error: str = ""
    cell_seconds: list[float] = field(default_factory=list)


def describe_failure(error: Exception, cell: dict, number: int, total: int) -> str:
    """The cell's number and first line, then the last lines of the error."""
    first_line = next((line for line in cell["source"].splitlines() if line.strip()), "")
    if isinstance(error, CellExecutionError):
        output = next((o for o in cell["outputs"] if o["output_type"] == "error"), None)
        reason = f"{output['ename']}: {output['evalue']}" if output else str(error)
    elif isinstance(error, DeadKernelError):
        reason = f"the kernel died, perhaps for want of memory; its last words, if any: {KERNEL_LOG}"
    else:
        reason = f"{type(error).__name__}: {error}"
    tail = "\n".join(f"      {line}" for line in reason.strip().splitlines()[-6:])
    return f"    cell {number} of {total}: {first_line}\n{tail}"


class Client(NotebookClient):
    """A NotebookClient that can be told apart after Ctrl-C, which it answers by ending the kernel itself."""

    async def _async_cleanup_kernel(self) -> None:
        if self.km is not None:  # on Ctrl-C it is called twice
            await super()._async_cleanup_kernel()

    @property
    def was_interrupted(self) -> bool:
        return getattr(self, "_async_cleanup_kernel_future", None) is not None


class NotebookRun:
    """One notebook in one fresh kernel of this Python, with a progress line."""

    def __init__(self, path: Path, progress: Progress):
        self.path, self.progress = path, progress
        self.notebook = nbformat.read(path, as_version=4)
        self.code = [i for i, c in enumerate(self.notebook.cells) if c.cell_type == "code" and c.source.strip()]
        self.result = Result(path.stem, cells=len(self.code))
        self.current = self.code[0] if self.code else 0
        self.cell_start = time.monotonic()

    def run(self) -> Result:
        start = time.monotonic()
        client = Client(
            self.notebook,
            timeout=None,
            kernel_name="python3",
            resources={"metadata": {"path": str(self.path.parent)}},
            store_widget_state=False,
            coalesce_streams=True,
            on_cell_start=self._started,
            on_cell_executed=self._executed,
        )
        try:
            KERNEL_LOG.parent.mkdir(parents=True, exist_ok=True)
            with KERNEL_LOG.open("w") as log:
                client.execute(stderr=log)  # the kernel's own words would break the progress line
        except (Exception, asyncio.CancelledError) as error:
            if client.was_interrupted:
                raise KeyboardInterrupt from None
            if not isinstance(error, (CellExecutionError, DeadKernelError, TimeoutError)):
                raise
            cell = self.notebook.cells[self.current]
            self.result.error = describe_failure(error, cell, len(self.result.cell_seconds) + 1, len(self.code))
        self.result.seconds = time.monotonic() - start
        self.result.pictures = count_pictures(self.notebook)
        clean(self.notebook)
        return self.result

    def _started(self, cell: dict, cell_index: int) -> None:
        if cell_index in self.code:
            self.current, self.cell_start = cell_index, time.monotonic()
            self.progress.cell_started(self.code.index(cell_index) + 1)

    def _executed(self, cell: dict, cell_index: int, execute_reply: dict) -> None:
        if cell_index in self.code and execute_reply["content"]["status"] == "ok":
            self.result.cell_seconds.append(time.monotonic() - self.cell_start)
            self.progress.cell_done()


def run_all(paths: list[Path], in_place: bool) -> list[Result]:
    """Run each notebook and write it under build/notebooks/; with `in_place` write back those that went well."""
    timings = Timings()
    progress = Progress([(path.stem, timings.expected(path)) for path in paths])
    results = []
    with progress:
        for path in paths:
            progress.notebook_started(path.stem)
            run = NotebookRun(path, progress)
            result = run.run()
            write_atomically(run.notebook, EXECUTED / path.name)
            if in_place and not result.error:
                write_atomically(run.notebook, path)
            if not result.error and (os.environ["COURSE_BUDGET"], os.environ["COURSE_SCALE"]) == ("course", "pocket"):
                timings.record(path.stem, result.cell_seconds, ship=in_place)
            progress.notebook_done(summary(result))
            results.append(result)
    return results


def summary(result: Result) -> str:
    if result.error:
        return f"{result.name:<24} FAILED after {clock(result.seconds)}\n{result.error}"
    counts = f"{result.cells} cells, {result.pictures} pictures"
    return f"{result.name:<24} {counts:<24} {clock(result.seconds)}"


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run the notebooks and build the site.")
    parser.add_argument("names", nargs="*", help="beginnings of notebook names, like 00 or 03_fine; default: all")
    parser.add_argument("--in-place", action="store_true", help="also write the executed notebooks back to notebooks/")
    parser.add_argument("--no-site", action="store_true", help="do not build the site")
    parser.add_argument("--site-only", action="store_true", help="build the site of what was executed before")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse_arguments(arguments)
    # Kernels inherit these: this Python's own kernel goes before one of the user's that bears the same name.
    os.environ.update(JUPYTER_PREFER_ENV_PATH="1", PYDEVD_DISABLE_FILE_VALIDATION="1")
    os.environ.setdefault("COURSE_SCALE", "pocket")
    os.environ.setdefault("COURSE_BUDGET", "course")
    start = time.monotonic()
    results = []
    if not options.site_only:
        paths = find_notebooks(options.names)
        print(f"Running {len(paths)} notebooks at {os.environ['COURSE_SCALE']} scale.", flush=True)
        results = run_all(paths, options.in_place)
    if options.in_place:  # their heads say how long they take
        for path, text in stamped(ROOT).items():
            if path.read_text(encoding="utf-8") != text:
                write(path, text)
    failed = [r.name for r in results if r.error]
    if failed:
        print(f"\nFailed: {', '.join(failed)}. The reasons stand above.", flush=True)
    if not options.no_site:
        index = build_site(EXECUTED, ROOT / "build" / "site")
        print(f"\nThe course took {clock(time.monotonic() - start)}. Open it in a browser:\n  {index}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\nStopped. Finished notebooks are in build/notebooks/.")
    except FileNotFoundError as error:
        sys.exit(str(error))
