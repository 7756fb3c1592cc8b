"""Every notebook at full scale on random weights in the published formats: does it run, and what does it cost?

    python -m benchmarks.full_scale [00 03 ...] [--folder build/full-scale] [--budget test]

The twelve published models (256 pixels, config-f), CLIP ViT-B/32 and LPIPS' VGG are made with random weights, and a
server on this machine stands for Google Drive's mirror. What is seen in the pictures is noise: this shows that the way
is passable and what it costs, not how good the results are. About 7 GB of disk; the files stay for the next time.
"""

from __future__ import annotations

import argparse
import copy
import functools
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import torch

from benchmarks.worker import ROOT
from stylegan2 import checkpoints, files
from stylegan2.networks import Encoder, Generator, build
from stylegan2.published.zoo import MODELS

SIZE, CODES = 256, 14
WORKER = """
import json, resource, sys, time
import nbformat
from nbclient import NotebookClient
notebook, start = nbformat.read(sys.argv[1], as_version=4), time.monotonic()
error, where = "", {"metadata": {"path": sys.argv[2]}}
try:
    NotebookClient(notebook, timeout=None, kernel_name="python3", resources=where).execute()
except Exception as failure:
    error = str(failure)[-3000:]
seconds, peak = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
nbformat.write(notebook, sys.argv[3])
print(json.dumps({"seconds": seconds, "gib": peak / 2**20, "error": error}))
"""


@dataclass(frozen=True)
class Run:
    """One notebook: seconds, the kernel's peak of memory in GiB, and its error, empty if there was none."""

    notebook: str
    seconds: float
    gib: float
    error: str


def make_files(folder: Path) -> None:
    """Random weights under the published names; what is there already stays."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    source, d = build(SIZE, "config-f", seed=0)
    for name in MODELS:
        path = folder / f"{name}.pt"
        if path.exists():
            continue
        if name.startswith("encoder"):
            checkpoints.export_encoder(path, Encoder(SIZE, CODES, psi=checkpoints.PUBLISHED_PSI))
        else:
            g_ema = source if name == "ffhq256" else _near(source)
            checkpoints.export(path, checkpoints.Checkpoint(g_ema, d=d))
    if not (folder / "ViT-B-32.pt").exists():
        files.write(folder / "ViT-B-32.pt", random_clip())
    if not (folder / "vgg16-397923af.pth").exists():
        from torchvision.models import vgg16

        files.write(folder / "vgg16-397923af.pth", vgg16(weights=None).state_dict())


def _near(g: Generator) -> Generator:
    """A copy whose weights differ by a tenth, as after fine-tuning."""
    other = copy.deepcopy(g)
    with torch.no_grad():
        for p in other.synthesis.parameters():
            p.add_(0.1 * torch.randn_like(p) * p.std() if p.ndim > 1 else 0)
    return other


def random_clip() -> dict[str, torch.Tensor]:
    """ViT-B/32 by OpenAI's names: 12 layers of 768, a text tower of 12 layers of 512."""
    from stylegan2.published.clip_files import openai_clip

    model = openai_clip().model.CLIP(512, 224, 12, 768, 32, 77, 49_408, 512, 8, 12)
    return {name: value.half() for name, value in model.state_dict().items()}


def make_course(folder: Path) -> Path:
    """A course beside this one: its notebooks and shipped models, and nothing fetched. Returns its folder."""
    course = folder / "course"
    (course / "checkpoints").mkdir(parents=True, exist_ok=True)
    shutil.copytree(ROOT / "notebooks", course / "notebooks", dirs_exist_ok=True)
    shipped = course / "checkpoints" / "pocket"
    if not shipped.exists():
        shipped.symlink_to(ROOT / "checkpoints" / "pocket")
    return course


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a server of a folder's files, on this machine only."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def run(notebook: str, course: Path, mirror: str, budget: str = "test") -> Run:
    """Run one notebook in a kernel of its own, at full scale; what comes out is kept in `course`/executed."""
    path = course / "notebooks" / f"{notebook}.ipynb"
    out = course / "executed" / path.name
    out.parent.mkdir(exist_ok=True)
    own = {"COURSE_SCALE": "full", "COURSE_BUDGET": budget, "COURSE_MIRROR": mirror, "JUPYTER_PREFER_ENV_PATH": "1"}
    command = [sys.executable, "-c", WORKER, str(path), str(path.parent), str(out)]
    done = subprocess.run(command, env=os.environ | own, cwd=course, capture_output=True, text=True)
    if done.returncode:
        return Run(notebook, 0, 0, done.stderr[-3000:])
    return Run(notebook, **json.loads(done.stdout.splitlines()[-1]))


def place_tools(files_folder: Path, course: Path) -> None:
    """CLIP and VGG, which come from their own publishers, where full scale looks for them."""
    full = course / "checkpoints" / "full"
    full.mkdir(parents=True, exist_ok=True)
    for name in ("ViT-B-32.pt", "vgg16-397923af.pth"):
        if not (full / name).exists():
            os.link(files_folder / name, full / name)


def main() -> int:
    """Run what is asked for, and print a table; 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="beginnings of notebook names; default: all")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "full-scale")
    parser.add_argument("--budget", choices=("test", "course"), default="test")
    options = parser.parse_args()
    course = make_course(options.folder)
    make_files(options.folder / "files")
    place_tools(options.folder / "files", course)
    wanted = tuple(options.names) or ("",)
    names = sorted(p.stem for p in (course / "notebooks").glob("[0-9][0-9]_*.ipynb") if p.stem.startswith(wanted))
    runs = []
    with served(options.folder / "files") as mirror:
        for name in names:
            print(f"{time.strftime('%H:%M:%S')}  {name}", flush=True)
            runs.append(run(name, course, mirror, options.budget))
            print(f"  {runs[-1].seconds:.0f} s, {runs[-1].gib:.1f} GiB  {runs[-1].error}", flush=True)
            results = options.folder / "runs.json"
            results.write_text(json.dumps([asdict(one) for one in runs], indent=1))
    print("| notebook | seconds | peak memory |\n|---|---|---|")
    for one in runs:
        print(f"| {one.notebook} | {'FAILED' if one.error else f'{one.seconds:.0f}'} | {one.gib:.1f} GiB |")
    return int(any(one.error for one in runs))


if __name__ == "__main__":
    sys.exit(main())
