"""The scoreboard: rows from results, the Pareto front, measuring, and a study that goes on where it was."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from stylegan2 import checkpoints, cli
from stylegan2.pocket import likeness, world
from stylegan2.pocket.studies import forgetting, hints, projection, scoreboard, scoreboard_view, text_edits
from stylegan2.pocket.studies.methods import METHODS
from stylegan2.pocket.studies.scoreboard import Entry, Study
from stylegan2.transfer import FreezeD, FreezeSG, StructureLoss

ROOT = Path(__file__).resolve().parents[1]
NOT_ONES_OWN = "one drawing, its colours"
POCKET = ROOT / "checkpoints" / "pocket"


def result(domain="webtoon", method="baseline", error=0.2, distance=20.0, swap=None, kept=0.5) -> dict:
    numbers = {"domain_distance": distance, "landmark_error_same_w": error, "landmark_error_same_z": error + 0.01}
    numbers |= {"attributes_kept_same_w": 0.5, "floor": 0.1, "ceiling": 0.3, "swap": swap}
    numbers |= {"distance_floor": 0.7, "distance_same_people": 19.0, "distance_ceiling": 52.0}
    number = {"value": kept, "low": kept - 0.1, "high": kept + 0.1, "floor": 0.01, "ceiling": 0.9}
    numbers |= {name: number for name in likeness.MEASURES}
    numbers |= {"kept_by_group": dict.fromkeys(likeness.STRUCTURE, kept)}
    return {"domain": domain, "method": method, "measured": [numbers], "images": 96, "batch": 32, "faces": 10}


# ---------------------------------------------------------------------------------------------------------------- rows


def test_rows_are_means_and_sd_over_seeds():
    rows = scoreboard.rows([result(error=0.2), result(error=0.4), result(method="freeze-g", error=0.1)])
    assert [(row["method"], row["seeds"]) for row in rows] == [("baseline", 2), ("freeze-g", 1)]
    assert rows[0]["landmark_error_same_w"]["mean"] == pytest.approx(0.3)
    assert rows[0]["landmark_error_same_w"]["sd"] == pytest.approx(0.02**0.5)  # of a sample: n - 1
    assert rows[1]["landmark_error_same_z"] == {"mean": pytest.approx(0.11), "sd": None}


def test_what_is_kept_has_an_interval():
    row, alone = scoreboard.rows([result(kept=0.4), result(kept=0.6), result(kept=0.3, method="freeze-g")])
    assert row["structure_kept"]["mean"] == pytest.approx(0.5) and row["structure_kept"]["sd"] > 0
    assert [row["who_top1"][part] for part in ("low", "high", "ceiling")] == pytest.approx([0.4, 0.6, 0.9])
    assert row["kept_by_group"]["pose"] == pytest.approx(0.5) and alone["who_top5"]["sd"] is None


def test_domains_and_swaps_are_rows_of_their_own():
    rows = scoreboard.rows([result(), result(swap=16), result(domain="portrait")])
    assert [(row["domain"], row["swap"]) for row in rows] == [("webtoon", None), ("webtoon", 16), ("portrait", None)]


def test_studies_name_every_training_once():
    entries = [*scoreboard.methods_study(seeds=(0, 1)), *scoreboard.sweep_study(seeds=(0, 1))]
    keys = [entry.key for entry in entries]
    assert len(set(keys)) == len(keys) and all(not set(key) & set(" (),=/") for key in keys)
    assert len(scoreboard.methods_study(seeds=(0, 1))) == 3 * len(METHODS) * 2
    sweep = {entry.name: entry.methods for entry in scoreboard.sweep_study()}
    assert sweep["FreezeSG(8, 4)"] == (FreezeD(world.SIZE // 2), FreezeSG(8, 4))
    loss = StructureLoss(weight=100.0, relative=True)
    assert sweep["StructureLoss(weight=100.0, relative=True)"][1] == loss


# ------------------------------------------------------------------------------------------------------------- looking


def test_pareto_front_is_what_nothing_beats():
    points = [(1, 9), (2, 5), (3, 6), (4, 5), (5, 1), (5, 2)]
    assert scoreboard_view.pareto(points) == [0, 1, 4]
    assert scoreboard_view.pareto([]) == []


def test_table_marks_the_best_and_bounds_the_errors():
    rows = scoreboard.rows([result(error=0.2), result(error=0.4), result(method="freeze-g", error=0.1, distance=30.0)])
    lines = scoreboard_view.table(rows, "webtoon").splitlines()
    assert lines[2].startswith("| freeze-g | – | 30.0 | **0.100** |")
    assert lines[3].startswith("| baseline | – | **20.0** ± 0.0 | 0.300 ± 0.141 |")
    assert "0.100 for the same attributes in both domains, 0.30 for random pairs" in lines[-1]
    assert "0.7 for rendered faces of this world, 19.0 for the photos' people rendered in it, 52 for" in lines[-1]
    tied = scoreboard.rows([result(error=0.1001), result(method="freeze-g", error=0.1004)])
    assert scoreboard_view.table(tied, "webtoon").count("**0.100**") == 2
    with pytest.raises(ValueError, match=r"no row of 'manga'.*webtoon"):
        scoreboard_view.table(rows, "manga")


def test_table_and_page_show_what_is_kept():
    rows = scoreboard.rows([result(kept=0.4), result(kept=0.6, method="freeze-g", error=0.1), result(swap=32)])
    lines = scoreboard_view.table(rows, "webtoon").splitlines()
    assert "| structure kept ↑ | colours kept ↑ | who is it? ↑ | of five ↑ |" in lines[0]
    assert "| **0.60** (0.50 to 0.70) |" in lines[2] and "| 0.40 (0.30 to 0.50) |" in lines[3]
    assert lines[-1].endswith("Who is it: 0.01 by chance, 0.90 for people rendered in both worlds.")
    assert "- **Who is it?** Among 100" in scoreboard_view.page(rows, rows)
    baseline, freeze_g = scoreboard_view.kept_table(rows).splitlines()[2:]  # swaps are left out
    assert baseline.startswith("| webtoon | baseline | 0.40 (0.30 to 0.50) | 0.40 | 0.40 | 0.40 | 0.40 | 0.40 (0.30 to")
    assert freeze_g.startswith("| webtoon | freeze-g | 0.60 (0.50 to 0.70) |")


def test_scatter_draws_every_row_of_the_shipped_scoreboard():
    rows = json.loads((POCKET / "scoreboard.json").read_text())
    figure = scoreboard_view.scatter(rows)
    assert len(figure.axes) == 3
    for axis, domain in zip(figure.axes, scoreboard.TARGETS, strict=True):
        drawn = {(float(c[0].get_xdata()[0]), float(c[0].get_ydata()[0])) for c in axis.containers}
        own = [row for row in rows if row["domain"] == domain]
        assert drawn == {(r["landmark_error_same_w"]["mean"], r["domain_distance"]["mean"]) for r in own}


# ----------------------------------------------------------------------------------------------------------- measuring


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Study:
    """The shipped source and judge, trainings of one iteration, 100 faces."""
    work = tmp_path_factory.mktemp("scoreboard")
    return Study(POCKET / "photo.pt", POCKET / "judge.pt", work, images=32, faces=100, device="cpu")


@pytest.mark.parametrize("name", ["one drawing", "one sentence"])
def test_a_row_may_come_of_one_drawing_or_one_sentence(study, monkeypatch, name):
    way = replace(hints.WAYS[name], iterations=2)
    monkeypatch.setattr(hints, "WAYS", {name: way})
    (entry,) = scoreboard.hints_study(seeds=(1,))
    style, source = scoreboard.train_entry(study, entry), checkpoints.load(study.source).g_ema
    kept = checkpoints.load(study.model(entry), g_ema_only=True)
    assert kept.info["methods"] == [str(way)] and kept.info["source"] == study.made_from["source"]
    assert torch.equal(style.mapping.w_mean, source.mapping.w_mean)  # codes keep their meaning
    changed = style.synthesis.blocks["64"].conv0.weight - source.synthesis.blocks["64"].conv0.weight
    assert changed.abs().max() > 1e-4
    other = replace(entry, methods=(replace(way, lr=0.01),))
    with pytest.raises(ValueError, match="another study"):
        scoreboard.train_entry(study, other)


def test_the_source_as_its_own_target_has_no_landmark_error(study):
    source = checkpoints.load(study.source).g_ema
    found = dict(scoreboard.measure(study, "webtoon", source))
    assert list(found) == list(scoreboard.SWAPS)
    for numbers in found.values():
        assert numbers["landmark_error_same_w"] == numbers["landmark_error_same_z"] == 0
        assert numbers["ceiling"] > 0.05 and numbers["domain_distance"] > 30
        assert numbers["structure_kept"]["value"] > 0.8


def test_a_swap_brings_the_target_nearer_to_the_source(study):
    """The shipped baseline: the more layers are the source's, the less of a face is lost, and less webtoon."""
    target = checkpoints.load(POCKET / "webtoon_baseline.pt").g_ema
    found = dict(scoreboard.measure(study, "webtoon", target))
    errors = [found[swap]["landmark_error_same_w"] for swap in scoreboard.SWAPS]
    assert errors[0] > errors[1] > errors[2] > 0
    assert found[32]["structure_kept"]["value"] > found[None]["structure_kept"]["high"]
    assert found[None]["domain_distance"] < found[32]["domain_distance"]


def test_rulers_are_rendered_once(study, monkeypatch):
    words = study.judge, study.device, "webtoon", study.faces
    judge, reference, alike = scoreboard.rulers(*words)
    assert len(reference.first) == len(alike.source) == study.faces
    monkeypatch.setattr(scoreboard.measures, "rendered_reference", lambda *_: pytest.fail("rendered again"))
    assert scoreboard.rulers(*words)[0] is judge


# ----------------------------------------------------------------------------------------------------------- a study


def test_a_study_goes_on_where_it_was(study, monkeypatch):
    entries = [Entry("webtoon", "baseline", (FreezeD(world.SIZE // 2),), seed) for seed in (0, 1)]
    first = scoreboard.run(study, entries[:1])
    assert study.model(entries[0]).exists() and not (study.work / "runs" / entries[0].key / "snapshots").exists()
    trained = []
    train = scoreboard.train_entry
    monkeypatch.setattr(scoreboard, "train_entry", lambda s, e, *a: trained.append(e.seed) or train(s, e, *a))
    both = scoreboard.run(study, entries)
    assert trained == [1] and both[0] == first[0] and both[1]["seed"] == 1
    assert both[0]["measured"][0] != both[1]["measured"][0]


def test_results_of_another_study_are_not_mixed_in(study):
    entry = Entry("webtoon", "baseline", (FreezeD(world.SIZE // 2),))
    scoreboard.run_entry(study, entry)
    for change in ({"images": 64}, {"faces": 20}, {"source": POCKET / "webtoon_baseline.pt"}):
        with pytest.raises(ValueError, match=rf"another study \({list(change)[0]}: .* there, .* here\)"):
            scoreboard.run_entry(replace(study, **change), entry)
    with pytest.raises(ValueError, match="another study"):
        scoreboard.run_entry(study, replace(entry, methods=(FreezeD(16),)))
    study.result(entry).unlink()
    with pytest.raises(ValueError, match=r"\.pt' is of another study \(images"):
        scoreboard.run_entry(replace(study, images=64), entry)


def test_a_trained_entry_is_measured_without_training_again(study, monkeypatch):
    entry, study = Entry("webtoon", "shipped", (FreezeD(world.SIZE // 2),)), replace(study, images=Study.images)
    shutil.copy(POCKET / "webtoon_baseline.pt", study.model(entry))
    monkeypatch.setattr(scoreboard, "Trainer", None)
    assert scoreboard.run_entry(study, entry)["measured"][0]["domain_distance"] > 1


def test_the_command_writes_rows_and_a_picture(study, monkeypatch, tmp_path):
    monkeypatch.setattr(scoreboard, "METHODS", {"baseline": METHODS["baseline"]})
    paths = ["--source", study.source, "--judge", study.judge, "--work", study.work, "--out", tmp_path / "rows.json"]
    options = [*paths, "--domain", "webtoon", "--images", 32, "--faces", 40, "--device", "cpu"]
    found = CliRunner().invoke(cli.app, ["scoreboard", *map(str, options)])
    assert found.exit_code == 0, found.output
    assert "| baseline | – |" in found.output
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert [row["swap"] for row in rows] == list(scoreboard.SWAPS) and (tmp_path / "rows.jpg").exists()
    wrong = CliRunner().invoke(cli.app, ["scoreboard", "--domain", "manga"])
    assert wrong.exit_code == 2 and "no target domain 'manga'" in wrong.output


# ------------------------------------------------------------------------------------------------------------- shipped


def test_the_shipped_scoreboard_says_what_the_course_says():
    """Models with frozen coarse layers keep more of the person than the others; their style is learnt all the same."""
    rows = {
        (r["domain"], r["method"]): r for r in json.loads((POCKET / "scoreboard.json").read_text()) if r["swap"] is None
    }
    assert {name for domain, name in rows if domain == "webtoon"} == {*METHODS, *hints.WAYS}
    for domain in scoreboard.TARGETS:
        of = {name: row for (d, name), row in rows.items() if d == domain}
        frozen = [row for name, row in of.items() if {"freeze-g", "freeze-sg"} & set(name.split("+"))]
        free = [row for name, row in of.items() if row not in frozen and name in METHODS]
        assert frozen and free
        for row in frozen:
            for other in free:
                assert row["landmark_error_same_w"]["mean"] < 0.95 * other["landmark_error_same_w"]["mean"]
                assert row["structure_kept"]["low"] > other["structure_kept"]["high"]
                assert row["who_top1"]["low"] > other["who_top1"]["high"]
            assert row["domain_distance"]["mean"] < min(
                1.1 * row["distance_same_people"], 0.5 * row["distance_ceiling"]
            )


def test_one_drawing_or_sentence_keeps_people_and_learns_less_of_the_world():
    rows = json.loads((POCKET / "scoreboard.json").read_text())
    of = {r["method"]: r for r in rows if r["domain"] == "webtoon" and r["swap"] is None}
    distance = {name: row["domain_distance"]["mean"] for name, row in of.items()}
    far = of["baseline"]["distance_ceiling"]
    assert max(distance[name] for name in METHODS) < distance["one drawing"] < 0.85 * far < distance[NOT_ONES_OWN]
    assert distance["one sentence"] < 0.85 * far and of["one sentence"]["seeds"] == of["one drawing"]["seeds"] == 3
    for name in hints.WAYS:
        assert of[name]["structure_kept"]["mean"] > 0.85
    assert of["one drawing"]["colours_kept"]["mean"] > 0.85 > 0.5 > of[NOT_ONES_OWN]["colours_kept"]["mean"]


def test_the_pages_show_the_shipped_numbers():
    rows, sweeps = (json.loads((POCKET / f"{name}.json").read_text()) for name in ("scoreboard", "sweeps"))
    assert scoreboard_view.table(rows, "webtoon", brief=True) in (ROOT / "README.md").read_text()
    assert (POCKET / "SCOREBOARD.md").read_text() == scoreboard_view.page(rows, sweeps)
    page = (ROOT / "checkpoints" / "README.md").read_text()
    assert scoreboard_view.kept_table(rows) in page
    edits, found = (json.loads((POCKET / f"{name}.json").read_text()) for name in ("text_edits", "routes"))
    assert text_edits.table(edits) in page and projection.table(found) in page
    assert forgetting.table(json.loads((POCKET / "forgetting.json").read_text())) in page
    errors = json.loads((POCKET / "judge.json").read_text())["errors"]
    for name, kind in re.findall(r"\| (\w+), (correlation|share right \(blind guess\)) \|", page):
        if kind == "correlation":
            cells = [f"{errors[domain]['correlation'][name]:.2f}" for domain in world.DOMAINS]
        else:
            pairs = [(errors[domain]["accuracy"][name], errors[domain]["commonest"][name]) for domain in world.DOMAINS]
            cells = [f"{right:.2f} ({blind:.2f})" for right, blind in pairs]
        assert f"| {name}, {kind} | {' | '.join(cells)} |" in page


def test_shipped_frozen_layers_are_the_sources():
    source = checkpoints.load(POCKET / "photo.pt").g_ema.state_dict()
    for path in sorted(POCKET.glob("*_freeze-*.pt")):
        found = checkpoints.load(path)
        own = found.g_ema.state_dict()
        names = [name.removeprefix("G.") for name in found.info["frozen"] if name.startswith("G.")]
        assert names, path
        for name in names:
            torch.testing.assert_close(own[name], source[name.replace("mapping.source.", "mapping.")], msg=str(path))
