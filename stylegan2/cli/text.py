"""Edits by words: `edit`."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from stylegan2.cli.common import (
    FILMS,
    PICTURES,
    CheckpointPath,
    Device,
    Others,
    Truncation,
    ending,
    generators,
    make_room,
    or_numbered,
    parse_seeds,
    shipped,
    shown,
)
from stylegan2.cli.faces import Face, Faces, parse_faces, ws_of
from stylegan2.cli.options import Settings, verb
from stylegan2.files import counted

MODELS = Path("checkpoints/pocket")
POCKET_CLIP, JUDGE, STUDY = (MODELS / name for name in ("clip.pt", "judge.pt", "text_edits.json"))
LARGE_CLIP = "ViT-B/32"
POCKET_SIDE = 64  # pixels of the models that the judge and the small CLIP know
GAIN = 0.02  # of the similarity of image and text: less is no success
HOW = ("neutral", "learn", "layers", "steps", "lr", "l2", "keep")  # options that say how to edit
Edit = Settings(
    "editing.styleclip",
    "EditConfig",
    only=("neutral", "steps", "lr", "l2", "keep"),
    neutral=typer.Option(help="What they show now: 'brown hair'. Moves from it to TEXT."),
    l2=typer.Option(help="How strongly the codes are held where they were."),
    keep=typer.Option(help="How firmly CLIP holds all that the text does not say: 0 to 2."),
)


@verb()
def edit(
    ctx: typer.Context,
    checkpoint: CheckpointPath,
    text: Annotated[str, typer.Argument()],  # What the faces should show: 'red hair', 'a big smile'.
    *,
    out: Path | None = None,  # FILE.png: a row per strength; FILE.mp4, FILE.gif: a film. [edit.png]
    others: Others = None,
    seeds: Faces = "1-8",
    learn: str | None = None,  # Find one way for all faces on these (such as 0-31), and move SEEDS along it.
    truncation: Truncation = 0.7,
    strengths: str | None = None,  # How far: 0 before, 1 as optimised, negative the opposite. [default: -1,0,1,1.5, or
    # the study's]
    layers: str = "all",  # Which codes may move: all, coarse, middle, fine, or 2-5.
    config: Edit,
    latents: Path | None = None,  # FILE.pt: keep the codes; if it is there, start from it.
    plot: Path | None = None,  # FILE.png: the loss, step by step.
    clip: str | None = None,  # A CLIP file, or ViT-B/32. [default: by the model's size]
    device: Device = "auto",
) -> None:
    """Change faces by a text (StyleCLIP), as strongly as you like.

    The codes are optimised once. All strengths lie on the line from the first codes to the optimised ones, so another
    strength costs nothing: keep the codes with --latents and call again. Ctrl-C ends the optimisation and draws what
    there is. With --learn all faces move the same way, found once on other faces: often cleaner, and as quick for a
    thousand faces as for one. For pocket models, where no option says how (`--neutral`, `--learn`, `--layers`,
    `--steps`, `--lr`, `--l2`, `--keep`), settings and strengths are those of the course's study for the text.

    \b
    Examples:
      python -m stylegan2 edit checkpoints/pocket/photo.pt "red hair" --out red.png --seeds 0-7
      python -m stylegan2 edit checkpoints/pocket/photo.pt "a big smile" --neutral "a frown" --strengths=-1,2 \\
          --with checkpoints/pocket/webtoon_freeze-sg.pt --out smile.mp4
      python -m stylegan2 edit checkpoints/pocket/photo.pt "glasses" --latents glasses.pt --strengths 0,0.5,1,1.5,2
      python -m stylegan2 edit checkpoints/pocket/photo.pt "blue eyes" --learn 0-15 --seeds 100-107 --keep 0.5
      python -m stylegan2 edit checkpoints/pocket/photo.pt "glasses" --seeds projected/me.pt
    """
    from stylegan2.editing.styleclip import EditConfig

    out = or_numbered(out, "edit.png")
    kind = ending(out, *PICTURES, *FILMS)
    if plot is not None:
        ending(plot, *PICTURES, option="--plot")
    faces = parse_faces(seeds)
    amounts = parse_strengths("-1,0,1,1.5" if strengths is None else strengths, 2 if kind in FILMS else 1)
    taught = parse_seeds(learn) if learn is not None else []
    asked = EditConfig(text, layers=layers, together=bool(taught), **config)
    for path in (out, plot, latents):
        if path is not None:
            make_room(path, [] if path == latents else [checkpoint])
    models = generators([checkpoint, *(others or [])], device)
    g = next(iter(models.values()))
    _check_sizes(models)
    free = all(ctx.get_parameter_source(name).name == "DEFAULT" for name in HOW)
    if free and clip is None and g.resolution == POCKET_SIDE:
        asked, taught, strength = _by_the_study(text)
        amounts = amounts if strengths is not None else [-1, 0, strength]
    done = _edit(g, asked, taught or faces, truncation, latents, clip)
    ws = ws_of(g, faces, truncation)
    _draw(models, done, ws, amounts, out, plot)
    _report(g, done, ws, max(amounts), out)


ENDS = {"done": "all of them", "converged": "then nothing more was gained", "interrupted": "stopped early"}


def _by_the_study(text: str):
    """Settings of an edit of pocket faces, seeds of the faces to learn it on if any, and the strength that suits it."""
    from stylegan2.editing.styleclip import EditConfig
    from stylegan2.pocket.studies import text_edits

    prompt = text_edits.studied(text)
    config = EditConfig(text, **(prompt.settings if prompt else text_edits.GENERAL))
    learn = list(text_edits.LEARN) if config.together else []
    way = f"one way for all faces, learned on seeds {learn[0]}-{learn[-1]}" if learn else "every face by itself"
    strength = prompt.strength if prompt else 1.25
    options = f"--layers {config.layers} --l2 {config.l2:g} --keep {config.keep:g}, strength {strength:g}"
    typer.echo(f"settings of the study: {way}, {options}", err=True)
    study = shipped(STUDY)
    rows = json.loads(study.read_text(encoding="utf-8")) if prompt and study.is_file() else []
    row = next((row for row in rows if row["text"] == prompt.text), None)
    if row and not row["passed"]:
        moved = f"everything else moved by {row['others']:.2f} sd (below {text_edits.STILL} is good)"
        typer.echo(
            f"note: do not expect much: in the study {text!r} appeared in {row['crossed']:.0%} of the faces "
            f"({text_edits.ENOUGH:.0%} is good), and {moved}",
            err=True,
        )
    return config, learn, strength


def _report(g, done, ws, strength: float, out: Path) -> None:
    """What was done; for pocket faces what the judge sees; a note where CLIP sees the text no more than before."""
    from stylegan2.pocket.nets.judge import Judge
    from stylegan2.pocket.studies import text_edits

    steps = f"{counted(len(done.history), 'step')} ({ENDS[done.stopped]})"
    typer.echo(f"{done.config.text!r} on {counted(len(ws), 'face')}, {steps}: {out}")
    first, last = (done.history[i]["similarity"] for i in (0, -1)) if done.history else (0.0, 0.0)
    judge = shipped(JUDGE)
    if g.resolution == POCKET_SIDE and judge.is_file():
        words = text_edits.describe_edit(Judge.load(judge, ws.device), g, ws, done.onto(ws, strength), done.config.text)
        typer.echo(f"at strength {strength:g}, says the judge (sd: how much this model's faces differ): {words}")
    if last < first + GAIN:
        typer.echo(
            f"note: CLIP hardly sees {done.config.text!r} more than before (similarity {first:.2f} -> {last:.2f}): "
            "try other words, --learn 0-31, or more --steps",
            err=True,
        )


def parse_strengths(text: str, least: int = 1) -> list[float]:
    """Strengths of a text such as "-1,0,1.5", at least so many. Raises ValueError for anything else."""
    try:
        amounts = [float(part) for part in text.split(",")]
    except ValueError:
        amounts = [math.nan]
    if not all(map(math.isfinite, amounts)):
        raise ValueError(f"strengths {text!r}: expected numbers such as -1,0,1,1.5")
    if len(set(amounts)) < least:
        raise ValueError(f"strengths are {text}: a film needs at least two, such as -1,1.5")
    return amounts


def _edit(g, config, faces: list[Face], truncation: float, latents: Path | None, clip: str | None):
    """An edit that was kept, or a new one."""
    from stylegan2.checkpoints import fingerprint
    from stylegan2.editing.styleclip import TextEdit, check_words, optimise
    from stylegan2.published.clip_model import ClipModel

    where = g.mapping.w_mean.device
    name = clip or (str(POCKET_CLIP) if g.resolution <= 64 else LARGE_CLIP)
    drawn = [face if isinstance(face, int) else str(face) for face in faces]
    made_from = {"generator": fingerprint(g), "seeds": drawn, "truncation": truncation, "clip": name}
    if latents is not None and latents.exists():
        kept = TextEdit.load(latents, where)
        _check_kept(latents, kept, config, made_from)
        typer.echo(f"{latents}: the codes of an earlier edit, nothing is optimised")
        return kept
    model = ClipModel.load(name if name == LARGE_CLIP else shipped(Path(name)), where)
    if unknown := check_words(model, config):
        typer.echo(f"note: {name} never saw the words {', '.join(unknown)}; they count for nothing", err=True)
    done = replace(optimise(g, model, ws_of(g, faces, truncation), config, progress=True), made_from=made_from)
    if latents is not None:
        done.save(latents)
    return done


def _check_kept(path: Path, kept, config, made_from: dict) -> None:
    """ValueError unless the file holds the edit that was asked for, to its end."""
    asked, held = asdict(config) | made_from, asdict(kept.config) | kept.made_from
    other = [f"{name} {held.get(name)!r}, not {value!r}" for name, value in asked.items() if held.get(name) != value]
    if other:
        raise ValueError(f"'{path}' holds an edit with {'; '.join(other)}: name another file, or ask for that one")
    if kept.stopped == "interrupted":
        raise ValueError(f"'{path}' holds an edit that was interrupted: remove it, or name another file")


def _check_sizes(models: dict) -> None:
    """Before the optimisation, not after it."""
    sizes = {name: [g.num_ws, g.w_dim] for name, g in models.items()}
    first = next(iter(sizes.values()))
    if other := [name for name, size in sizes.items() if size != first]:
        raise ValueError(
            f"the edited codes are {first}, but '{other[0]}' takes {sizes[other[0]]}: leave it out of --with"
        )


def _draw(models: dict, done, ws, amounts: list[float], out: Path, plot: Path | None) -> None:
    """A row of faces for every model and strength, or a film; and the loss."""
    from stylegan2 import display
    from stylegan2.editing import figures, videos
    from stylegan2.editing.latents import render

    codes = partial(done.onto, ws)
    if plot is not None:
        display.save(figures.to_pil(done.figure()), plot)
    if out.suffix.lower() in PICTURES:
        rows = {
            f"{name if len(models) > 1 else 'strength'}\n{amount:+g}": render(g, codes(amount)).cpu()
            for name, g in models.items()
            for amount in amounts
        }
        display.save(display.rows(rows, side=128), out)
        return
    words = done.config.text.replace("{", "{{").replace("}", "}}")
    path = videos.there_and_back(min(amounts), max(amounts), 72)  # all faces side by side
    videos.save(videos.sweep(shown(models), codes, path, f"{words}: {{:+.1f}}"), out, progress=True)
