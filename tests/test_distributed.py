"""Two processes train what one trains; one that is killed starts again; and of a process alone nothing changes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import distributed_run
import pytest
import torch
from tiny_training import random_pictures, tiny_config, tiny_networks

import stylegan2.pocket  # noqa: F401  (rendered sets can be named as sources)
from stylegan2.cli import processes
from stylegan2.distributed import World
from stylegan2.runs import read_log
from stylegan2.trainer import Trainer

HERE = Path(__file__).parent
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parent}"}
pytestmark = pytest.mark.skipif(not torch.distributed.is_available(), reason="this PyTorch cannot run in processes")


def launch(*words: object, restarts: int = 0) -> subprocess.CompletedProcess:
    """As `torchrun` does it."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command = [*torchrun, f"--max-restarts={restarts}", *map(str, words)]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=300, cwd=HERE.parent)


def trained(out: Path, steps: int, *words: object, restarts: int = 0) -> dict:
    """The result of tests/distributed_run.py, by two processes."""
    out.mkdir(parents=True)
    done = launch(HERE / "distributed_run.py", out, steps, 1, *words, restarts=restarts)
    assert done.returncode == 0, done.stderr[-3000:]
    return torch.load(out / "result.pt", weights_only=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def runs(folder) -> dict[str, dict]:
    """Twenty iterations with a batch of 16: by one process, by two, and by one in two parts."""
    threads = torch.get_num_threads()
    for name, parts in (("one", 1), ("parts", 2)):
        (folder / name).mkdir()
        distributed_run.run(folder / name, 20, parts)
    torch.set_num_threads(threads)
    alone = {name: torch.load(folder / name / "result.pt", weights_only=True) for name in ("one", "parts")}
    return alone | {"two": trained(folder / "two", 20)}


@pytest.mark.parametrize("other", ["two", "parts"])
def test_the_first_gradients_are_those_of_one_process(runs, other):
    one, many = runs["one"]["gradients"], runs[other]["gradients"]
    assert len(one) == len(many) == 4  # D, R1, G, path length
    for a, b in zip(one, many, strict=True):
        assert a.norm() > 0 and (a - b).norm() / a.norm() < 1e-4


@pytest.mark.parametrize("other", ["two", "parts"])
def test_twenty_iterations_lead_to_the_same_place(runs, other):
    one, many = (torch.cat([x.flatten() for x in runs[name]["moved"].values()]) for name in ("one", other))
    assert one.norm() > 0.1 and (one - many).norm() / one.norm() < 1e-2
    assert runs["one"]["ada"] == pytest.approx(runs[other]["ada"], abs=1e-6) and runs["one"]["ada"][0] != 0.5
    assert runs["one"]["pl"] == pytest.approx(runs[other]["pl"], rel=1e-2)
    assert runs[other]["ranks"] == (2 if other == "two" else 1)


def test_the_log_tells_of_all_processes(runs, folder):
    one, two = (read_log(folder / name / "run" / "log.csv") for name in ("one", "two"))
    assert len(one) == len(two) == 20
    for a, b in zip(one, two, strict=True):
        for name in ("loss_g", "loss_d", "augment_p", "r_t"):
            assert a[name] == pytest.approx(b[name], rel=2e-2, abs=2e-2), name


def test_when_a_process_dies_all_start_again_from_the_last_snapshot(folder, runs):
    """And come to the same bits as if nobody had died."""
    assert trained(folder / "killed", 20, "die", restarts=2)["gradients"] == []  # not from the start
    ours, theirs = (
        torch.load(sorted((run / "run" / "snapshots").glob("*.pt"))[-1], weights_only=True)
        for run in (folder / "killed", folder / "two")
    )
    for part in ("g", "d", "g_ema"):
        assert all(torch.equal(ours[part][k], theirs[part][k]) for k in theirs[part]), part


def test_the_verb_trains_in_two_processes_also_from_a_notebook_and_talks_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    words = {"data": "pocket:webtoon?n=32", "out": tmp_path / "run", "images": 16, "batch": 8, "no_mirror": True}
    processes.launch(2, "train", **words, sample_rows=1, sample_columns=2, log_images=8, device="cpu")
    said = capsys.readouterr().out
    assert said.count("2 processes") == 1 and said.count("done: 16 images") == 1
    assert len(read_log(tmp_path / "run" / "log.csv")) == 2
    assert len(list((tmp_path / "datasets").iterdir())) == 1  # prepared by the first process, while the other waited
    with pytest.raises(RuntimeError, match="train in 2 processes ended with 1: error: .*no.lmdb"):
        processes.launch(2, "train", data=tmp_path / "no.lmdb", out=tmp_path / "other")


@pytest.mark.parametrize(
    ("settings", "size", "message"),
    [
        ({"batch": 6}, 4, "batch is 6, .*number of processes .4."),
        ({"batch": 4, "pl_batch_shrink": 4}, 2, "for path length 1"),
        ({"batch": 8, "accumulate": 3}, 1, "accumulate .3."),
        ({"batch": 8, "accumulate": 2, "reuse_fakes": True}, 1, "use one of them"),
    ],
)
def test_a_batch_that_cannot_be_shared_is_refused(tmp_path, monkeypatch, settings, size, message):
    monkeypatch.setattr(World, "here", classmethod(lambda cls: cls(0, size)))
    with pytest.raises(ValueError, match=message):
        Trainer(tiny_config(tmp_path, **settings), random_pictures(resolution=16), *tiny_networks(16, 6, 1))


def test_the_variance_of_all_processes_is_that_of_one_with_all_images(monkeypatch):
    images = torch.randn(6, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 0.1 + 5
    shares, seen = (images[0::2], images[1::2]), []
    monkeypatch.setattr(World, "mean", lambda self, value: seen.append(value) or value)
    for share in shares:
        World(0, 2).variance(share)
    monkeypatch.setattr(World, "mean", lambda self, value: sum(seen) / 2)
    assert World(0, 2).variance(shares[0]) == pytest.approx(images.var(dim=(0, 2, 3)), rel=1e-4)
    assert torch.equal(World().variance(images), images.var(dim=(0, 2, 3)))


def test_a_process_alone_is_a_world_of_its_own():
    world, p = World(), torch.nn.Parameter(torch.ones(3))
    p.grad = torch.tensor([1.0, 2.0, 3.0])
    world.average_gradients([p])
    assert p.grad.tolist() == [1, 2, 3] and world.sum(2.5) == 2.5 and world.means({"a": 1.0}) == {"a": 1.0}
    assert world.any(True) and not world.any(False) and world.of_first("x") == "x" and world.is_first
    assert list(range(8))[world.share()] == list(range(8)) and list(range(8))[World(1, 2).share(1, 2)] == [3, 7]
