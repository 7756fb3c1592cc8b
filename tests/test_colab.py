"""The first cell where there is nothing but Python and the packages: as on Colab, which opens a notebook alone."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from stylegan2 import __repository__
from stylegan2.pocket import world

ROOT = Path(__file__).resolve().parents[1]
FOLDER = __repository__.rpartition("/")[2]
LIST = ROOT / "tests" / "colab_packages.txt"
KEPT = ["numpy==2.1.3", "opencv-python==5.0.0.93", "torch==2.11.0+cu128", "torchvision==0.26.0+cu128"]

# what stands for the two programs that the cell calls: each writes down how, and does to the folder what they would
GIT = """#!/bin/sh
echo "git $*" >> "$CALLS"
test -z "$NO_GIT" || {{ echo "fatal: could not read Username" >&2; exit 128; }}
mkdir {folder} && ln -s {root}/notebooks {root}/checkpoints {root}/docs {folder}/
"""
PIP = """#!/bin/sh
echo "pip $*" >> "$CALLS"
case "$1" in
  list) printf '%s\\n' $THERE ;;
  install) test -z "$NO_PIP" || {{ echo "ERROR: ResolutionImpossible" >&2; exit 1; }}
    cat keep.txt >> "$CALLS"; cp -r {root}/stylegan2 "$SITE/" ;;
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
from stylegan2.collect import detectors
assert stylegan2.__file__.startswith(os.environ["SITE"]), stylegan2.__file__
print(course.source().g_ema.resolution, type(detectors.make("pocket")).__name__)
"""
DONE = f"{world.SIZE} PocketDetector"


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

    def run(cell: str, **broken: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-c", RUN, str(ROOT), cell, AFTER]
        settings = {"env": environment | broken, "cwd": tmp_path / "content"}
        return subprocess.run(command, **settings, capture_output=True, text=True)

    run.calls = tmp_path / "calls.txt"
    return run


posix = pytest.mark.skipif(os.name != "posix", reason="the stand-ins for git and pip are shell scripts")


@posix
def test_in_an_empty_folder_the_course_is_fetched_and_what_is_there_is_kept(colab):
    done = colab(setup_cell())
    assert done.returncode == 0 and DONE in done.stdout, done.stdout + done.stderr
    calls = colab.calls.read_text().splitlines()
    assert calls[0] == f"git clone --quiet --depth 1 --branch main {__repository__}"
    assert calls[2] == f"pip install --quiet --constraint keep.txt ./{FOLDER}"
    assert calls[3:] == KEPT
    again = colab(setup_cell())  # the kernel was started anew: the package is there, and the clone too
    assert again.returncode == 0 and DONE in again.stdout, again.stdout + again.stderr
    assert len(colab.calls.read_text().splitlines()) == len(calls)


@posix
def test_the_cell_says_what_to_do_where_git_or_pip_fails_and_goes_on_afterwards(colab):
    failed = colab(setup_cell(), NO_GIT="1")
    said = failed.stdout + failed.stderr
    assert failed.returncode and "fatal: could not read Username" in said
    for word in ("git could not fetch the course", "stylegan2.__repository__", "python docs/stamp.py", "public"):
        assert word in said, said
    assert "ModuleNotFoundError" not in said.rpartition("RuntimeError")[2] and "pip" not in colab.calls.read_text()
    failed = colab(setup_cell(), NO_PIP="1")
    said = failed.stdout + failed.stderr
    assert failed.returncode and "ResolutionImpossible" in said and "pip could not install it" in said
    assert f"!pip install ./{FOLDER}" in said
    done = colab(setup_cell())
    assert done.returncode == 0 and DONE in done.stdout, done.stdout + done.stderr


def test_the_cells_switches_are_fields_of_a_form_on_colab():
    fields = re.findall(r"(?m)^(\w+) = (\S+)  # @param (.+)$", setup_cell())
    assert [field[:2] for field in fields] == [("SCALE", '"auto"'), ("USE_DRIVE", "False")]
    assert json.loads(fields[0][2]) == ["auto", "pocket", "full"] and fields[1][2] == '{type:"boolean"}'
    assert setup_cell().endswith("course = setup(SCALE, drive=USE_DRIVE)")


# ------------------------------------------------------------------------------------------------------- stamps, forks
def stamp(*words: str | Path) -> subprocess.CompletedProcess:
    """Without any package: a fork is stamped before anything is installed."""
    command = [sys.executable, "-I", "-S", ROOT / "docs" / "stamp.py", *words]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_address_is_the_same_everywhere():
    done = stamp("--check")
    assert done.returncode == 0, f"{done.stdout}: run docs/stamp.py"


@pytest.mark.parametrize(
    "given", ["ada/my-course", "https://github.com/ada/my-course/", "git@github.com:ada/my-course.git"]
)
def test_a_fork_is_stamped_by_one_command(tmp_path, given):
    (tmp_path / "stylegan2").mkdir()
    shutil.copy(ROOT / "stylegan2" / "__init__.py", tmp_path / "stylegan2")
    shutil.copy(ROOT / "README.md", tmp_path)
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks", ignore=shutil.ignore_patterns("*_*", ".*"))
    assert list((tmp_path / "notebooks").glob("*.ipynb"))
    done = stamp(given, "--root", tmp_path)
    assert done.returncode == 0 and "Commit" in done.stdout, done.stderr
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        text = path.read_text(encoding="utf-8")
        assert __repository__ not in text and "github.com/ada/my-course" in text, path
    readme = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "git clone https://github.com/ada/my-course\ncd my-course\n" in readme
    assert " ./my-course\\n" in (tmp_path / "notebooks" / "template.ipynb").read_text(encoding="utf-8")
    assert stamp("--check", "--root", tmp_path).returncode == 0


@pytest.mark.parametrize("wrong", ["my-course", "https://gitlab.com/ada/my-course", 'ada/my"course', "a/b/c"])
def test_what_is_no_repository_is_refused_and_nothing_changes(wrong):
    done = stamp(wrong, "--check")
    assert done.returncode == 2 and "expected OWNER/REPOSITORY" in done.stderr


# ----------------------------------------------------------------------------------------------------- Colab's versions
PROTECTED = {
    *("torch", "torchvision", "numpy", "opencv-python", "opencv-contrib-python", "opencv-python-headless"),
    *("ipython", "ipykernel", "ipywidgets", "matplotlib", "scipy", "pillow", "setuptools"),
}
UPGRADED = {"gdown": "pure Python, and nothing else of Colab asks for the old one"}  # what pip replaces there
ADDED = {"lmdb", "clip-anytorch", "protego", "lpips", "pi-heif", "anyascii"}  # what Colab lacks


def colabs() -> dict[str, Version]:
    """{canonical name: version} of what Colab has."""
    lines = [line.split("==") for line in LIST.read_text().splitlines() if not line.startswith("#")]
    return {canonicalize_name(name): Version(version) for name, version in lines}


def colabs_python() -> str:
    return re.search(r"Python (\d+\.\d+)", LIST.read_text())[1]


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_colabs_packages_stay_as_they_are():
    """What pip would do there, by our ranges: a change on either side that moves something more fails here."""
    there, wanted = colabs(), [Requirement(line) for line in project()["dependencies"]]
    names = {canonicalize_name(r.name) for r in wanted}
    assert there.keys() >= PROTECTED and names - there.keys() == ADDED
    moved = {r.name for r in wanted if r.name in there and not r.specifier.contains(there[r.name], prereleases=True)}
    assert moved == UPGRADED.keys(), f"pip would replace {moved - UPGRADED.keys()} on Colab"
    assert not moved & PROTECTED


def test_colabs_python_is_supported():
    assert colabs_python() in Requirement(f"python{project()['requires-python']}").specifier
    assert f"Programming Language :: Python :: {colabs_python()}" in project()["classifiers"]


FREEZE = "# pip freeze\ntorch==2.11.0+cu128\nnumpy==2.1.3\ncolab @ file:///dist/colab-1.0.0.tar.gz\n"
CURL = f'#!/bin/sh\n"{shutil.which("curl")}" "$@" && test -z "$CUT_OFF"\n'  # as after a connection that broke


@pytest.mark.skipif(not (shutil.which("make") and shutil.which("curl")), reason="needs make and curl")
def test_the_list_is_written_anew_and_stays_where_what_comes_is_none_or_cut_off(tmp_path):
    published, written = tmp_path / "published", tmp_path / "tests" / "colab_packages.txt"
    for folder in (published, written.parent, tmp_path / "bin"):
        folder.mkdir()
    (tmp_path / "bin" / "curl").write_text(CURL)
    (tmp_path / "bin" / "curl").chmod(0o755)
    (published / "os-info-gpu.txt").write_text("Ubuntu 22.04.5 LTS\nPython 3.13.2\nR version 4.5\n")
    command = ["make", "-C", tmp_path, "-f", ROOT / "Makefile", "colab-versions", f"COLAB={published.as_uri()}"]
    environment = os.environ | {"PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    without_torch = FREEZE.replace("torch", "t")
    for freeze, cut_off in ((FREEZE, ""), (None, ""), ("<html>", ""), (without_torch, ""), (FREEZE, "1")):
        good = freeze == FREEZE and not cut_off
        written.write_text("old")
        (published / "pip-freeze.gpu.txt").unlink(missing_ok=True)
        if freeze is not None:
            (published / "pip-freeze.gpu.txt").write_text(freeze)
        done = subprocess.run(command, capture_output=True, text=True, env=environment | {"CUT_OFF": cut_off})
        assert (done.returncode == 0) == good and ("stays as it was" in done.stdout) != good, done
        head, *lines = written.read_text().splitlines()
        assert lines[1:] == FREEZE.splitlines()[1:3] and "Python 3.13;" in head if good else head == "old"


# ------------------------------------------------------------------------------------- with real git and pip, elsewhere
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
RUNNERS = ("pip", "ipython", "ipykernel", "nbclient", "nbformat")  # what runs notebooks there
CARD = re.compile(r"nvidia-|cuda-|triton$")  # PyTorch's own, which differ between its builds


def brought_along() -> list[str]:
    """Of what Colab has, in its versions: all that the course and what runs it use, and every OpenCV."""
    there, todo, needed = colabs(), [*RUNNERS, *UPGRADED, *ADDED, *project()["dependencies"]], set()
    while todo:
        requirement = Requirement(todo.pop())
        name = canonicalize_name(requirement.name)
        if name in needed or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        needed.add(name)
        try:
            todo += metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
    needed = {name for name in needed | PROTECTED if name in there and not CARD.match(name)}
    return [f"{name}=={there[name].public}" for name in sorted(needed)]


def versions(python: Path) -> dict[str, str]:
    listed = subprocess.run([python, "-m", "pip", "list", "--format=json"], capture_output=True, check=True).stdout
    return {canonicalize_name(entry["name"]): entry["version"] for entry in json.loads(listed)}


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_colabs_python_and_packages(tmp_path):
    """Colab's Python with Colab's versions, an empty folder, git and pip: what a click on the badge does."""
    wanted = colabs_python()
    variable = f"PYTHON{wanted.replace('.', '')}"
    named = os.environ.get(variable) or shutil.which(f"python{wanted}")
    if named is None:
        pytest.skip(f"needs Python {wanted}: name it in the variable {variable}")
    subprocess.run([named, "-m", "venv", tmp_path / "colab"], check=True)
    python, content = tmp_path / "colab" / "bin" / "python", tmp_path / "content"
    content.mkdir()
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, f"pip=={colabs()['pip']}"], check=True)  # its pip, too, decides
    subprocess.run([*install, *brought_along()], check=True)
    before = versions(python)
    here = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": f"url.file://{ROOT}.insteadOf"}
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | here | {"GIT_CONFIG_VALUE_0": __repository__, "PATH": path, "PYTHONPATH": ""}

    def run(*command: str | Path) -> str:
        done = subprocess.run([python, "-c", *command], env=environment, cwd=content, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    seconds = float(run(SET_UP, setup_cell()).rpartition("seconds ")[2])
    after = versions(python)
    moved = {name for name in before if after.get(name) != before[name]}
    added = {name: after[name] for name in after.keys() - before.keys()}
    print(f"set-up: {seconds:.1f} s; replaced: {moved or 'nothing'}; added: {added}")
    assert seconds < 60 and moved <= UPGRADED.keys() and added.keys() >= ADDED
    for name, pictures in (("00_meet_stylegan2", 8), ("10_cartoonize_yourself", 8)):
        said = run(WHOLE, content / FOLDER / "notebooks" / f"{name}.ipynb").split()
        assert int(said[1]) >= pictures and int(said[3]) >= 1, (name, said)
