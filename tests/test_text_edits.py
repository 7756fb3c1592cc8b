"""The study of text edits: its limits are those of the captions, its rows are what was measured."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_clip import tiny_clip
from tiny_training import tiny_networks

from stylegan2.editing.latents import render, ws_from_seeds
from stylegan2.editing.styleclip import EditConfig, optimise
from stylegan2.pocket import world as pocket
from stylegan2.pocket.measures import COLUMNS
from stylegan2.pocket.nets.judge import Reading
from stylegan2.pocket.studies import text_edits
from stylegan2.pocket.studies.changes import attribute_spread, measure_changes, others_mean
from stylegan2.pocket.studies.text_edits import PROMPTS, Prompt, above, below, passes, run, table, value
from stylegan2.pocket.world.captions import phrases


def reading_of(faces: pocket.Faces) -> Reading:
    """What a judge without errors reads."""
    n = len(faces)
    points = torch.zeros(n, len(pocket.LANDMARKS), 2)
    return Reading(faces.vector(), points, torch.zeros(n, 48), torch.full((n, 4), 0.25))


@pytest.fixture(scope="module")
def faces() -> pocket.Faces:
    return pocket.Faces.concatenate([pocket.sample(domain, 500, seed=4) for domain in pocket.DOMAINS])


@pytest.fixture(scope="module")
def said(faces) -> list[set[str]]:
    return [{text for texts in face for text in texts} for face in phrases(faces)]


# --------------------------------------------------------------------------------------------------------- the prompts
@pytest.mark.parametrize("prompt", PROMPTS, ids=lambda prompt: prompt.text)
def test_a_prompt_holds_where_captions_say_so(prompt, faces, said):
    holds = prompt.holds(reading_of(faces))
    assert holds.shape == (len(faces),) and holds.dtype == torch.bool
    named = torch.tensor([prompt.text in words for words in said])
    assert torch.equal(holds, named)
    assert 0 < named.sum() < len(faces)


def test_prompts_are_of_different_things_and_of_attributes_that_there_are():
    assert len({prompt.text for prompt in PROMPTS}) == len(PROMPTS) >= 20
    for prompt in PROMPTS:
        assert prompt.meant and set(prompt.meant) <= set(COLUMNS), prompt.text
        EditConfig(prompt.text, **prompt.settings)  # settings that there are


def test_value_is_the_inverse_of_the_vector(faces):
    reading = reading_of(faces)
    for name in ("smile", "mouth_open", "skin", "yaw", "eye_open"):
        torch.testing.assert_close(value(reading, name), getattr(faces, name), rtol=0, atol=1e-5)


# -------------------------------------------------------------------------------------------------------------- the run
class Mirror:
    """A judge that reads of an image what the sums of its pixels with random patterns say."""

    def __init__(self, size: int):
        rng = torch.Generator().manual_seed(0)
        self.patterns = torch.randn(3 * size * size, len(pocket.VECTOR_NAMES), generator=rng) / size

    def read(self, images: torch.Tensor) -> Reading:
        n = len(images)
        points = torch.zeros(n, len(pocket.LANDMARKS), 2)
        attributes = images.detach().flatten(1) @ self.patterns
        return Reading(attributes, points, torch.zeros(n, 48), torch.full((n, 4), 0.25))


@pytest.fixture(scope="module")
def world():
    g, clip = tiny_networks(16, 6, 2)[0].eval(), tiny_clip()
    judge = Mirror(16)
    smiles = value(judge.read(render(g, ws_from_seeds(g, range(12), 0.8))), "smile")
    middle = float(smiles.median()) + 1e-4  # half of the faces are above
    return g, clip, judge, middle


def test_a_row_is_what_was_measured(world):
    g, clip, judge, middle = world
    settings = {"steps": 3, "views": 0, "patience": 0}
    prompt = Prompt("a smile", above("smile", middle), ("smile", "yaw"), settings, strength=1.5)
    (row,) = run(g, clip, judge, [prompt], faces=4, truncation=0.8, seeds=range(12), progress=False)
    ws = ws_from_seeds(g, range(12), 0.8)
    everyone = judge.read(render(g, ws))
    has = value(everyone, "smile") > middle
    lacking = (~has).nonzero()[:4, 0]
    edit = optimise(g, clip, ws[lacking], EditConfig("a smile", **settings))
    after = judge.read(render(g, edit.at(1.5)))
    changes = measure_changes(everyone[lacking], after, attribute_spread(everyone))
    assert row["text"] == "a smile" and row["strength"] == 1.5 and row["settings"] == settings and row["faces"] == 4
    assert row["had"] == pytest.approx(float(has.float().mean())) and 0 < row["had"] < 1
    assert row["crossed"] == float((value(after, "smile") > middle).float().mean())
    assert row["others"] == pytest.approx(others_mean(changes, prompt.meant), rel=1e-4)
    assert row["others_each"] == pytest.approx(others_mean(changes, prompt.meant, each=True), rel=1e-4)
    assert row["others_each"] >= row["others"] > 0


def test_an_edit_together_is_found_on_other_faces(world):
    g, clip, judge, middle = world
    settings = {"steps": 3, "views": 0, "patience": 0, "together": True}
    prompt = Prompt("a smile", above("smile", middle), ("smile",), settings, strength=1.5)
    (row,) = run(g, clip, judge, [prompt], faces=4, seeds=range(12), learn=range(90, 95), progress=False)
    ws = ws_from_seeds(g, range(12), 0.8)
    lacking = (value(judge.read(render(g, ws)), "smile") <= middle).nonzero()[:4, 0]
    edit = optimise(g, clip, ws_from_seeds(g, range(90, 95), 0.8), EditConfig("a smile", **settings))
    after = judge.read(render(g, ws[lacking] + 1.5 * (edit.end - edit.start)[:1]))
    assert row["crossed"] == float((value(after, "smile") > middle).float().mean())


def test_there_is_a_row_for_every_prompt(world):
    g, clip, judge, middle = world
    settings = {"steps": 1, "views": 0}
    prompts = [
        Prompt("a smile", above("smile", middle), ("smile",), settings),
        Prompt("a frown", below("smile", middle), ("smile",), settings),
    ]
    rows = run(g, clip, judge, prompts, faces=2, seeds=range(12), progress=False)
    assert [row["text"] for row in rows] == ["a smile", "a frown"]
    assert all(set(row) == set(rows[0]) and isinstance(row["passed"], bool) for row in rows)
    assert rows[0]["had"] + rows[1]["had"] == pytest.approx(1)


def test_without_faces_that_lack_it_there_is_nothing_to_measure(world):
    g, clip, judge, _ = world
    prompt = Prompt("a smile", above("smile", -100), ("smile",), {"steps": 1, "views": 0})
    with pytest.raises(ValueError, match="all 12 faces have 'a smile' already"):
        run(g, clip, judge, [prompt], faces=2, seeds=range(12), progress=False)


def test_an_interruption_leaves_no_row_of_half_an_edit(world, monkeypatch):
    g, clip, judge, middle = world
    whole = optimise

    def interrupted(*arguments, **settings):
        return replace(whole(*arguments, **settings), stopped="interrupted")

    monkeypatch.setattr(text_edits, "optimise", interrupted)
    prompt = Prompt("a smile", above("smile", middle), ("smile",), {"steps": 1, "views": 0})
    with pytest.raises(KeyboardInterrupt):
        run(g, clip, judge, [prompt], faces=2, seeds=range(12), progress=False)


def test_too_few_faces_prove_nothing():
    good = {"faces": 50, "crossed": 0.9, "others": 0.1}
    assert passes(good, 50) and not passes(good | {"faces": 49}, 50)
    assert not passes(good | {"crossed": 0.79}, 50) and not passes(good | {"others": 0.25}, 50)


SHIPPED = Path(__file__).parents[1] / "checkpoints" / "pocket" / "text_edits.json"


def test_the_shipped_rows_are_of_fifty_faces_and_say_truly_what_passed():
    rows = json.loads(SHIPPED.read_text())
    assert [row["text"] for row in rows] == [prompt.text for prompt in PROMPTS]
    for row, prompt in zip(rows, PROMPTS, strict=True):
        assert row["faces"] >= 50 and row["settings"] == prompt.settings and row["strength"] == prompt.strength
        assert row["passed"] == passes(row, 50), row["text"]


def row(text: str, crossed: float, others: float) -> dict:
    passed = crossed >= text_edits.ENOUGH and others < text_edits.STILL
    return {
        "text": text, "strength": 1.0, "settings": {}, "faces": 50, "had": 0.1, "crossed": crossed,
        "others": others, "others_each": 2 * others, "passed": passed,
    }  # fmt: skip


def test_the_table_puts_the_best_first_and_names_what_failed():
    rows = [row("a frown", 0.6, 0.1), row("red hair", 0.9, 0.2), row("an afro", 1.0, 0.4), row("glasses", 0.96, 0.1)]
    lines = table(rows).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:6]] == ["glasses", "red hair", "an afro", "a frown"]
    assert [line.split("|")[7].strip() for line in lines[2:6]] == ["passed", "passed", "failed", "failed"]
    assert all(line.count("|") == lines[0].count("|") for line in lines[:6])
    assert [line.split("|")[2].strip() for line in lines[2:6]] == ["one by one"] * 4
    known = row("a frown", 0.6, 0.1) | {"settings": {"together": True}}
    assert table([known]).splitlines()[2].split("|")[2].strip() == "together"
    assert re.search(r"2 of 4 prompts passed.*at least 80%.*less than 0.25 sd", lines[-1])
    assert lines[-1].endswith("Failed: an afro (100%, 0.40 sd), a frown (60%, 0.10 sd).")
    assert table(rows[1:2]).endswith("Failed: none.")
