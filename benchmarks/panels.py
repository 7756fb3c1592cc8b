"""From a moved control to the new picture: what every panel of the course needs, in the kernel.

    python -m benchmarks.panels [--only swap ...] [--seconds 3]

Every control is moved through its range, one at a time, with the other ones where they begin. A time is that from the
event to the bytes of the JPEG in the image widget: render and encode. To it come at most `panel.DELAY` (10 ms), in
which a newer position may arrive, and the way to the browser. A panel that has a preview is measured with it too: that
is what follows the drag. On a busy machine all this says little.

A new panel joins with a line in `PANELS`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import ipywidgets as w
import torch
from PIL import Image
from skimage.data import astronaut

from stylegan2.checkpoints import Checkpoint
from stylegan2.course import setup
from stylegan2.data.dataset import LMDBDataset
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
from stylegan2.pocket import portrait
from stylegan2.pocket.nets.judge import Judge
from stylegan2.pocket.nets.perceptual import JudgeDistance
from stylegan2.pocket.person import PersonCodes
from stylegan2.pocket.world.pages import make_page
from stylegan2.published.clip_model import ClipModel
from stylegan2.runtime import keep_memory_warm

GOAL = 0.05  # seconds
POSITIONS = 8  # of a control


@dataclass
class Models:
    """What panels are made of."""

    source: Checkpoint
    targets: Mapping[str, Generator]
    judge: Judge
    clip: ClipModel
    dataset: LMDBDataset
    people: PersonCodes | None = None

    @property
    def g(self) -> Generator:
        """The source's generator."""
        return self.source.g_ema

    def images(self, n: int) -> torch.Tensor:
        """The first images of the dataset, [N, 3, R, R] in [-1, 1]."""
        return torch.stack([self.dataset[i] for i in range(n)]).float() / 127.5 - 1


def edited_text_panel(models: Models) -> Panel:
    """With an edit that is there: its strength is what one drags. (Another seed shows its face before the edit.)"""
    panel = text_panel(models.g, models.targets, models.clip)
    panel.start()
    return panel


def panel_with_a_photo(models: Models) -> Panel:
    """The last notebook's, with one person in it."""
    studio = Studio(models.g, models.targets, JudgeDistance(models.judge), steps=1, people=models.people)
    photo = Image.fromarray(astronaut())
    studio.add("somebody", models.images(1)[0], portrait.describe(photo), photo)
    return cartoon_panel(studio)


PANELS: dict[str, Callable[[Models], Panel]] = {
    "latent": lambda m: latent_panel(m.g),
    "dataset": lambda m: dataset_panel(m.dataset),
    "augment": lambda m: augment_panel(m.images(8)),
    "pair": lambda m: pair_panel(m.g, m.targets, m.judge),
    "swap": lambda m: swap_panel(m.g, m.targets),
    "planner": lambda m: planner_panel(m.source),
    "directions": lambda m: directions_panel(m.g, m.targets, {"all": factorize(m.g)}),
    "mixing": lambda m: mixing_panel(m.g, m.targets),
    "text": edited_text_panel,
    "detector": lambda m: detector_panel({"a page": make_page(1).image}),
    "cartoon": panel_with_a_photo,
}


def positions(control: w.ValueWidget) -> list[Any]:
    """Values to move a control through, none of them twice in a row: its options, or steps from end to end."""
    if isinstance(control, w.Checkbox):
        return [not control.value, control.value]
    if options := option_values(control):
        return options
    if not hasattr(control, "min"):
        return []  # a text: nothing to drag
    low, high, kind = control.min, control.max, type(control.value)
    if kind is tuple:  # a range: its upper end
        return [(low, end) for end in range(low + 1, high + 1, max(1, high // POSITIONS))]
    return list(dict.fromkeys(kind(round(x, 6)) for x in torch.linspace(low, high, POSITIONS).tolist()))


def times(panel: Panel, name: str, action: Callable[[], None]) -> Iterator[float]:
    """Seconds of `action` after each move of one control, which ends where it began."""
    control = panel.controls[name]
    begin = control.value
    with panel._silence():
        for value in [*positions(control), begin]:
            if value == control.value:
                continue
            control.value = value
            start = time.perf_counter()
            action()
            yield time.perf_counter() - start
            if panel.message.value:
                raise RuntimeError(f"{panel.title}, {name} = {value!r}: {panel.message.value}")


def measure(panel: Panel, action: Callable[[], None], seconds: float = 0.0) -> dict[str, float]:
    """Median seconds of `action` by control; rounds are repeated for so many seconds (once at least)."""
    panel.update()
    taken: dict[str, list[float]] = {name: [] for name in panel.controls}
    end = time.perf_counter() + seconds
    while True:
        for name in taken:
            taken[name] += times(panel, name, action)
        if time.perf_counter() >= end:
            return {name: statistics.median(each) for name, each in taken.items() if each}


HEADER = f"| panel | median | slowest control | preview | within {1000 * GOAL:g} ms |\n|---|---|---|---|---|"


def row(name: str, panel: Panel, seconds: float = 0.0) -> str:
    """Measure a panel, and its preview if it has one: one line of the table, milliseconds."""
    taken = measure(panel, panel.update, seconds)
    slowest = max(taken, key=taken.get)
    follows, shown = taken[slowest], ""  # what follows the drag
    if panel.preview:
        follows = statistics.median(measure(panel, panel._render_preview, seconds).values())
        shown = f"{1000 * follows:.1f}"
    middle, worst = 1000 * statistics.median(taken.values()), f"{1000 * taken[slowest]:.1f} ({slowest})"
    return f"| {name} | {middle:.1f} | {worst} | {shown} | {'yes' if follows <= GOAL else 'no'} |"


def shipped() -> Models:
    """The pocket models, and 128 rendered faces."""
    course = setup("pocket")
    targets = {name: course.target("freeze-sg", name).g_ema for name in ("webtoon", "storybook")}
    dataset = LMDBDataset(course.dataset("pocket:webtoon?n=128"))
    return Models(course.source(), targets, course.judge, course.clip, dataset, course.people)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PANELS, default=list(PANELS), metavar="PANEL")
    parser.add_argument("--seconds", type=float, default=3, help="for each panel, and for its preview")
    options = parser.parse_args()
    keep_memory_warm()
    models = shipped()
    print(f"from a moved control to the encoded picture, ms, {torch.get_num_threads()} threads\n\n{HEADER}")
    for name in options.only:
        print(row(name, PANELS[name](models), options.seconds), flush=True)


if __name__ == "__main__":
    main()
