"""From a moved control to the new picture: what every panel of the course needs, in the kernel.

    python -m benchmarks.panels [--only swap ...] [--seconds 3] [--cpu]

Every control is moved through its range, one at a time, with the other ones where they begin. A time is that from the
event to the bytes of the JPEG in the image widget: render and encode. To it come at most `panel.DELAY` (10 ms), in
which a newer position may arrive, and the way to the browser. A panel that has a preview is measured with it too: that
is what follows the drag.

On a busy machine that time says little. With `--cpu` it is the processor's time of this process, all threads together:
with one thread (`OMP_NUM_THREADS=1`) what the clock would show on an idle machine.

A new panel joins with a line in `PANELS`.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ipywidgets as w
import torch

from benchmarks import ROOT
from stylegan2 import checkpoints
from stylegan2.checkpoints import Checkpoint
from stylegan2.data.dataset import LMDBDataset
from stylegan2.data.prepare import ensure_lmdb
from stylegan2.editing.sefa import factorize
from stylegan2.networks import Generator
from stylegan2.panels.cartoon import Studio, cartoon_panel
from stylegan2.panels.controls import option_values
from stylegan2.panels.dataset import augment_panel, dataset_panel
from stylegan2.panels.detector import detector_panel
from stylegan2.panels.directions import directions_panel
from stylegan2.panels.freeze_planner import planner_panel
from stylegan2.panels.latent import latent_panel
from stylegan2.panels.mixing import mixing_panel
from stylegan2.panels.pair import pair_panel
from stylegan2.panels.panel import Panel
from stylegan2.panels.swap import swap_panel
from stylegan2.panels.text import text_panel
from stylegan2.pocket.nets.judge import Judge
from stylegan2.pocket.nets.perceptual import JudgeDistance
from stylegan2.pocket.world.pages import make_page
from stylegan2.published.clip_model import ClipModel
from stylegan2.runtime import keep_memory_warm

GOAL = 0.05  # seconds
LOADERS = {"photo": checkpoints.load, "judge": Judge.load, "clip": ClipModel.load}
Clock = Callable[[], float]
POSITIONS = 8  # of a control


@dataclass
class Course:
    """What panels are made of."""

    source: Checkpoint
    targets: Mapping[str, Generator]
    judge: Judge
    clip: ClipModel
    dataset: LMDBDataset

    @property
    def g(self) -> Generator:
        """The source's generator."""
        return self.source.g_ema

    def images(self, n: int) -> torch.Tensor:
        """The first images of the dataset, [N, 3, R, R] in [-1, 1]."""
        return torch.stack([self.dataset[i] for i in range(n)]).float() / 127.5 - 1


def edited_text_panel(course: Course) -> Panel:
    """With an edit that is there: its strength is what one drags. (Another seed shows its face before the edit.)"""
    panel = text_panel(course.g, course.targets, course.clip)
    panel.start()
    return panel


def studio(course: Course) -> Studio:
    """With somebody in it."""
    there = Studio(course.g, course.targets, JudgeDistance(course.judge), steps=1)
    there.add("somebody", course.images(1)[0])
    return there


PANELS: dict[str, Callable[[Course], Panel]] = {
    "latent": lambda c: latent_panel(c.g),
    "dataset": lambda c: dataset_panel(c.dataset),
    "augment": lambda c: augment_panel(c.images(8)),
    "pair": lambda c: pair_panel(c.g, c.targets, c.judge),
    "swap": lambda c: swap_panel(c.g, c.targets),
    "planner": lambda c: planner_panel(c.source),
    "directions": lambda c: directions_panel(c.g, c.targets, {"all": factorize(c.g)}),
    "mixing": lambda c: mixing_panel(c.g, c.targets),
    "text": edited_text_panel,
    "detector": lambda c: detector_panel({"a page": make_page(1).image}),
    "cartoon": lambda c: cartoon_panel(studio(c)),
}


def positions(control: w.ValueWidget) -> list[Any]:
    """Values to move a control through, none of them twice in a row: its options, or steps from end to end."""
    if isinstance(control, w.Checkbox):
        return [not control.value, control.value]
    if options := option_values(control):
        return options
    if not hasattr(control, "min"):
        return []  # a text: nothing to drag
    if isinstance(control.value, tuple):  # a range: its upper end
        return [
            (control.min, high) for high in range(control.min + 1, control.max + 1, max(1, control.max // POSITIONS))
        ]
    span, kind = control.max - control.min, type(control.value)
    steps = [control.min + span * i / (POSITIONS - 1) for i in range(POSITIONS)]
    return list(dict.fromkeys(kind(round(x, 6)) for x in steps))


def times(panel: Panel, name: str, action: Callable[[], None], clock: Clock) -> Iterator[float]:
    """Seconds of `action` after each move of one control, which ends where it began."""
    control = panel.controls[name]
    begin = control.value
    with panel._silence():
        for value in [*positions(control), begin]:
            if value == control.value:
                continue
            control.value = value
            start = clock()
            action()
            yield clock() - start
            if panel.message.value:
                raise RuntimeError(f"{panel.title}, {name} = {value!r}: {panel.message.value}")


def measure(panel: Panel, seconds: float = 0.0, clock: Clock = time.perf_counter) -> dict[str, float]:
    """Median seconds to the new picture by control; rounds are repeated for so many seconds (once at least)."""
    panel.update()
    found: dict[str, list[float]] = {name: [] for name in panel.controls}
    end = time.perf_counter() + seconds
    while True:
        for name, taken in found.items():
            taken += times(panel, name, panel.update, clock)
        if time.perf_counter() >= end:
            return {name: statistics.median(taken) for name, taken in found.items() if taken}


def preview_seconds(panel: Panel, clock: Clock = time.perf_counter) -> float | None:
    """Median seconds to a preview over all controls; None for a panel without."""
    if not panel.preview:
        return None
    moves = (times(panel, name, panel._render_preview, clock) for name in panel.controls)
    return statistics.median(t for seconds in moves for t in seconds)


def row(name: str, found: Mapping[str, float], preview: float | None) -> str:
    """One line of the table, milliseconds."""
    slowest = max(found, key=found.get)
    median, worst = statistics.median(found.values()), found[slowest]
    follows = worst if preview is None else preview
    shown = "" if preview is None else f"{1000 * preview:.1f}"
    cells = [name, f"{1000 * median:.1f}", f"{1000 * worst:.1f} ({slowest})", shown, "yes" if follows <= GOAL else "no"]
    return f"| {' | '.join(cells)} |"


HEADER = f"| panel | median | slowest control | preview | within {1000 * GOAL:g} ms |\n|---|---|---|---|---|"


def shipped(folder: Path) -> Course:
    """The pocket models, and 128 rendered faces prepared in `folder`."""
    pocket = ROOT / "checkpoints" / "pocket"
    styles = ("webtoon", "storybook")
    targets = {name: checkpoints.load(pocket / f"{name}_freeze-sg.pt", g_ema_only=True).g_ema for name in styles}
    dataset = LMDBDataset(ensure_lmdb("pocket:webtoon?n=128", folder, progress=False, workers=0))
    source, judge, clip = (f(pocket / f"{n}.pt") for n, f in LOADERS.items())
    return Course(source, targets, judge, clip, dataset)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PANELS, default=list(PANELS), metavar="PANEL")
    parser.add_argument("--seconds", type=float, default=3, help="for each panel")
    parser.add_argument("--cpu", action="store_true", help="the processor's time instead of the clock's")
    options = parser.parse_args()
    clock, what = (time.process_time, "CPU") if options.cpu else (time.perf_counter, "clock")
    keep_memory_warm()
    print(f"from a moved control to the encoded picture, {what} ms, {torch.get_num_threads()} threads\n\n{HEADER}")
    with tempfile.TemporaryDirectory() as folder:
        course = shipped(Path(folder))
        for name in options.only:
            panel = PANELS[name](course)
            print(row(name, measure(panel, options.seconds, clock), preview_seconds(panel, clock)), flush=True)


if __name__ == "__main__":
    main()
