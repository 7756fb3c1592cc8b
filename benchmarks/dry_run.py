"""How much memory of a GPU does every notebook need at full scale? Counted, without a GPU and without computing.

    python -m benchmarks.dry_run [00 05 ...] [--gib 14.7] [--cap 7.5]

Tensors "on the GPU" have their true sizes and types but no numbers (`tests/fake_cuda.py`, dry), so a notebook at 256
pixels passes in minutes. The published models are stand-ins: files in their format, with the right shapes and one
number. A training is two iterations, the first of which does everything; what a notebook starts as another process is
counted in the same sum, since both share the card. A line for every cell, then the table of docs/full_scale.md.

What is not counted: the CUDA context (about 0.5 GiB for each process), cuDNN's workspaces, fragmentation.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks import ROOT

GIB = 2**30
LARGE = 1024  # numbers; what is smaller, such as the blur's kernel, is looked at
FEW_IMAGES = 48  # of a rendered set: what a batch needs, as long as nobody looks at them
HEADER = "| notebook | peak | in cell | held at the end |\n|---|---|---|---|"


@dataclass(frozen=True)
class Cell:
    """One code cell."""

    index: int  # in the notebook
    seconds: float
    peak: float  # GiB while it ran
    after: float  # GiB that stayed
    error: str  # or empty

    def __str__(self) -> str:
        used = f"[{self.index:2}] {self.seconds:6.1f} s  peak {self.peak:6.2f}  after {self.after:5.2f} GiB"
        return f"{used}  {self.error[:300]}".rstrip()


def row(notebook: str, cells: Sequence[Cell]) -> str:
    """Of the table: the highest peak, the cell that has it, and what is held at the end."""
    worst = max(cells, key=lambda cell: cell.peak)
    return f"| {notebook} | {worst.peak:.1f} GiB | [{worst.index}] | {cells[-1].after:.1f} GiB |"


# ------------------------------------------------------------------------------------------------------ the stand-ins
def make_files(folder: Path) -> None:
    """Every file that full scale fetches, in its format and with its shapes, but with one number in every tensor."""
    from torchvision.models import vgg16

    from stylegan2 import files
    from stylegan2.checkpoints import Checkpoint, export
    from stylegan2.editing.encoder import PUBLISHED_PSI, Encoder, export_encoder
    from stylegan2.networks import build
    from stylegan2.published.clip_files import openai_clip
    from stylegan2.published.zoo import MODELS

    folder.mkdir(parents=True)
    g, d = build(256, "config-f", seed=0)
    model, encoder = folder.parent / "model.pt", folder.parent / "encoder.pt"
    export(model, Checkpoint(g, g, d))  # with the generator in training, as the published files have it
    export_encoder(encoder, Encoder(256, g.num_ws, psi=PUBLISHED_PSI))
    for path in (model, encoder):
        files.write(path, thin(torch.load(path, weights_only=True, mmap=True)))
    for name in MODELS:
        shutil.copy(encoder if name.startswith("encoder") else model, folder / f"{name}.pt")
    clip = openai_clip().model.CLIP(512, 224, 12, 768, 32, 77, 49_408, 512, 8, 12).half()  # ViT-B/32
    files.write(folder / "ViT-B-32.pt", thin(dict(clip.state_dict())))
    files.write(folder / "vgg16-397923af.pth", thin(dict(vgg16(weights=None).state_dict())))


def thin(content: Any) -> Any:
    """Large tensors by ones of the same shape and type that take no room: each shows its first number everywhere."""
    if isinstance(content, dict):
        return {name: thin(value) for name, value in content.items()}
    if isinstance(content, torch.Tensor) and content.numel() > LARGE:
        return content.flatten()[:1].clone().expand(content.shape)
    return content


def make_course(folder: Path) -> Path:
    """A course whose published models are stand-ins, with the notebooks and shipped models of this one."""
    course = folder / "course"
    shutil.copytree(ROOT / "notebooks", course / "notebooks", dirs_exist_ok=True)
    shipped, full = course / "checkpoints" / "pocket", course / "checkpoints" / "full"
    if not full.exists():
        make_files(full)
    if not shipped.exists():
        shipped.symlink_to(ROOT / "checkpoints" / "pocket")
    return course


# --------------------------------------------------------------------------------------------------------- the worker
class Card:
    """Memory of a GPU as PyTorch deals with it: what was needed once is kept, until the cache is emptied.

    Attributes:
        peak: bytes in use at most since `begin`.
    """

    def __init__(self, state: Any, total: int):
        self._state, self._total, self._peak, self._kept = state, total, 0, 0
        torch.cuda.memory_reserved = lambda device=None: self.reserved
        torch.cuda.mem_get_info = lambda device=None: (self._total - self.reserved, self._total)
        torch.cuda.empty_cache = self.empty_cache

    @property
    def live(self) -> int:
        """Bytes in use."""
        return self._state.live

    @property
    def reserved(self) -> int:
        """Bytes that other processes cannot have."""
        return max(self._kept, self._state.peak)

    @property
    def peak(self) -> int:
        return max(self._peak, self._state.peak)

    def begin(self) -> None:
        """Count the peak anew."""
        self._kept = self.reserved
        self._peak = self._state.peak = self.live

    def empty_cache(self) -> None:
        """In place of `torch.cuda.empty_cache`."""
        self._peak = self.peak
        self._state.peak = self._kept = self.live

    @contextlib.contextmanager
    def of_another(self) -> Iterator[None]:
        """A second process uses the card: what this one keeps is in use for it."""
        kept = self.reserved - self.live
        self._state.live += kept
        try:
            yield
        finally:
            self._state.live -= kept


def pretend(gib: float, capability: tuple[int, int]) -> Card:
    """From now on this process has a GPU that only counts."""
    import fake_cuda

    fake_cuda.install(capability=capability, memory_gib=gib, dry=True)
    fake_cuda.teach()
    return Card(fake_cuda.STATE, int(gib * GIB))


def shorten(card: Card) -> None:
    """Leave out what takes long and no memory of the GPU: further iterations, snapshots, most rendered images."""
    from stylegan2 import config, course, trainer
    from stylegan2.cli import processes
    from stylegan2.editing import projection, styleclip
    from stylegan2.pocket.nets import judge

    steps, dataset = config.TrainConfig.steps.fget, course.Course.dataset
    config.TrainConfig.steps = property(lambda self: min(2, steps(self)))
    trainer.Trainer.save = lambda self: self.images_seen
    processes.run_printing = lambda words, environment: _run_here(words, card)
    judge.Judge.read = _varied(judge.Judge.read)
    for search in (projection.Search, styleclip.Optimisation):
        search.step = _first_steps_only(search.step)

    def few(self, source="pocket:webtoon"):
        rendered = isinstance(source, str) and source.startswith("pocket:") and "?" not in source
        return dataset(self, f"{source}?n={FEW_IMAGES}" if rendered else source)

    course.Course.dataset = few


def _first_steps_only(step: Callable) -> Callable:
    """A step that after two computes nothing more and repeats its row of the history."""

    def repeated(self) -> dict[str, float]:
        if len(self.history) < 2:
            return step(self)
        self.history.append(self.history[-1] | {"step": len(self.history)})
        return self.history[-1]

    return repeated


def _varied(read: Callable) -> Callable:
    """`Judge.read` with answers that differ from face to face: where all are alike, nothing has a slope."""

    def varied(self, images: torch.Tensor, batch: int = 64) -> Any:
        reading = read(self, images, batch).cpu()
        return type(reading)(*(value + 0.1 * torch.randn(value.shape) for value in vars(reading).values()))

    return varied


def _run_here(words: list[str], card: Card) -> tuple[int, list[str]]:
    """What `processes.launch` starts, in this process: both share the card, so one sum holds both."""
    from stylegan2.cli import app

    with card.of_another():
        app(words[words.index("stylegan2") + 1 :], standalone_mode=False)
    return 0, []


def count_cells(notebook: Path, card: Card) -> Iterator[Cell]:
    """Run the code cells one after the other; one that fails does not end it."""
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    shell.showtraceback = lambda *_, **__: None
    for index, cell in enumerate(json.loads(notebook.read_text(encoding="utf-8"))["cells"]):
        if cell["cell_type"] != "code":
            continue
        card.begin()
        begin = time.monotonic()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            done = shell.run_cell("".join(cell["source"]))
        error = done.error_before_exec or done.error_in_exec
        said = f"{type(error).__name__}: {error}" if error else ""
        yield Cell(index, time.monotonic() - begin, card.peak / GIB, card.live / GIB, said)


def work(notebook: Path, gib: float, capability: tuple[int, int]) -> None:
    """Print a line of JSON for every cell."""
    import matplotlib

    matplotlib.use("agg")
    torch.set_num_threads(1)
    card, out = pretend(gib, capability), os.dup(1)
    shorten(card)
    os.chdir(notebook.parent)
    for cell in count_cells(notebook, card):
        os.write(out, (json.dumps(cell.__dict__) + "\n").encode())


# ------------------------------------------------------------------------------------------------------------ the rest
def count(course: Path, name: str, gib: float, cap: str) -> Iterator[Cell]:
    """Count one notebook in a process of its own, cell by cell. Raises RuntimeError if that broke down."""
    path = course / "notebooks" / f"{name}.ipynb"
    command = [sys.executable, "-m", "benchmarks.dry_run", str(path), "--gib", str(gib), "--cap", cap, "--worker"]
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    with tempfile.TemporaryDirectory() as out, tempfile.TemporaryFile("w+") as errors:
        own = {"COURSE_SCALE": "full", "COURSE_BUDGET": "course", "COURSE_OUT": out, "PYTHONPATH": paths}
        with subprocess.Popen(command, env=os.environ | own, stdout=-1, stderr=errors, text=True) as worker:
            for line in worker.stdout:
                if line.startswith('{"index"'):
                    yield Cell(**json.loads(line))
        if worker.returncode:
            errors.seek(0)
            raise RuntimeError(f"{name} broke down with {worker.returncode}: {errors.read()[-2000:]}")


def main() -> int:
    """Count what is asked for, and print a table; 1 if a cell failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=[""], help="beginnings of notebook names; default: all")
    parser.add_argument("--gib", type=float, default=14.7, help="memory of the card; a T4's 14.7, an L4's 22")
    parser.add_argument("--cap", default="7.5", help="compute capability: 7.5 float16, 8.0 and later bfloat16")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(Path(options.names[0]).resolve(), options.gib, tuple(map(int, options.cap.split("."))))
        return 0
    course, rows, failed = make_course(ROOT / "build" / "dry-run"), [HEADER], False
    for path in sorted((course / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        if path.stem.startswith(tuple(options.names)):
            print(path.stem)
            cells = []
            for cell in count(course, path.stem, options.gib, options.cap):
                print(cell, flush=True)
                cells.append(cell)
            rows.append(row(path.stem, cells))
            failed = failed or any(cell.error for cell in cells)
    print("", *rows, sep="\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
