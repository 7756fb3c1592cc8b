"""Do text edits do what they say? Measured by the judge, which has never seen a caption.

For each prompt, faces that lack the attribute are edited. The judge says in how many of them it appeared, and how far
everything else moved. What counts as "red" or as "a big smile" are the limits by which captions are written, so the
judge and the captions mean the same by a word.

Settings and strengths were chosen on other faces (of seeds below 1000) than those that are reported.

    rows = run(source, clip, judge)
    print(table(rows))
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from stylegan2.editing.latents import render, ws_from_seeds
from stylegan2.editing.styleclip import EditConfig, optimise
from stylegan2.files import counted
from stylegan2.networks import Generator
from stylegan2.pocket import world
from stylegan2.pocket.nets.judge import Judge, Reading
from stylegan2.pocket.studies.changes import attribute_spread, describe_changes, measure_changes, others_mean
from stylegan2.pocket.world import styles
from stylegan2.pocket.world.captions import nearest_name
from stylegan2.published.clip_model import ClipModel

ENOUGH, STILL = 0.8, 0.25  # share of faces in which the attribute must appear; sd by which the others may move
Holds = Callable[[Reading], Tensor]  # what the judge reads of N faces -> bool [N]


@dataclass(frozen=True)
class Prompt:
    """A text, and what must be true of a face afterwards.

    Attributes:
        text: see `EditConfig`.
        holds: is it true of the faces?
        meant: attributes that may move: the one in question, and those that are drawn with it.
        settings: of `EditConfig`, where they are not its defaults.
        strength: how far along the edit.
    """

    text: str
    holds: Holds
    meant: tuple[str, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    strength: float = 1.0


def value(reading: Reading, name: str) -> Tensor:
    """A continuous attribute in the renderer's own units, [N]."""
    attribute = next(a for a in world.ATTRIBUTES if a.name == name)
    middle, half = (attribute.low + attribute.high) / 2, (attribute.high - attribute.low) / 2
    return reading.column(name) / 2 * half + middle  # the inverse of `Faces.vector`


def above(name: str, limit: float) -> Holds:
    """The attribute is greater than that, in the renderer's units."""
    return lambda reading: value(reading, name) > limit


def below(name: str, limit: float) -> Holds:
    """The attribute is less than that."""
    return lambda reading: value(reading, name) < limit


def likely(name: str) -> Holds:
    """A probability above one half."""
    return lambda reading: reading.column(name) > 0.5


def coloured(name: str, table: dict, *names: str) -> Holds:
    """The nearest named colour is one of `names`."""

    def holds(reading: Reading) -> Tensor:
        rgb = torch.stack([reading.column(f"{name}_{c}") for c in "rgb"], dim=1) / 4 + 0.5
        return torch.tensor([n in names for n in nearest_name(rgb.clamp(0, 1), table)])

    return holds


def chosen(name: str, *choices: str) -> Holds:
    """The likeliest choice of a categorical attribute is one of `choices`."""
    names = next(a.choices for a in world.ATTRIBUTES if a.name == name)
    wanted = torch.tensor([names.index(choice) for choice in choices])

    def holds(reading: Reading) -> Tensor:
        columns = torch.stack([reading.column(f"{name}: {choice}") for choice in names], dim=1)
        return torch.isin(columns.argmax(1), wanted)

    return holds


GENERAL = {"together": True, "keep": 0.15}  # settings for a text that was not studied
LEARN = range(32)  # seeds of the faces on which an edit `together` is optimised

CUT = ("hair_style", "hair_length", "hair_volume", "fringe", "parting")  # a cut of hair is drawn with all of these
HAIR_CUT = {"layers": "0-3", "space": "w", "keep": 0.15}  # the same for all layers, or hair falls apart
TOGETHER = {"together": True, "keep": 0.5}
EACH = {"keep": 0.1, "views": 2}  # every face its own way, held more loosely, seen through more views


def _hair(colour: str, strength: float = 1.0, **settings: Any) -> Prompt:
    holds = coloured("hair_colour", styles.HAIR_COLOURS, colour)
    return Prompt(f"{colour} hair", holds, ("hair_colour",), TOGETHER | settings, strength)


def _clothes(colour: str, strength: float = 1.0, **settings: Any) -> Prompt:
    holds = coloured("clothes_colour", styles.CLOTHES_COLOURS, colour)
    return Prompt(f"{colour} clothes", holds, ("clothes_colour",), settings, strength)


def _eyes(colour: str) -> Prompt:
    holds = coloured("eye_colour", styles.EYE_COLOURS, colour)
    return Prompt(f"{colour} eyes", holds, ("eye_colour",), TOGETHER | {"layers": "fine", "l2": 0.0005}, 1.45)


def _background(colour: str, strength: float = 1.5, **settings: Any) -> Prompt:
    holds = coloured("background", styles.BACKGROUND_COLOURS, colour)
    return Prompt(f"a {colour} background", holds, ("background", "background2"), settings, strength)


PROMPTS = (
    Prompt("an open mouth", above("mouth_open", 0.3), ("mouth_open",), TOGETHER | {"keep": 1.0, "layers": "2-5"}, 2.0),
    _clothes("white", 1.5, **TOGETHER | {"keep": 0.15}, layers="0-3"),
    Prompt("short hair", chosen("hair_style", "crop", "side part"), CUT, HAIR_CUT),
    _eyes("blue"),
    _background("sky blue", **TOGETHER, layers="2-5"),
    _clothes("grey", 1.25, **TOGETHER | {"keep": 0.3}, layers="0-3"),
    Prompt("long hair", chosen("hair_style", "long", "wavy"), CUT, TOGETHER | {"neutral": "short hair"}, 1.1),
    _clothes("red", **EACH),
    Prompt("a closed mouth", below("mouth_open", 0.05), ("mouth_open",), TOGETHER | {"keep": 0.05}, 1.75),
    _clothes("yellow", 1.15, **TOGETHER | {"keep": 0.25}),
    _hair("black", 1.15, keep=0.0),
    _hair("red", 0.95, keep=0.1),
    Prompt("pale skin", above("skin", 0.8), ("skin",), TOGETHER | {"keep": 0.2, "layers": "0-3"}, 0.8),
    Prompt("dark skin", below("skin", 0.2), ("skin",), TOGETHER | {"keep": 0.1, "layers": "0-3"}, 0.75),
    _background("terracotta", **TOGETHER | {"keep": 0.2}, layers="2-5"),
    _clothes("blue", 1.5, **EACH, l2=0.001),
    _background("lavender", 1.25, **EACH, l2=0.001),
    _background("beige", 1.25, **EACH, l2=0.001),
    _clothes("black", 1.25, **EACH),
    _clothes("green", **EACH),
    Prompt("a beard", chosen("beard", "goatee", "full beard"), ("beard",), TOGETHER | {"keep": 0.1}),
    Prompt("glasses", likely("glasses"), ("glasses",), {"layers": "0-3"}, 1.5),
    Prompt("a big smile", above("smile", 0.6), ("smile",), TOGETHER | {"keep": 0.0}, 1.5),
    _eyes("green"),
    _hair("white", keep=0.2),
    _background("dark grey", 2.0, **TOGETHER, layers="2-5"),
    Prompt("the head turned to the left", below("yaw", -0.35), ("yaw",), TOGETHER | {"keep": 0.0}, 2.0),
    _eyes("brown"),
)


def studied(text: str) -> Prompt | None:
    """The prompt with this text, or None."""
    return next((prompt for prompt in PROMPTS if prompt.text == " ".join(text.lower().split())), None)


def describe_edit(judge: Judge, g: Generator, before: Tensor, after: Tensor, text: str, spread: int = 200) -> str:
    """What an edit did, by the judge: in how many faces a studied text holds now, and what else changed.

    Args:
        judge, g: the judge reads what g draws.
        before, after: codes [N, L, w_dim].
        text: of the edit.
        spread: so many of g's own faces say what one standard deviation (sd) of an attribute is.
    """
    prompt, (old, new) = studied(text), (judge.read(render(g, ws)) for ws in (before, after))
    sd = attribute_spread(judge.read(render(g, ws_from_seeds(g, range(spread), 0.8))))
    changes, meant = measure_changes(old, new, sd), prompt.meant if prompt else ()
    others = {name: change for name, change in changes.items() if name not in meant}
    most = describe_changes(others)
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
    """Edit `faces` faces by each prompt and let the judge look.

    Args:
        g: makes the faces.
        clip, judge: what edits, and what measures.
        prompts: which.
        faces: per prompt: those of the first seeds that lack the attribute.
        truncation: psi.
        seeds: to look for them; all of them together are the unit of changes (sd).
        learn: seeds of the faces on which an edit `together` is optimised: other ones.
        progress: a bar.

    Returns:
        a row per prompt: {"text", "strength", "settings", "faces", "had" (share of all seeds that have it by nature),
        "crossed" (share of the edited faces that have it now), "others" (mean over the other attributes of how far
        their mean moved, in sd), "others_each" (the same of each face by itself), "passed"}.

    Raises:
        ValueError: a prompt that is true of all faces already.
    """
    from tqdm.auto import tqdm

    ws, known = ws_from_seeds(g, seeds, truncation), ws_from_seeds(g, learn, truncation)
    everyone = judge.read(render(g, ws))
    sd, rows = attribute_spread(everyone), []
    for prompt in tqdm(prompts, unit="prompt", disable=not progress):
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


def _found(row: dict) -> str:
    return "together" if row["settings"].get("together") else "one by one"


def table(rows: Sequence[dict]) -> str:
    """The rows as a Markdown table, the best first; what failed is named below it.

    Edits found together were found on other faces than those they are tried on.
    """
    head = [
        "| text | found | had by nature | appeared | others moved (mean) | others moved (each face) | |",
        "|---|---|---|---|---|---|---|",
    ]
    ranked = sorted(rows, key=lambda row: (not row["passed"], -row["crossed"]))
    lines = [
        f"| {r['text']} | {_found(r)} | {r['had']:.0%} | {r['crossed']:.0%} | {r['others']:.2f} sd "
        f"| {r['others_each']:.2f} sd | {'passed' if r['passed'] else 'failed'} |"
        for r in ranked
    ]
    failed = [f"{r['text']} ({r['crossed']:.0%}, {r['others']:.2f} sd)" for r in ranked if not r["passed"]]
    passed = len(rows) - len(failed)
    last = f"{passed} of {len(rows)} prompts passed: the attribute appeared in at least {ENOUGH:.0%} of the faces, and "
    last += f"the others moved by less than {STILL} sd. Failed: {', '.join(failed) or 'none'}."
    return "\n".join([*head, *lines, "", last])
