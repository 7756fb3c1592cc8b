"""Edits by words: `edit`."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from stylegan2.cli.common import (
    PICTURES,
    CheckpointPath,
    Device,
    Others,
    Truncation,
    app,
    captions_of,
    ending,
    load,
    make_room,
    on_device,
    or_numbered,
    parse_seeds,
    picture_or_film,
    shipped,
)
from stylegan2.cli.faces import FACES, Face, parse_faces, ws_of

MODELS = Path("checkpoints/pocket")
POCKET_CLIP, JUDGE, STUDY = (MODELS / name for name in ("clip.pt", "judge.pt", "text_edits.json"))
LARGE_CLIP = "ViT-B/32"
POCKET_SIDE = 64  # pixels of the models that the judge and the small CLIP know
GAIN = 0.02  # of the similarity of image and text: less is no success
HOW = ("neutral", "learn", "layers", "steps", "lr", "l2", "keep")  # options that say how to edit


@app.command()
def edit(
    ctx: typer.Context,
    checkpoint: CheckpointPath,
    text: Annotated[str, typer.Argument(help="What the faces should show: 'red hair', 'a big smile'.")],
    out: Annotated[
        Path | None, typer.Option(help="FILE.png: a row per strength; FILE.mp4, FILE.gif: a film. [edit.png]")
    ] = None,
    others: Others = None,
    neutral: Annotated[
        str | None, typer.Option(help="What they show now: 'brown hair'. Moves from it to TEXT.")
    ] = None,
    seeds: Annotated[str, typer.Option(help=FACES)] = "1-8",
    learn: Annotated[
        str | None, typer.Option(help="Find one way for all faces on these (such as 0-31), and move SEEDS along it.")
    ] = None,
    truncation: Truncation = 0.7,
    strengths: Annotated[
        str | None,
        typer.Option(
            help="How far: 0 before, 1 as optimised, negative the opposite. [default: -1,0,1,1.5, or the study's]"
        ),
    ] = None,
    layers: Annotated[str, typer.Option(help="Which codes may move: all, coarse, middle, fine, or 2-5.")] = "all",
    steps: Annotated[int, typer.Option(help="Steps of the optimisation, at most.")] = 40,
    lr: Annotated[float, typer.Option(help="Size of a step.")] = 0.1,
    l2: Annotated[float, typer.Option(help="How strongly the codes are held where they were.")] = 0.002,
    keep: Annotated[float, typer.Option(help="How firmly CLIP holds all that the text does not say: 0 to 2.")] = 0.0,
    latents: Annotated[
        Path | None, typer.Option(help="FILE.pt: keep the codes; if it is there, start from it.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="FILE.png: the loss, step by step.")] = None,
    clip: Annotated[
        str | None, typer.Option(help=f"A CLIP file, or {LARGE_CLIP}. [default: by the model's size]")
    ] = None,
    device: Device = "auto",
) -> None:
    """Change faces by a text (StyleCLIP), as strongly as you like.

    The codes are optimised once. All strengths lie on the line from the first codes to the optimised ones, so another
    strength costs nothing: keep the codes with --latents and call again. Ctrl-C ends the optimisation and draws what
    there is. With --learn all faces move the same way, found once on other faces: often cleaner, and as quick for a
    thousand faces as for one.

    For pocket models, where no option says how (`--neutral`, `--learn`, `--layers`, `--steps`, `--lr`, `--l2`,
    `--keep`), settings and strengths are those that worked best for the text in the course's study.

    \b
    Examples:
      python -m stylegan2 edit checkpoints/pocket/photo.pt "red hair" --out red.png --seeds 0-7
      python -m stylegan2 edit checkpoints/pocket/photo.pt "a big smile" --neutral "a frown" --strengths=-1,2 \\
          --with checkpoints/pocket/webtoon_freeze-sg.pt --out smile.mp4
      python -m stylegan2 edit checkpoints/pocket/photo.pt "glasses" --latents glasses.pt --strengths 0,0.5,1,1.5,2
      python -m stylegan2 edit checkpoints/pocket/photo.pt "blue eyes" --learn 0-15 --seeds 100-107 --keep 0.5
      python -m stylegan2 edit checkpoints/pocket/photo.pt "glasses" --seeds projected/me.pt
    """
    from stylegan2 import display
    from stylegan2.editing import figures, videos
    from stylegan2.editing.styleclip import EditConfig

    out = or_numbered(out, "edit.png")
    kind = picture_or_film(out)
    if plot is not None:
        ending(plot, *PICTURES, option="--plot")
    faces = parse_faces(seeds)
    amounts = parse_strengths("-1,0,1,1.5" if strengths is None else strengths)
    if kind in videos.ENDINGS and len(set(amounts)) < 2:
        raise ValueError(f"strengths are {strengths}: a film needs at least two, such as -1,1.5")
    taught = parse_seeds(learn) if learn is not None else []
    config = EditConfig(text, neutral, steps=steps, lr=lr, l2=l2, keep=keep, layers=layers, together=bool(taught))
    for path in (out, plot, latents):
        if path is not None:
            make_room(path, [] if path == latents else [checkpoint])
    where = on_device(device)
    paths = captions_of([checkpoint, *(others or [])])
    models = {name: load(path, where, g_ema_only=True).g_ema for name, path in paths.items()}
    g = next(iter(models.values()))
    _check_sizes(models)
    free = all(ctx.get_parameter_source(name).name == "DEFAULT" for name in HOW)
    if free and clip is None and g.resolution == POCKET_SIDE:
        config, taught, strength = _by_the_study(text)
        amounts = amounts if strengths is not None else [-1, 0, strength]
    found = _edit(g, config, taught or faces, truncation, latents, clip, where)
    ws = ws_of(g, faces, truncation)
    codes = partial(found.onto, ws)
    if plot is not None:
        display.save(figures.to_pil(found.figure()), plot)
    if kind in PICTURES:
        display.save(strength_rows(models, codes, amounts), out)
    else:
        _film(models, codes, text, amounts, out)
    typer.echo(f"{text!r} on {len(faces)} faces, {len(found.history)} steps ({ENDS[found.stopped]}): {out}")
    _say_what_changed(g, found, ws, codes(max(amounts)), max(amounts), where)


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


def _say_what_changed(g, found, before, after, strength: float, where) -> None:
    """For pocket faces what the judge sees; else how much more CLIP sees the text than before."""
    from stylegan2.pocket.nets.judge import Judge
    from stylegan2.pocket.studies import text_edits

    first, last = (found.history[i]["similarity"] for i in (0, -1)) if found.history else (0.0, 0.0)
    judge = shipped(JUDGE)
    if g.resolution == POCKET_SIDE and judge.is_file():
        said = text_edits.describe_edit(Judge.load(judge, where), g, before, after, found.config.text)
        typer.echo(f"at strength {strength:g}, says the judge (sd: how much this model's faces differ): {said}")
    if last < first + GAIN:
        typer.echo(
            f"note: CLIP hardly sees {found.config.text!r} more than before (similarity {first:.2f} -> {last:.2f}): "
            "try other words, --learn 0-31, or more --steps",
            err=True,
        )


def parse_strengths(text: str) -> list[float]:
    """Strengths of a text such as "-1,0,1.5". Raises ValueError for anything else."""
    try:
        amounts = [float(part) for part in text.split(",")]
    except ValueError:
        amounts = [math.nan]
    if not all(map(math.isfinite, amounts)):
        raise ValueError(f"strengths {text!r}: expected numbers such as -1,0,1,1.5")
    return amounts


def _edit(g, config, faces: list[Face], truncation: float, latents: Path | None, clip: str | None, where):
    """An edit that was kept, or a new one."""
    from stylegan2.checkpoints import fingerprint
    from stylegan2.editing.styleclip import TextEdit, check_words, optimise
    from stylegan2.published.clip_model import ClipModel

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
    found = optimise(g, model, ws_of(g, faces, truncation), config, progress=True)
    found = replace(found, made_from=made_from)
    if latents is not None:
        found.save(latents)
    return found


def _check_kept(path: Path, kept, config, made_from: dict) -> None:
    """ValueError unless the file holds the edit that was asked for, to its end."""
    asked, there = asdict(config) | made_from, asdict(kept.config) | kept.made_from
    other = [f"{name} {there.get(name)!r}, not {value!r}" for name, value in asked.items() if there.get(name) != value]
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


def strength_rows(models: dict, codes: Callable, amounts: list[float]):
    """A row of faces for every model and strength; `codes` gives those of a strength."""
    from stylegan2 import display
    from stylegan2.editing.latents import draw

    rows = {
        f"{name if len(models) > 1 else 'strength'}\n{amount:+g}": draw(g, codes(amount))
        for name, g in models.items()
        for amount in amounts
    }
    return display.rows({name: images.cpu() for name, images in rows.items()}, side=128)


def _film(models: dict, codes: Callable, text: str, amounts: list[float], out: Path) -> None:
    """From the least strength to the greatest and back, all faces side by side."""
    from stylegan2.editing import videos

    shown = models if len(models) > 1 else next(iter(models.values()))
    path = videos.there_and_back(min(amounts), max(amounts), 72)
    words = text.replace("{", "{{").replace("}", "}}")
    film = videos.sweep(shown, codes, path, f"{words}: {{:+.1f}}")
    videos.save(film, out, progress=True)
