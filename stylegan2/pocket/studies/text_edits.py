"""Do text edits do what they say? Measured by the judge, which has never seen a caption.

For each prompt, faces that lack the attribute are edited. The judge says in how many of them it appeared, and how far
everything else moved. What counts as "red" or as "a big smile" are the limits by which captions are written. Settings
and strengths were chosen on other faces (of seeds below 1000) than those that are reported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from stylegan2.bars import bar
from stylegan2.editing.latents import render, ws_from_seeds
from stylegan2.editing.styleclip import EditConfig, optimise
from stylegan2.files import counted
from stylegan2.networks import Generator
from stylegan2.pocket import world
from stylegan2.pocket.measures import COLUMNS
from stylegan2.pocket.nets.judge import GROUPS, Judge, Reading
from stylegan2.pocket.studies import markdown_table
from stylegan2.pocket.studies.changes import attribute_spread, describe_changes, measure_changes, others_mean
from stylegan2.pocket.world.captions import nearest_name
from stylegan2.pocket.world.faces import BY_NAME
from stylegan2.pocket.world.styles import PALETTES
from stylegan2.published.clip_model import ClipModel

ENOUGH, STILL = 0.8, 0.25  # share of faces in which the attribute must appear; sd by which the others may move
Holds = Callable[[Reading], Tensor]  # readings of N faces -> bool [N]


@dataclass(frozen=True)
class Prompt:
    """A text, and what must be true of a face afterwards."""

    text: str
    holds: Holds  # is it true of the faces?
    meant: tuple[str, ...]  # attributes that may move: the one in question, and those that are rendered with it
    settings: dict[str, Any] = field(default_factory=dict)  # of `EditConfig`, where they are not its defaults
    strength: float = 1.0  # how far along the edit


def value(reading: Reading, name: str) -> Tensor:
    """A continuous attribute in the renderer's own units, [N]."""
    attribute = BY_NAME[name]
    middle, half = (attribute.low + attribute.high) / 2, (attribute.high - attribute.low) / 2
    return reading.column(name) / 2 * half + middle  # the inverse of `Faces.vector`


def above(name: str, limit: float) -> Holds:
    """The attribute is greater than that, in the renderer's units."""
    return lambda reading: value(reading, name) > limit


def below(name: str, limit: float) -> Holds:
    """The attribute is less than that."""
    return lambda reading: value(reading, name) < limit


def coloured(name: str, colour: str) -> Holds:
    """The nearest named colour is that one."""

    def holds(reading: Reading) -> Tensor:
        rgb = reading.attributes[:, COLUMNS[name]] / 4 + 0.5
        return torch.tensor([nearest == colour for nearest in nearest_name(rgb.clamp(0, 1), PALETTES[name])])

    return holds


def chosen(name: str, *choices: str) -> Holds:
    """The likeliest choice of a categorical attribute is one of `choices`."""
    wanted = torch.tensor([GROUPS[name].index(world.VECTOR_NAMES.index(f"{name}: {choice}")) for choice in choices])
    return lambda reading: torch.isin(reading.attributes[:, GROUPS[name]].argmax(1), wanted)


GENERAL = {"together": True, "keep": 0.2}  # settings for a text that was not studied
LEARN = range(16)  # seeds of the faces on which an edit `together` is optimised

CUT = ("hair_style", "hair_length", "hair_volume", "fringe", "parting")  # a cut of hair has all of these
EACH = {"keep": 0.15, "views": 2, "l2": 0.0003}  # every face its own way, seen through more views
SLOW = EACH | {"lr": 0.05, "steps": 80}  # in smaller steps, and more of them
FIRM = {"keep": 0.4, "views": 2, "l2": 0.0001, "steps": 80}  # less may change besides
LAYERS = {  # codes by which an attribute is edited: of those that the lessons gave to its group (`nets.teaching`)
    "hair_colour": "7", "clothes_colour": "6-8", "eye_colour": "8-10", "background": "9,11", "skin": "6-11",
    "mouth_open": "5", "smile": "4-5", "beard": "4-5", "glasses": "4", "hair_style": "0-3", "yaw": "0-3",
}  # fmt: skip

COLOURED = {  # text -> what may move, first its attribute
    "{} hair": ("hair_colour",),
    "{} clothes": ("clothes_colour",),
    "{} eyes": ("eye_colour",),
    "a {} background": ("background", "background2"),
}


def _prompt(
    text: str, holds: Holds, meant: tuple[str, ...], settings: dict[str, Any] = GENERAL, strength: float = 1.0
) -> Prompt:
    return Prompt(text, holds, meant, {"layers": LAYERS[meant[0]]} | settings, strength)


def _colour(text: str, colour: str, settings: dict[str, Any] = EACH, strength: float = 1.0) -> Prompt:
    meant = COLOURED[text]
    return _prompt(text.format(colour), coloured(meant[0], colour), meant, settings, strength)


PROMPTS = (
    _prompt("an open mouth", above("mouth_open", 0.3), ("mouth_open",), strength=0.7),
    _prompt("a closed mouth", below("mouth_open", 0.05), ("mouth_open",)),
    _prompt("a big smile", above("smile", 0.6), ("smile",), GENERAL | {"keep": 0.5, "neutral": "a frown"}, 0.87),
    _prompt("short hair", chosen("hair_style", "crop", "side part"), CUT, strength=1.5),
    _prompt("long hair", chosen("hair_style", "long", "wavy"), CUT, GENERAL | {"keep": 0.0, "l2": 0.0001}, 1.15),
    _prompt("a beard", chosen("beard", "goatee", "full beard"), ("beard",), strength=0.85),
    _prompt("glasses", lambda reading: reading.column("glasses") > 0.5, ("glasses",), strength=0.75),
    _prompt("the head turned to the left", below("yaw", -0.35), ("yaw",), EACH, 1.25),
    _prompt("pale skin", above("skin", 0.8), ("skin",), EACH | {"keep": 0.4, "neutral": "dark skin"}, 1.3),
    _prompt("dark skin", below("skin", 0.2), ("skin",), EACH | {"layers": "6-8"}),
    _colour("{} eyes", "blue", strength=0.6),
    _colour("{} eyes", "green", GENERAL, 0.5),
    _colour("{} eyes", "brown", GENERAL | {"neutral": "blue eyes"}, 1.3),
    _colour("{} hair", "black", GENERAL, 0.95),
    _colour("{} hair", "red", EACH, 1.2),
    _colour("{} hair", "white", GENERAL | {"keep": 0.5}, 1.3),
    *(_colour("{} clothes", colour, EACH, 0.85) for colour in ("white", "black", "red", "blue")),
    _colour("{} clothes", "grey", EACH, 1.1),
    *(_colour("{} clothes", colour, SLOW, 1.25) for colour in ("yellow", "green")),
    _colour("a {} background", "sky blue", FIRM, 1.9),
    *(_colour("a {} background", colour, FIRM, 1.28) for colour in ("dark grey", "lavender")),
    _colour("a {} background", "terracotta", SLOW, 1.3),
    _colour("a {} background", "beige", EACH, 1.22),
)


def studied(text: str) -> Prompt | None:
    """The prompt with this text, or None."""
    return next((prompt for prompt in PROMPTS if prompt.text == " ".join(text.lower().split())), None)


def describe_edit(judge: Judge, g: Generator, before: Tensor, after: Tensor, text: str) -> str:
    """An edit of codes [N, L, w_dim], by the judge: in how many faces a studied text holds now, and what else changed.

    200 of g's own faces give the standard deviation (sd) of every attribute.
    """
    prompt, (old, new) = studied(text), (judge.read(render(g, ws)) for ws in (before, after))
    sd = attribute_spread(judge.read(render(g, ws_from_seeds(g, range(200), 0.8))))
    changes, meant = measure_changes(old, new, sd), prompt.meant if prompt else ()
    most = describe_changes({name: change for name, change in changes.items() if name not in meant})
    rest = f"on average they moved by {others_mean(changes, meant):.2f} sd"
    if prompt is None:
        return f"what changed most: {most}; of all attributes: {rest}"
    had, has = (int(prompt.holds(reading).sum()) for reading in (old, new))
    return f"{text} in {has} of {counted(len(new), 'face')} (before: {had}); what else changed most: {most}; {rest}"


def run(
    g: Generator,
    clip: ClipModel,
    judge: Judge,
    prompts: Sequence[Prompt] = PROMPTS,
    faces: int = 50,
    truncation: float = 0.8,
    seeds: Iterable[int] = range(2000, 3000),
    learn: Iterable[int] = LEARN,
    progress: bool = True,
) -> list[dict]:
    """Edit `faces` faces by each prompt and let the judge read them.

    Args:
        faces: per prompt: those of the first seeds that lack the attribute; if none does: ValueError.
        seeds: where faces are looked for; all of them together give the unit of changes (sd).
        learn: seeds of other faces, on which an edit `together` is optimised.

    Returns a row per prompt: {"text", "strength", "settings", "faces", "had" (share of all seeds that have it by
    nature), "crossed" (share of the edited faces that have it now), "others", "others_each" (`others_mean`), "passed"}.
    """
    ws, known = ws_from_seeds(g, seeds, truncation), ws_from_seeds(g, learn, truncation)
    everyone = judge.read(render(g, ws))
    sd, rows = attribute_spread(everyone), []
    for prompt in bar(prompts, "edits", "prompt", progress):
        has = prompt.holds(everyone)
        lacking = (~has).nonzero()[:faces, 0]
        if not len(lacking):
            raise ValueError(f"all {len(has)} faces have {prompt.text!r} already: give more seeds, or leave it out")
        after = judge.read(render(g, _edited(g, clip, prompt, ws[lacking], known)))
        changes = measure_changes(everyone[lacking], after, sd)
        row = {
            "text": prompt.text,
            "strength": prompt.strength,
            "settings": prompt.settings,
            "faces": len(lacking),
            "had": float(has.float().mean()),
            "crossed": float(prompt.holds(after).float().mean()),
            "others": others_mean(changes, prompt.meant),
            "others_each": others_mean(changes, prompt.meant, each=True),
        }
        rows.append(row | {"passed": passes(row, faces)})
    return rows


def _edited(g: Generator, clip: ClipModel, prompt: Prompt, ws: Tensor, known: Tensor) -> Tensor:
    """Codes after the edit: optimised themselves, or moved as the known ones were together."""
    config = EditConfig(prompt.text, **prompt.settings)
    edit = optimise(g, clip, known if config.together else ws, config, progress=False)
    if edit.stopped == "interrupted":  # half an edit is no result
        raise KeyboardInterrupt
    return edit.onto(ws, prompt.strength)


def passes(row: dict, faces: int) -> bool:
    """Did the attribute appear often enough, on enough faces, and did the rest stay?"""
    return row["faces"] >= faces and row["crossed"] >= ENOUGH and row["others"] < STILL


def table(rows: Sequence[dict]) -> str:
    """The rows as a Markdown table, the best first, and what failed. Edits `together` were found on other faces."""
    ranked = sorted(rows, key=lambda row: (not row["passed"], -row["crossed"]))
    columns: dict[str, Callable[[dict], str]] = {
        "text": lambda r: r["text"],
        "found": lambda r: "together" if r["settings"].get("together") else "one by one",
        "had by nature": lambda r: f"{r['had']:.0%}",
        "appeared": lambda r: f"{r['crossed']:.0%}",
        "others moved (mean)": lambda r: f"{r['others']:.2f} sd",
        "others moved (each face)": lambda r: f"{r['others_each']:.2f} sd",
        "": lambda r: "passed" if r["passed"] else "failed",
    }
    lines = [[cell(row) for cell in columns.values()] for row in ranked]
    failed = [f"{r['text']} ({r['crossed']:.0%}, {r['others']:.2f} sd)" for r in ranked if not r["passed"]]
    passed = f"{len(rows) - len(failed)} of {len(rows)} prompts passed"
    return (
        f"{markdown_table(columns, lines)}\n\n{passed}: the attribute appeared in at least {ENOUGH:.0%} of the faces, "
        f"and the others moved by less than {STILL} sd. Failed: {', '.join(failed) or 'none'}."
    )
