"""The benchmark's own arithmetic, its worker processes, and what it says when something is wrong. No peers needed."""

from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks import (
    compare,
    contest,
    cuda_graphs,
    flops,
    jobs,
    limits,
    peers,
    photos,
    profile,
    quality,
    stubs,
    table,
    workloads,
)
from benchmarks.contest import Result
from benchmarks.ours import Ours, Schedule
from benchmarks.worker import ROOT, Contestant, Worker, WorkerError, request
from stylegan2.networks import Discriminator, Generator
from stylegan2.pocket.recipe import large_config

TINY = {4: 3, 8: 2}


def test_flops_against_a_count_by_hand():
    by_hand = 2 * (
        3 * 3 * 9 * 16 + 3 * 3 * 16  # 4x4: convolution, tRGB
        + 3 * 2 * 9 * 16 + 2 * 2 * 9 * 64 + 2 * 3 * 64  # 8x8: up from 16 pixels, convolution, tRGB
        + 5 * (3 + 3) + 5 * (3 + 2 + 2)  # affine layers from w of 5 numbers
    )  # fmt: skip
    assert flops.generator(TINY, w_dim=5) == by_hand
    assert flops.generator(TINY, 5, z_dim=7, mapping_layers=2) == by_hand + 2 * (7 * 5 + 5 * 5)
    by_hand = 2 * (
        3 * 2 * 64 + 2 * 2 * 9 * 64 + 2 * 3 * 9 * 16 + 2 * 3 * 16  # from RGB, convolution, down, skip
        + 4 * 3 * 9 * 16 + 48 * 3 + 3  # the head, with the feature of the minibatch
    )  # fmt: skip
    assert flops.discriminator(TINY) == by_hand
    assert flops.latent_step(TINY, 5) == 2 * flops.generator(TINY, 5)
    assert flops.training_image(8, 16) == (8 + 6 * 16) + (3 * 8 + 2 * 16) + 6 * 16 / 16 + 6 * 8 / 8


def test_flops_of_config_f_are_about_what_the_paper_size_needs():
    assert workloads.WORKLOADS["generator-256-b1"].flops == pytest.approx(90e9, rel=0.02)


def test_flops_agree_with_the_networks():
    """Multiplications with weights, counted from the shapes of the real layers."""
    from torch.utils.flop_counter import FlopCounterMode

    d = Discriminator(8, TINY)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        d(torch.zeros(1, 3, 8, 8))
    filters = 2 * 16 * (2 * 81 + 2 * 16)  # of the down-convolution (9x9 pixels) and the skip, which are not counted
    assert flops.discriminator(TINY) <= counter.get_total_flops() <= flops.discriminator(TINY) + 4 * filters


def timed(*seconds: float, error: str | None = None) -> Result:
    return Result(list(seconds), error)


FAKE = {
    "ours float32": timed(2.0, 1.0, 9.0),
    "ours mixed": timed(0.5, 0.5, 0.5),
    "nvidia": timed(4.0, 4.0, 5.0),
    "nvidia warm": timed(3.0, 3.0, 3.0),
    "rosinality": timed(8.0, 7.0, 6.0),
    "rosinality warm": timed(1.0, error="RuntimeError: boom"),
}


def test_medians_and_ratios():
    assert FAKE["ours float32"].median == 2 and FAKE["rosinality warm"].median is None
    derived = table.figures(FAKE, flops=1e9, limits={"float32": 1.0, "bfloat16": 8.0, "copy": 9.0}, device="cpu")
    assert derived["fastest_peer"] == "nvidia"
    assert derived["ratio_to_faster_peer"] == {"ours float32": 2.0, "ours mixed": 8.0}
    assert derived["ratio_to_faster_peer_warm"] == {"ours float32": 1.5, "ours mixed": 6.0}
    assert derived["share_of_limit"] == {"ours float32": 0.5, "ours mixed": 0.25}


def test_nothing_is_made_up_where_nothing_was_measured():
    derived = table.figures({"ours float32": timed(1.0)}, None, {"float32": 1.0}, "cpu")
    assert derived["fastest_peer"] is None
    assert set(derived["ratio_to_faster_peer"].values()) == set(derived["share_of_limit"].values()) == {None}
    everybody = table.figures(
        {"ours float32": timed(error="E: no"), "nvidia": timed(1.0)}, 1e9, {"float32": 1.0}, "cpu"
    )
    assert set(everybody["ratio_to_faster_peer"].values()) == {None}


def test_units():
    made = {unit: workloads.Workload("x", "", None, unit, 4).value(2.0) for unit in ("s/image", "images/s", "ms")}
    assert made == {"s/image": 0.5, "images/s": 2.0, "ms": 500.0}


def report_of(results: dict[str, Result], device: str = "cpu") -> dict:
    limit = {"float32": 1.0, "bfloat16": 8.0, "copy": 9.0}
    w = workloads.Workload("some-work", "", None, "s/image", flops=1e9)
    return {
        "machine": compare.machine("cpu"), "device": device, "ours": "f" * 40, "rounds": 3, "limits": limit,
        "peers": {"nvidia": "a" * 40, "rosinality": "b" * 40},
        "workloads": {"some-work": compare.entry(w, results, limit, device)},
    }  # fmt: skip


def test_table_shows_values_variants_and_failures():
    FAKE["nvidia"].deviation = 2e-5
    text = table.render(report_of(FAKE))
    header, _, row = text.splitlines()[:3]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert len(cells) == header.count("|") - 1
    assert cells == [
        *("some-work", "s/image", "2 [1]", "0.5", "4 (3)", "7 (failed [2])"),
        *("2.00 / 8.00", "1.50 / 6.00", "50% / 25%", "2.0e-05", "–"),
    ]
    assert f"[1] {table.BUSY}" in text and "[2] RuntimeError: boom" in text and "a" * 10 in text


def test_who_takes_part():
    names = lambda *a: [who.name for who in contest.entrants(*a)]  # noqa: E731
    folders = {"nvidia": Path("n"), "cartoon": Path("c")}
    kinds = ("ours", "nvidia", "rosinality", "cartoon")
    assert names(kinds, True, folders, "cpu", True) == [
        *("ours float32", "ours mixed", "nvidia", "nvidia warm", "cartoon", "cartoon warm")
    ]
    assert names(kinds, True, folders, "cuda", True) == [
        *("ours float32", "ours mixed", "nvidia", "nvidia mixed", "cartoon")
    ]
    assert names(kinds, False, {}, "cpu", True) == ["ours float32"]
    assert names(kinds, True, {}, "cpu", False) == ["ours float32"]  # no lower precision in hardware


# ------------------------------------------------------------------------------------------------------------ workers


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """A workload that a worker finds by its name in a module of its own: a matrix product of a few numbers."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys, types\n"
        "fake = types.ModuleType('benchmarks.workloads')\n"
        "fake.__dict__.update(WORKLOADS={})\n"
        "class Tiny:\n"
        "    def make(self, contestant, scratch):\n"
        "        import torch\n"
        "        from benchmarks.worker import ROOT\n"
        "        if contestant.precision != 'float32': raise ValueError('cannot\\nat all')\n"
        "        self.x = torch.arange(4.0)\n"
        "        print('a peer that prints')\n"
        "        return self\n"
        "    warm_up = run = lambda self: self.x @ self.x\n"
        "    output = lambda self: self.x\n"
        "fake.WORKLOADS['tiny'] = Tiny()\n"
        "sys.modules['benchmarks.workloads'] = fake\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def test_a_round_trip_and_a_failure(tiny, tmp_path):
    """Two contestants take turns; one cannot do it, and the run goes on."""
    who, turns = [Contestant("ours"), Contestant("ours", "mixed")], []
    results = contest.measure("tiny", who, "cpu", tmp_path / "scratch", rounds=3, budget=60, progress=turns.append)
    good, bad = results["ours float32"], results["ours mixed"]
    assert len(good.seconds) == 3 and good.error is None and 0 < good.median < 1
    assert bad.median is None and bad.error == "ValueError: cannot"
    there, back = ["ours float32", "ours mixed"], ["ours mixed", "ours float32"]
    assert turns == there + there + back + there  # start-up, then three rounds that begin with another one each time
    assert "a peer that prints" in (tmp_path / "scratch" / "tiny-ours-float32.log").read_text()


def test_a_worker_that_dies_says_so(tmp_path):
    worker = Worker(tmp_path, "dies")
    worker.process.kill()
    with pytest.raises(WorkerError, match="ended with code -9"):
        worker.ask("time")
    worker.close()


class Turns:
    """Stands in for worker processes: fixed seconds, or an error."""

    def __init__(self, scratch, name):
        self.slow = name.endswith("nvidia")

    def ask(self, do, **arguments):
        if do == "time":
            return 100.0 if self.slow else 1.0
        return [] if do == "start" else False

    def close(self):
        pass


def test_a_slow_contestant_sits_out_but_has_two_turns(monkeypatch, tmp_path):
    monkeypatch.setattr(contest, "Worker", Turns)
    who = [Contestant("ours"), Contestant("nvidia")]
    results = contest.measure("tiny", who, "cpu", tmp_path, rounds=5, budget=90)
    assert {name: len(result.seconds) for name, result in results.items()} == {"ours float32": 5, "nvidia": 2}


# ------------------------------------------------------------------------------------------------------- command line


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--peer", "nvidia"], "expected NAME=DIR"),
        (["--peer", "nobody=."], "unknown peer 'nobody'; there are"),
        (["--peer", "nvidia=no/such/folder"], "there is no such folder"),
        (["--peer", "nvidia=tests"], "not a checkout of nvidia, it lacks training/networks.py"),
        (["--only", "generator"], "unknown; there are generator-256-b4"),
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
    said = capsys.readouterr().out
    assert all(name in said for name in [*workloads.WORKLOADS, *peers.LANDMARKS])


def test_everything_without_peers(monkeypatch, capsys, tmp_path):
    """From the command line to table and JSON, with made-up times."""
    monkeypatch.setattr(compare, "_limits", lambda scratch, device: {"float32": 100.0, "copy": 10.0})
    monkeypatch.setattr(contest, "Worker", Turns)
    monkeypatch.setattr(photos, "write", lambda *a: None)
    compare.main(["--quick", "--json", str(tmp_path / "all.json")])
    said = capsys.readouterr().out
    report = compare.json.loads((tmp_path / "all.json").read_text())
    expected = [name for name, w in workloads.WORKLOADS.items() if not w.cuda_only]
    assert list(report["workloads"]) == expected and all(name in said for name in expected)
    assert report["workloads"]["lmdb-prepare"]["contestants"]["ours float32"]["value"] == photos.QUICK_COUNT
    assert str(Path.home()) not in (tmp_path / "all.json").read_text()


# ------------------------------------------------------------------------------------------- what contestants are given


def test_every_workload_repeats_on_tiny_networks(monkeypatch, tmp_path):
    """Our own adapter does each kind of job; its output is the same every time."""

    def tiny_networks(resolution, preset):
        torch.manual_seed(0)
        return Generator(8, 4, 4, 1, TINY), Discriminator(8, TINY)

    ours = Ours(torch.device("cpu"))
    monkeypatch.setattr(jobs, "_networks", tiny_networks)
    monkeypatch.setattr(jobs, "SLIDES", 2)
    slide = jobs.slide(ours, tmp_path)
    assert slide.run()[0].startswith(b"\xff\xd8")  # JPEG
    image = torch.linspace(-0.9, 0.9, 3 * 64).reshape(3, 8, 8)
    assert jobs._encode_by_pillow(image, 2) == jobs._encode_as_panel(image, 2)  # peers do the same work
    draw = jobs.generate(8, "pocket", 2)(ours, tmp_path)
    assert draw.run().shape == (2, 3, 8, 8) and torch.equal(draw.output(), draw.output())
    trained = ours.trainer(*tiny_networks(8, ""), torch.zeros(4, 3, 8, 8, dtype=torch.uint8), Schedule(r1_gamma=0.1))
    trained(1)


def test_photos_become_the_same_pixels(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(jobs, "SIZES", (8, 16))
    photos.write(tmp_path, count=5, side=64)
    job = jobs.prepare(Ours(torch.device("cpu")), tmp_path)
    for _ in range(3):
        job.run()
    assert len(list(tmp_path.glob("out-*"))) == 2  # the one before the last is removed
    assert photos.lightness(photos.newest(tmp_path), 16).shape == (5, 16, 16)
    read = jobs.read(Ours(torch.device("cpu")), tmp_path)
    read.run()
    assert photos.count(tmp_path) == 5


def test_hard_wired_widths_are_replaced(tmp_path):
    file = tmp_path / "their_model.py"
    file.write_text("def build(size):\n    channels = {4: 512, 8: 512, 16: 512}\n    return channels[size]\n")
    module = stubs.import_with_widths(file, "their_model", {4: 7, 8: 6, 16: 5})
    assert [module.build(size) for size in (4, 8, 16)] == [7, 6, 5]
    file.write_text("channels = 3\n")
    with pytest.raises(ImportError, match="no table of widths"):
        stubs.import_with_widths(file, "their_model", {4: 7})


def test_stand_ins_take_the_centre(tmp_path):
    from PIL import Image

    small = stubs._center_crop(stubs._resize(Image.new("RGB", (40, 20)), 10, Image.Resampling.LANCZOS), 10)
    assert small.size == (10, 10)
    for name in ("b/2.jpg", "a/1.jpg", "a/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    listed = [(Path(path).name, label) for path, label in stubs._ImageFolder(str(tmp_path)).imgs]
    assert listed == [("1.jpg", 0), ("2.jpg", 1)]


def test_limits_are_positive_and_merge_to_the_larger():
    found = limits.measure("cpu", shapes=[(1, 8, 8)], copy_bytes=1 << 16)
    assert found["float32"] > 0 and found["copy"] > 0
    assert limits.merge({"a": 1.0, "b": 2.0}, {"a": 3.0, "b": 1.0}) == {"a": 3.0, "b": 2.0}


def test_contestants_survive_json():
    who = Contestant("nvidia", "mixed", True, "folder")
    assert Contestant(**request(who)) == who and who.name == "nvidia mixed warm"


def test_options_are_complete():
    assert isinstance(compare.parser().parse_args([]), Namespace)


# ------------------------------------------------------------------------------------------------------------- profile
def test_shares_add_up_and_bound_what_fusing_can_give():
    spent = {"aten::mkldnn_convolution": 50.0, "aten::convolution_backward": 10.0, "aten::addmm": 10.0}
    found = profile.shares(spent | {"aten::leaky_relu_backward": 15.0, "aten::copy_": 5.0, "aten::normal_": 10.0})
    assert found == pytest.approx({"convolutions": 0.6, "matrix products": 0.1, "passes": 0.2, "rest": 0.1})
    assert profile.bound(found["passes"]) == pytest.approx(1.25)


def test_a_job_is_profiled_by_its_operators():
    x = torch.ones(64, 64)
    seconds, spent = profile.profiled(jobs.Job(lambda: (x @ x).mul(2)))
    assert seconds > 0 and {"aten::mm", "aten::mul"} <= spent.keys()


# ------------------------------------------------------------------------------------------------------------- quality
def test_variants_differ_in_what_is_compared_only(tmp_path):
    assert list(quality.variants(True)) == ["float32", "bfloat16", "reused fakes"]
    assert "bfloat16" not in quality.variants(False)
    study, entry = quality.Study(work=tmp_path), quality.Entry("webtoon", "baseline", ())
    configs = [quality.replace(study.config(entry), **settings) for settings in quality.variants(True).values()]
    assert len({config.seed for config in configs}) == len({config.lr for config in configs}) == 1


def test_a_variant_is_trained_and_measured(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    study = quality.Study(work=tmp_path, images=32, faces=40)
    row = quality.run(study, 0, "reused fakes", {"reuse_fakes": True})
    assert row["images"] == 32 and row["floor"] < row["value"] and row["floor"] < row["ceiling"]
    assert (tmp_path / "reused-fakes-32-0" / "snapshots" / "000000032.pt").exists()


# --------------------------------------------------------------------------------------------------------- CUDA graphs
def test_the_recordable_steps_train_all_three_networks(tmp_path, monkeypatch):
    """On a CPU they run as they are: a few iterations in which every step has its turn."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(
        cuda_graphs, "large_config", lambda recipe: replace(large_config(recipe), batch=2, ema_images=2)
    )
    training = cuda_graphs.start(torch.device("cpu"), 8, Path("checkpoints/pocket/photo.pt"))
    networks = training.g, training.d, training.g_ema
    before = [[p.detach().clone() for p in network.parameters()] for network in networks]
    training.step()
    assert training.iteration == 1 and all(value.isfinite() and value != 0 for value in training.told.values())
    for old, network in zip(before, networks, strict=True):
        moved = [not torch.equal(a, b) for a, b in zip(old, network.parameters(), strict=True)]
        assert sum(moved) > 0.9 * len(moved)
    training.steps = {name: lambda name=name: ran.append(name) for name in training.steps}
    ran: list[str] = []
    for _ in range(16):  # iterations 1 to 16: path length every 8, R1 every 16
        training.step()
    assert ran.count("main") == 16 and ran.count("path") == 2 and ran.count("r1") == 1
