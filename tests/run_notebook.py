"""Run a notebook's cells, one after the other; a cell that fails is reported, and the next one is run all the same.

    python tests/run_notebook.py notebooks/00_meet_stylegan2.ipynb [MOST]

`MOST`: of anything a budget counts (images, steps, faces) at most so many.
What a panel shows as an error counts as one. The exit status is the number of errors, 0 to 100.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import time
import traceback
from pathlib import Path

import matplotlib

matplotlib.use("agg")

from IPython.core.interactiveshell import InteractiveShell  # noqa: E402

from stylegan2.course import Course  # noqa: E402
from stylegan2.panels.panel import Panel  # noqa: E402


def own_lines(error: BaseException) -> list[str]:
    """Where it happened: the last lines of the notebook and of the package that led there."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "/stylegan2/" in f.filename or "ipython-input" in f.filename]
    return [f"      {'/'.join(Path(f.filename).parts[-3:])}:{f.lineno} {f.line}" for f in ours[-5:]]


def run(path: Path) -> list[str]:
    """A report for every error."""
    shell, reports, shown = InteractiveShell.instance(colors="NoColor"), [], []
    shell.showtraceback = lambda *args, **kwargs: None
    show_error = Panel.show_error
    Panel.show_error = lambda panel, error: (shown.append(error), show_error(panel, error))
    for i, cell in enumerate(json.loads(path.read_text())["cells"]):
        if cell["cell_type"] != "code":
            continue
        shown.clear()
        begin, said = time.perf_counter(), io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            result = shell.run_cell("".join(cell["source"]))
        errors = [error for error in (result.error_before_exec, result.error_in_exec, *shown) if error is not None]
        print(f"[{i}] {time.perf_counter() - begin:5.1f} s {'FAILED' if errors else 'ok'}", flush=True)
        for error in errors:
            reports.append("\n".join([f"[{i}] {type(error).__name__}: {str(error)[:500]}", *own_lines(error)]))
    return reports


if __name__ == "__main__":
    if sys.argv[2:]:
        steps, most = Course.steps, int(sys.argv[2])
        Course.steps = lambda self, course, test: min(steps(self, course, test), most)
    found = run(Path(sys.argv[1]).resolve())
    print("\n".join(found))
    sys.exit(min(len(found), 100))
