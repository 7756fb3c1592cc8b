"""The table of panel speeds: every panel joins, every control is moved, on tiny models."""

import copy
import re
from pathlib import Path

import ipywidgets as w
import pytest
import torch
from tiny_clip import tiny_clip
from tiny_training import random_pictures

from benchmarks import panels
from stylegan2.checkpoints import Checkpoint
from stylegan2.networks import build
from stylegan2.panels import controls
from stylegan2.panels.panel import Panel
from stylegan2.pocket.nets.judge import Judge


@pytest.fixture(scope="module")
def models():
    g, d = build(16, "pocket")
    with torch.random.fork_rng():
        judge = Judge().eval().requires_grad_(False)
    dataset = random_pictures(40, 16)
    dataset.path = Path("tiny.lmdb")
    source = Checkpoint(g_ema=g.eval().requires_grad_(False), g=None, d=d)
    return panels.Models(source, {"tuned": copy.deepcopy(g)}, judge, tiny_clip(), dataset)


@pytest.mark.parametrize("name", panels.PANELS)
def test_every_control_of_every_panel_is_measured(models, name):
    panel = panels.PANELS[name](models)
    begin = panel.settings
    found = panels.measure(panel, panel.update)
    moved = {key for key, control in panel.controls.items() if len(panels.positions(control)) > 1}
    assert moved and moved <= found.keys() and all(seconds > 0 for seconds in found.values())
    assert panel.settings == begin
    cells = panels.row(name, panel).strip("|").split("|")
    assert len(cells) == panels.HEADER.splitlines()[0].count("|") - 1 and re.fullmatch(r" \d+\.\d ", cells[1])
    assert bool(cells[3].strip()) == bool(panel.preview)


def test_all_panels_of_the_course_are_in_the_list():
    """A panel whose function is not called in the list would never be measured."""
    listed = Path(panels.__file__).read_text()
    folder = Path(controls.__file__).parent
    made = {name for path in folder.glob("*.py") for name in re.findall(r"^def (\w+_panel)\(", path.read_text(), re.M)}
    missing = sorted(name for name in made if f"{name}(" not in listed)
    assert len(made) >= 6 and not missing, f"add to benchmarks.panels.PANELS: {', '.join(missing)}"


def test_positions_reach_both_ends():
    assert panels.positions(controls.float_slider("x", 0.0, -1, 2))[:: panels.POSITIONS - 1] == [-1, 2]
    assert panels.positions(controls.int_slider("x", 0, 0, 2)) == [0, 1, 2]
    assert panels.positions(controls.choice("x", ["a", "b"])) == ["a", "b"]
    assert panels.positions(w.Checkbox(True)) == [False, True] and panels.positions(w.Text()) == []


def test_a_panel_that_fails_is_no_fast_panel():
    def fail(x):
        raise ValueError("no")

    with pytest.raises(RuntimeError, match="no"):
        panels.row("x", Panel(fail, {"x": controls.int_slider("x", 0, 0, 3)}))
