"""The comparison's arithmetic, its processes, and what it says when something is wrong. No peers needed."""

import json
import signal
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
import torch
from tiny_training import tiny_config, tiny_networks

from benchmarks import compare, contest, peers, workloads
from benchmarks.contest import Contestant, Result
from benchmarks.workloads import WORKLOADS, Ours, Workload

WORK = Workload("some-work", "", None, "s/image")
FAKE = {
    "ours float32": Result([2.0, 1.0, 9.0]),
    "ours mixed": Result([0.5, 0.5, 0.5]),
    "nvidia": Result([4.0, 4.0, 5.0], deviation=2e-5),
    "nvidia warm": Result([3.0, 3.0, 3.0]),
    "rosinality": Result([8.0, 7.0, 6.0]),
    "rosinality warm": Result([1.0], "RuntimeError: boom"),
}


def cells(results: dict[str, Result]) -> list[list[str]]:
    """Of the table, by lines."""
    lines = [line for line in compare.table({WORK: results}).splitlines() if line.startswith("| some-work")]
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]


def test_table_shows_medians_ratios_and_failures():
    assert FAKE["ours float32"].median == 2 and FAKE["rosinality warm"].median is None
    assert all(len(line) == len(compare.HEADER) for line in cells(FAKE))
    assert [line[2:] for line in cells(FAKE)] == [
        ["ours float32", "2", "1.00", "4.00", "–", compare.BUSY],
        ["ours mixed", "0.5", "0.25", "1.00", "–", ""],
        ["nvidia", "4", "2.00", "8.00", "2.0e-05", ""],
        ["nvidia warm", "3", "1.50", "6.00", "–", ""],
        ["rosinality", "7", "3.50", "14.00", "–", ""],
        ["rosinality warm", "failed", "–", "–", "–", "RuntimeError: boom"],
    ]


def test_nothing_is_made_up_where_nothing_was_measured():
    assert cells({"ours float32": Result([1.0])})[0][4:6] == ["1.00", "–"]
    assert cells({"ours float32": Result(error="E: no"), "nvidia": Result([1.0])})[1][4:6] == ["–", "–"]


def test_units():
    made = {unit: Workload("x", "", None, unit, 4).value(2.0) for unit in ("s/image", "images/s", "ms")}
    assert made == {"s/image": 0.5, "images/s": 2.0, "ms": 500.0}


def test_who_takes_part():
    folders = {"nvidia": Path("n"), "cartoon": Path("c")}
    names = lambda *a: [who.name for who in contest.entrants(WORK, *a)]  # noqa: E731
    assert names(folders, True) == ["ours float32", "ours mixed", "nvidia", "nvidia warm", "cartoon", "cartoon warm"]
    assert names({}, False) == ["ours float32"]  # no peers, and no lower precision in hardware


def test_nobody_is_always_first():
    assert contest.turns(["a", "b"], 3) == ["a", "b", "b", "a", "a", "b"]


# ---------------------------------------------------------------------------------------------------------- processes
def test_contestants_are_measured_and_a_failure_is_recorded():
    """Each in a process of its own."""
    names = {"ours float32": "ours", "ours mixed": "ours", "nobody": "nobody"}
    found = contest.measure("slider-64-b1", [Contestant(name, kind) for name, kind in names.items()], rounds=2)
    good, same, bad = found.values()
    assert len(good.seconds) == 2 and 0 < good.median < 60 and good.error is good.deviation is None
    assert len(same.seconds) == 2 and same.deviation == 0  # in float32, too
    assert bad == Result(error="KeyError: 'nobody'") and bad.median is None


def test_a_process_that_dies_is_named():
    with ProcessPoolExecutor(1, contest.SPAWN) as process:
        contest.ask(process, result := Result(), signal.raise_signal, signal.SIGKILL)
    assert result.error == "its process died"


# ------------------------------------------------------------------------------------------------------- command line
@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--peer", "nvidia"], "expected NAME=DIR"),
        (["--peer", "nobody=."], "unknown peer 'nobody'; there are"),
        (["--peer", "nvidia=no/such/folder"], "there is no such folder"),
        (["--peer", "nvidia=tests"], "not a checkout of nvidia, it lacks training/networks.py"),
        (["--only", "generator"], "invalid choice: 'generator' (choose from 'generator-256-b4'"),
        (["--rounds", "0"], "expected 1 or more"),
    ],
)
def test_wrong_arguments_are_named(arguments, message, capsys, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[1])
    with pytest.raises(SystemExit):
        compare.main(arguments)
    assert message in capsys.readouterr().err


def test_help_lists_workloads_and_peers(capsys):
    with pytest.raises(SystemExit):
        compare.main(["--help"])
    printed = capsys.readouterr().out
    assert all(name in printed for name in [*WORKLOADS, *peers.PEERS])


def test_everything_without_peers(monkeypatch, capsys, tmp_path):
    """From the command line to table and JSON, with made-up times."""
    monkeypatch.setattr(contest, "measure", lambda *arguments: FAKE)
    compare.main(["--rounds", "2", "--json", str(tmp_path / "all.json")])
    printed, text = capsys.readouterr().out, (tmp_path / "all.json").read_text()
    assert list(json.loads(text)["workloads"]) == list(WORKLOADS) and all(name in printed for name in WORKLOADS)
    assert str(Path.home()) not in text


# ------------------------------------------------------------------------------------------- what contestants are given
def test_every_workload_repeats_on_tiny_networks(monkeypatch, tmp_path):
    """Our own adapter does each kind of job; its output is the same every time."""
    ours = Ours()
    monkeypatch.setattr(workloads, "_networks", lambda resolution, preset: tiny_networks())
    monkeypatch.setattr(workloads, "SLIDES", 2)
    slide = workloads.slide(ours)
    assert slide.run()[0].startswith(b"\xff\xd8")  # JPEG
    draw = workloads.generate(8, "pocket", 2)(ours)
    assert draw.run().shape == (2, 3, 8, 8) and torch.equal(draw.output(), draw.output())
    ours.trainer(*tiny_networks(), torch.zeros(4, 3, 8, 8, dtype=torch.uint8), tiny_config(tmp_path))(1)


def test_hard_wired_widths_are_replaced(tmp_path):
    file = tmp_path / "their_model.py"
    file.write_text("def build(size):\n    channels = {4: 512, 8: 512, 16: 512}\n    return channels[size]\n")
    module = peers.import_with_widths(file, "their_model", {4: 7, 8: 6, 16: 5})
    assert [module.build(size) for size in (4, 8, 16)] == [7, 6, 5]
    file.write_text("channels = 3\n")
    with pytest.raises(ImportError, match="no table of widths"):
        peers.import_with_widths(file, "their_model", {4: 7})
