"""The first cell where there is nothing but Python and the packages: as on Colab, which opens a notebook alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stylegan2 import __repository__

ROOT = Path(__file__).resolve().parents[1]
FOLDER = __repository__.rpartition("/")[2]
KEPT = ["numpy==1.26.4", "opencv-python-headless==4.12.0.88", "torch==2.8.0+cu126", "torchvision==0.23.0"]

# what stands for the two programs that the cell calls: each writes down how, and does to the folder what they would
GIT = """#!/bin/sh
echo "git $*" >> "$CALLS"
mkdir {folder} && ln -s {root}/notebooks {root}/checkpoints {folder}/
"""
PIP = """#!/bin/sh
echo "pip $*" >> "$CALLS"
case "$1" in
  list) printf '%s\\n' $THERE ;;
  install) cat keep.txt >> "$CALLS"; cp -r {root}/stylegan2 "$SITE/" ;;
esac
"""
RUN = """
import sys
root, cell, after = sys.argv[1:]
sys.path = [p for p in sys.path if p != root]
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in repr(finder).lower()]
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
for source in (cell, after):
    shell.run_cell(source).raise_error()
"""
AFTER = """
import os, stylegan2
from stylegan2.data import detectors
assert stylegan2.__file__.startswith(os.environ["SITE"]), stylegan2.__file__
print(course.source().g_ema.resolution, type(detectors.make("pocket")).__name__)
"""


def setup_cell() -> str:
    notebook = json.loads((ROOT / "notebooks" / "00_meet_stylegan2.ipynb").read_text(encoding="utf-8"))
    return "".join(next(cell["source"] for cell in notebook["cells"] if cell["cell_type"] == "code"))


@pytest.fixture
def colab(tmp_path):
    """A folder with nothing in it, and a machine where the package is not installed."""
    for name in ("bin", "site", "content", "home"):
        (tmp_path / name).mkdir()
    for name, text in (("git", GIT), ("pip", PIP)):
        (tmp_path / "bin" / name).write_text(text.format(root=ROOT, folder=FOLDER))
        (tmp_path / "bin" / name).chmod(0o755)
    own = {"PYTHONPATH": "site", "SITE": "site", "CALLS": "calls.txt", "HOME": "home"}
    environment = os.environ | {name: str(tmp_path / where) for name, where in own.items()}
    environment |= {
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "THERE": " ".join([*KEPT, "pandas==2.2.2"]),
    }

    def run(cell: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-c", RUN, str(ROOT), cell, AFTER]
        return subprocess.run(command, env=environment, cwd=tmp_path / "content", capture_output=True, text=True)

    run.calls = tmp_path / "calls.txt"
    return run


@pytest.mark.skipif(os.name != "posix", reason="the stand-ins for git and pip are shell scripts")
def test_in_an_empty_folder_the_course_is_fetched_and_what_is_there_is_kept(colab):
    done = colab(setup_cell())
    assert done.returncode == 0 and "64 PocketDetector" in done.stdout, done.stdout + done.stderr
    calls = colab.calls.read_text().splitlines()
    assert calls[0] == f"git clone --quiet --depth 1 --branch main {__repository__}"
    assert calls[2] == f"pip install --quiet --constraint keep.txt ./{FOLDER}"
    assert calls[3:] == KEPT
    again = colab(setup_cell())  # the kernel was started anew: the package is there, and the clone too
    assert again.returncode == 0 and "64 PocketDetector" in again.stdout, again.stdout + again.stderr
    assert len(colab.calls.read_text().splitlines()) == len(calls)


# ------------------------------------------------------------------------------------- with real git and pip, elsewhere
COLAB = [  # of what Colab brings along, all that the course uses or that stands in its way; late 2025, for Python 3.12
    *("torch==2.9.0", "torchvision==0.24.0", "numpy==2.0.2", "opencv-python-headless==4.12.0.88", "pillow==11.3.0"),
    *("ipython==7.34.0", "ipykernel==6.17.1", "ipywidgets==7.7.1", "jupyter-client==7.4.9", "matplotlib==3.10.0"),
    *("requests==2.32.4", "tqdm==4.67.1", "beautifulsoup4==4.13.5", "gdown==5.2.0", "scikit-image==0.25.2"),
    *("imageio==2.37.0", "typer==0.20.0", "setuptools==75.2.0", "nbclient==0.10.2", "nbformat==5.10.4"),
]
NEVER = ("torch", "torchvision", "numpy", "opencv-python-headless", "ipython", "ipykernel", "ipywidgets", "matplotlib")
SET_UP = """
import sys, time
from IPython.core.interactiveshell import InteractiveShell
start, shell = time.monotonic(), InteractiveShell.instance()
shell.run_cell(sys.argv[1]).raise_error()
print("seconds", time.monotonic() - start)
"""
WHOLE = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
shown = [name for cell in notebook.cells for out in cell.get("outputs", []) for name in out.get("data", {})]
print("pictures", sum(name.startswith("image/") for name in shown), "widgets", sum("widget-view" in n for n in shown))
"""


def versions(python: Path) -> dict[str, str]:
    listed = subprocess.run([python, "-m", "pip", "list", "--format=json"], capture_output=True, check=True).stdout
    return {entry["name"].lower(): entry["version"] for entry in json.loads(listed)}


@pytest.mark.network
@pytest.mark.slow
def test_colabs_python_and_packages(tmp_path):
    """Python 3.12 with Colab's versions, an empty folder, git and pip: what a click on the badge does."""
    python312 = os.environ.get("PYTHON312") or shutil.which("python3.12")
    if python312 is None:
        pytest.skip("needs Python 3.12: name it in the variable PYTHON312")
    subprocess.run([python312, "-m", "venv", tmp_path / "colab"], check=True)
    python, content = tmp_path / "colab" / "bin" / "python", tmp_path / "content"
    content.mkdir()
    subprocess.run([python, "-m", "pip", "install", "--quiet", *COLAB], check=True)
    before = versions(python)
    here = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": f"url.file://{ROOT}.insteadOf"}
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | here | {"GIT_CONFIG_VALUE_0": __repository__, "PATH": path, "PYTHONPATH": ""}

    def run(*command: str | Path) -> str:
        done = subprocess.run([python, "-c", *command], env=environment, cwd=content, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert float(run(SET_UP, setup_cell()).rpartition("seconds ")[2]) < 60
    after = versions(python)
    assert {"lpips", "clip-anytorch", "lmdb"} <= after.keys()  # what the notebooks need at either scale
    assert {name: after[name] for name in NEVER} == {name: before[name] for name in NEVER}
    said = run(WHOLE, content / FOLDER / "notebooks" / "00_meet_stylegan2.ipynb").split()
    assert int(said[1]) >= 8 and int(said[3]) >= 1


def test_the_address_is_the_same_everywhere():
    done = subprocess.run([sys.executable, ROOT / "docs" / "stamp.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}: run docs/stamp.py"
