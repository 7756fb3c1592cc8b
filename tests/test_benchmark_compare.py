"""The comparison's arithmetic, its worker processes, and what it says when something is wrong. No peers needed."""

import json
import os
import re
import signal
from contextlib import closing
from pathlib import Path

import pytest
import torch
from tiny_training import tiny_config, tiny_networks

from benchmarks import compare, contest, peers, workloads
from benchmarks.contest import Contestant, Result, Worker
from benchmarks.ours import Ours
from benchmarks.workloads import WORKLOADS, Workload

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
    ours = ["ours float32", "ours mixed"]
    assert names(folders, "cpu", True) == [*ours, "nvidia", "nvidia warm", "cartoon", "cartoon warm"]
    assert names(folders, "cuda", True) == [*ours, "nvidia", "nvidia mixed", "cartoon"]
    assert names({}, "cpu", False) == ["ours float32"]  # no peers, and no lower precision in hardware


# ------------------------------------------------------------------------------------------------------------ workers
class Alone:
    """Stands in for a worker process, with repetitions of a second; mixed precision fails."""

    turns = []

    def __init__(self):
        self.result, self.name = Result(), ""

    def ask(self, work, *arguments):
        if work is contest._start:
            self.name = arguments[1].name
            if self.name == "ours mixed":
                self.result.error = "ValueError: cannot"
        if work in (contest._start, contest._time):
            self.turns.append(self.name)
        return 1.0 if work is contest._time and not self.result.error else None

    def close(self):
        pass


def test_contestants_take_turns_and_a_failure_is_recorded(monkeypatch):
    monkeypatch.setattr(contest, "Worker", Alone)
    monkeypatch.setattr(Alone, "turns", turns := [])
    results = contest.measure("x", contest.entrants(WORK, {}, "cpu", True), "cpu", rounds=3)
    good, bad = results["ours float32"], results["ours mixed"]
    assert good.seconds == [1.0] * 3 and good.error is None
    assert bad.median is None and bad.error == "ValueError: cannot"
    forward, back = ["ours float32", "ours mixed"], ["ours mixed", "ours float32"]
    assert turns == forward + forward + back + forward  # start-up, then rounds that begin with another one each time


@pytest.fixture
def worker():
    with closing(Worker()) as there:
        yield there


def test_a_worker_names_a_failure_and_is_asked_no_more(worker):
    assert worker.ask(int, "3") == 3 and worker.result.error is None
    assert worker.ask(int, "x") is None
    assert re.match("^ValueError: invalid literal for int.*'x'$", worker.result.error)
    assert worker.ask(int, "3") is None and worker.result.error.startswith("ValueError")


def test_a_worker_names_its_own_death(worker):
    worker.ask(signal.raise_signal, signal.SIGKILL)
    assert worker.result.error == "its process died"


def test_a_job_is_repeated_in_another_process(worker):
    worker.ask(contest._start, "slider-64-b1", Contestant("ours float32", "ours"), "cpu")
    assert 0 < worker.ask(contest._time) < 60 and worker.ask(contest._output).shape == (1, 3, 64, 64)
    assert worker.ask(os.getpid) != os.getpid()


# ------------------------------------------------------------------------------------------------------- command line
@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--peer", "nvidia"], "expected NAME=DIR"),
        (["--peer", "nobody=."], "unknown peer 'nobody'; there are"),
        (["--peer", "nvidia=no/such/folder"], "there is no such folder"),
        (["--peer", "nvidia=tests"], "not a checkout of nvidia, it lacks training/networks.py"),
        (["--only", "generator"], "invalid choice: 'generator' (choose from 'generator-256-b4'"),
        (["--only", "train-256-b8"], "needs --device cuda"),
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
    monkeypatch.setattr(contest, "Worker", Alone)
    compare.main(["--rounds", "2", "--json", str(tmp_path / "all.json")])
    printed, text = capsys.readouterr().out, (tmp_path / "all.json").read_text()
    expected = [name for name, w in WORKLOADS.items() if not w.cuda_only]
    assert list(json.loads(text)["workloads"]) == expected and all(name in printed for name in expected)
    assert str(Path.home()) not in text


# ------------------------------------------------------------------------------------------- what contestants are given
def test_every_workload_repeats_on_tiny_networks(monkeypatch, tmp_path):
    """Our own adapter does each kind of job; its output is the same every time."""
    ours = Ours(torch.device("cpu"))
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
