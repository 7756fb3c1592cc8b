"""The first cell where there is nothing but Python and the packages: as on Colab, which opens a notebook alone."""

from __future__ import annotations

import json
import os
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


def test_the_address_is_the_same_everywhere():
    done = subprocess.run([sys.executable, ROOT / "docs" / "stamp.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}: run docs/stamp.py"
