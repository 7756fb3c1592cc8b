"""Do text edits do what they say? Measured by the judge, which has never seen a caption.

For each prompt, faces that lack the attribute are edited. The judge says in how many of them it appeared, and how far
everything else moved. What counts as "red" or as "a big smile" are the limits by which captions are written, so the
judge and the captions mean the same by a word.

    rows = run(source, clip, judge)
    print(table(rows))
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from stylegan2.clip_model import ClipModel
from stylegan2.data import pocket
from stylegan2.data import pocket_styles as styles
from stylegan2.data.pocket_captions import nearest_name
from stylegan2.editing.latents import draw, ws_from_seeds
from stylegan2.editing.styleclip import EditConfig, optimise
from stylegan2.judge import Judge, Reading
from stylegan2.metrics.changes import attribute_spread, measure_changes, others_mean
from stylegan2.networks import Generator

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
    attribute = next(a for a in pocket.ATTRIBUTES if a.name == name)
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
    names = next(a.choices for a in pocket.ATTRIBUTES if a.name == name)
    wanted = torch.tensor([names.index(choice) for choice in choices])

    def holds(reading: Reading) -> Tensor:
        columns = torch.stack([reading.column(f"{name}: {choice}") for choice in names], dim=1)
        return torch.isin(columns.argmax(1), wanted)

    return holds


def _hair(colour: str, *names: str, **settings) -> Prompt:
    holds = coloured("hair_colour", styles.HAIR_COLOURS, *(names or (colour,)))
    return Prompt(f"{colour} hair", holds, ("hair_colour",), settings)


def _sky(text: str, *names: str) -> Prompt:
    holds = coloured("background", styles.BACKGROUND_COLOURS, *names)
    return Prompt(text, holds, ("background", "background2"))


def _clothes(colour: str, *names: str) -> Prompt:
    holds = coloured("clothes_colour", styles.CLOTHES_COLOURS, *(names or (colour,)))
    return Prompt(f"{colour} clothes", holds, ("clothes_colour",))


CUT = ("hair_style", "hair_length", "hair_volume", "fringe", "parting")  # a cut of hair is drawn with all of these
PROMPTS = (
    _hair("red"),
    _hair("blond"),
    _hair("black"),
    _hair("pink"),
    _hair("blue"),
    _hair("white", "white", "silver"),
    Prompt("a big smile", above("smile", 0.6), ("smile",)),
    Prompt("a frown", below("smile", -0.25), ("smile",)),
    Prompt("an open mouth", above("mouth_open", 0.3), ("mouth_open",)),
    Prompt("glasses", likely("glasses"), ("glasses",)),
    Prompt("long hair", chosen("hair_style", "long", "wavy"), CUT),
    Prompt("short hair", chosen("hair_style", "crop", "side part"), CUT),
    Prompt("curly hair", chosen("hair_style", "curly"), CUT),
    Prompt("an afro", chosen("hair_style", "afro"), CUT),
    Prompt("a bald head", chosen("hair_style", "shaved", "receding"), CUT),
    Prompt("a beard", lambda reading: reading.column("beard: none") < 0.5, ("beard",)),
    Prompt("dark skin", below("skin", 0.2), ("skin",)),
    Prompt("pale skin", above("skin", 0.8), ("skin",)),
    Prompt("a fringe", above("fringe", 0.5), ("fringe",)),
    Prompt("blue eyes", coloured("eye_colour", styles.EYE_COLOURS, "blue"), ("eye_colour",)),
    Prompt("green eyes", coloured("eye_colour", styles.EYE_COLOURS, "green"), ("eye_colour",)),
    Prompt("large eyes", above("eye_size", 0.35), ("eye_size",)),
    Prompt("a big nose", above("nose_size", 0.4), ("nose_size",)),
    Prompt("red lips", above("lips", 0.7), ("lips",)),
    Prompt("a wide face", above("face_width", 0.4), ("face_width",)),
    Prompt("the head turned to the left", below("yaw", -0.35), ("yaw",)),
    Prompt("the head turned to the right", above("yaw", 0.35), ("yaw",)),
    _clothes("red", "red", "burgundy"),
    _clothes("yellow"),
    _clothes("blue", "blue", "navy"),
    _sky("a sky blue background", "sky blue"),
    _sky("a dark grey background", "dark grey"),
    Prompt("rosy cheeks", above("blush", 0.5), ("blush",)),
    Prompt("earrings", likely("earrings"), ("earrings",)),
)


def run(
    g: Generator,
    clip: ClipModel,
    judge: Judge,
    prompts: Sequence[Prompt] = PROMPTS,
    faces: int = 50,
    truncation: float = 0.8,
    seeds: Iterable[int] = range(1000),
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
        progress: a bar.

    Returns:
        a row per prompt: {"text", "strength", "settings", "faces", "had" (share of all seeds that have it by nature),
        "crossed" (share of the edited faces that have it now), "others" (mean over the other attributes of how far
        their mean moved, in sd), "others_each" (the same of each face by itself), "passed"}.

    Raises:
        ValueError: a prompt that is true of all faces already.
    """
    from tqdm.auto import tqdm

    ws = ws_from_seeds(g, seeds, truncation)
    everyone = judge.read(draw(g, ws))
    sd, rows = attribute_spread(everyone), []
    for prompt in tqdm(prompts, unit="prompt", disable=not progress):
        has = prompt.holds(everyone)
        lacking = (~has).nonzero()[:faces, 0]
        if not len(lacking):
            raise ValueError(f"all {len(has)} faces have {prompt.text!r} already: give more seeds, or leave it out")
        edit = optimise(g, clip, ws[lacking], EditConfig(prompt.text, **prompt.settings))
        after = judge.read(draw(g, edit.at(prompt.strength)))
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
        rows.append(row | {"passed": row["crossed"] >= ENOUGH and row["others"] < STILL})
    return rows


def table(rows: Sequence[dict]) -> str:
    """The rows as a Markdown table, the best first; what failed is named below it."""
    head = [
        "| text | had by nature | appeared | others moved (mean) | others moved (each face) | |",
        "|---|---|---|---|---|---|",
    ]
    ranked = sorted(rows, key=lambda row: (not row["passed"], -row["crossed"]))
    lines = [
        f"| {r['text']} | {r['had']:.0%} | {r['crossed']:.0%} | {r['others']:.2f} sd | {r['others_each']:.2f} sd | "
        f"{'passed' if r['passed'] else 'failed'} |"
        for r in ranked
    ]
    failed = [f"{r['text']} ({r['crossed']:.0%}, {r['others']:.2f} sd)" for r in ranked if not r["passed"]]
    passed = len(rows) - len(failed)
    last = f"{passed} of {len(rows)} prompts passed: the attribute appeared in at least {ENOUGH:.0%} of the faces, and "
    last += f"the others moved by less than {STILL} sd. Failed: {', '.join(failed) or 'none'}."
    return "\n".join([*head, *lines, "", last])
