"""Edits of codes, as pictures and films: `factorize`, `apply-factor`, `edit`, `mix`, `video`."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from stylegan2.cli import common
from stylegan2.cli.common import FILMS, MODELS, PICTURES, Device, Existing, Input, Natural, Others, Positive, Truncation
from stylegan2.cli.faces import Face, Faces, parse_faces, ws_of
from stylegan2.cli.options import Settings, verb
from stylegan2.files import counted

POCKET_CLIP, LARGE_CLIP, STUDY = MODELS / "clip.pt", "ViT-B/32", MODELS / "text_edits.json"
GAIN = 0.02  # of the similarity of image and text: less is no success
ENDS = {"done": "all of them", "converged": "then nothing more was gained", "interrupted": "stopped early"}
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
def factorize(
    checkpoint: common.CheckpointPath,
    out: Path | None = None,  # FILE.pt of directions to write. [directions.pt]
    layers: str = "all",  # Whose weights, and which codes to move: all, coarse (0-1), middle (2-5), fine (6 to last),
    # or numbers such as 2-5 or 0,3-4.
    normalise: bool = True,  # SeFa: every style counts the same.
    to_rgb: str = "",  # Weights of these resolutions' tRGB too: 4 as the original, the image's as the authors.
    count: Natural = 10,  # Directions to keep; 0: all there are.
    algorithm: Literal["sefa", "ganspace"] = "sefa",  # sefa: from the weights; ganspace: from 10,000 codes.
    judge: Input = None,  # Pocket models: the network that says what each direction does (slower).
    degree: float = 3.0,  # How far the judge's faces are moved, to both sides.
    device: Device = "auto",
) -> None:
    """Find the directions of W that change faces most.

    SeFa takes them from the weights of the layers' styles, GANSpace from the spread of the mapping's codes. What the
    judge says is the mean of 64 faces, in standard deviations of the model's faces, for a positive degree. The original
    code's directions are those of --no-normalise --to-rgb 4.

    \b
    Examples:
      python -m stylegan2 factorize checkpoints/pocket/photo.pt --count 6 --judge checkpoints/pocket/judge.pt
      python -m stylegan2 factorize runs/webtoon --out components.pt --algorithm ganspace --layers 2-5
    """
    from stylegan2 import checkpoints
    from stylegan2.editing import ganspace, sefa

    if to_rgb and algorithm != "sefa":
        raise ValueError("--to-rgb adds weights, and --algorithm ganspace looks at none")
    colours = common.parse_seeds(to_rgb, "--to-rgb") if to_rgb else []
    out = common.new_file(out, "directions.pt", ".pt", inputs=[checkpoint])
    g = common.generator(checkpoint, device)
    if algorithm == "sefa":
        directions = sefa.factorize(g, layers, normalise, count or None, colours)
    else:
        directions = ganspace.principal_directions(g, layers, count or None)
    directions.made_from["checkpoint"] = checkpoint.name
    if not checkpoint.is_dir():
        directions.made_from["sha256"] = checkpoints.sha256(checkpoint)
    effects = [""] * len(directions)
    if judge is not None:  # imported here: without it, a tenth of a second that nobody needs
        from stylegan2.pocket.nets.judge import Judge
        from stylegan2.pocket.studies.changes import judge_names, measure_directions

        reader = Judge.load(judge, device)
        effects = judge_names(measure_directions(reader, g, directions, degree), most=3)
    directions.save(out)
    title = "eigenvalue" if algorithm == "sefa" else "sd of w"
    typer.echo(f"   {title:>10}" + "   a positive degree, says the judge" * bool(judge))
    for k, (value, effect) in enumerate(zip(directions.values.tolist(), effects, strict=True)):
        typer.echo(f"{k:>2} {value:>10.4g}   {effect}".rstrip())
    numbers = ", ".join(map(str, directions.layers))
    typer.echo(f"{counted(len(directions), 'direction')} of {algorithm}, layers {numbers}, in {out}")


@verb("apply-factor")
def apply_factor(
    checkpoint: common.CheckpointPath,
    *,
    factor: Existing,  # Of `factorize`, the panel, or the original's factor.pt.
    out: Path | None = None,  # FILE.png: degrees side by side; FILE.gif, FILE.mp4: there and back. [moved.png]
    others: Others = (),
    index: int = 0,  # Which direction, by number.
    name: str | None = None,  # Which direction, by name.
    degree: float = 3.0,  # How far, to both sides; in pocket models 9 is much, on codes 4-5 even 5.
    steps: Annotated[int, typer.Option(min=2)] = 5,  # Picture: degrees from -DEGREE to DEGREE.
    frames: int = 72,  # Video: frames of one round.
    fps: Positive = 24,  # Video: frames a second.
    seeds: Faces = "1-4",
    truncation: Truncation = 0.7,
    layers: str | None = None,  # Codes to move, in place of the file's: as in `factorize`.
    scale: Natural = 0,  # Enlargement; 0: faces of about 128 px in pictures, 256 in videos.
    device: Device = "auto",
) -> None:
    """Move faces along a direction, in one model or in several.

    CKPT's mapping makes the codes, truncated before they are moved; all models render them, each with its fixed noise.

    \b
    Examples:
      python -m stylegan2 apply-factor checkpoints/pocket/photo.pt --with checkpoints/pocket/webtoon_freeze-sg.pt \\
          --factor head.pt --index 0 --degree 12 --seeds 14 --out pose.gif
      python -m stylegan2 apply-factor runs/mine --factor pose.pt --name pose --degree 3 --steps 7 --out pose.png
    """
    from stylegan2 import display
    from stylegan2.checkpoints import fingerprint
    from stylegan2.editing import videos
    from stylegan2.editing.directions import Directions, move, picture, strip

    if not degree > 0:
        raise ValueError(f"degree is {degree}, expected a degree above 0: both signs are rendered")
    faces = list(dict.fromkeys(parse_faces(seeds)))
    out = common.new_file(out, "moved.png", *PICTURES, *FILMS)
    directions = Directions.load(factor)
    which = directions.index(index if name is None else name)
    models = common.generators([checkpoint, *others], device)
    first, g = next(iter(models.items()))
    ws, own = ws_of(g, faces, truncation), directions.made_from.get("generator")
    if own not in (None, fingerprint(g)):  # such may do anything, even where their sizes fit
        was = directions.made_from.get("checkpoint", f"generator {own}")
        common.note(f"these directions were found in another model ({was}) than {first}")
    if out.suffix.lower() in PICTURES:
        degrees = [degree * (2 * i / (steps - 1) - 1) for i in range(steps)]
        names = [f"seed {face}" if isinstance(face, int) else face.stem for face in faces]
        rows = strip(models, ws, directions, which, degrees, layers, faces=names)
        display.save(picture(rows, degrees, scale, None if scale else 128), out)
    else:
        amounts = videos.there_and_back(-degree, degree, frames)
        moved = lambda amount: move(ws, directions, {which: amount}, layers)  # noqa: E731
        videos.save(videos.sweep(common.shown(models), moved, amounts, scale=scale or None), out, fps)
    typer.echo(f"{directions.names[which]} from {-degree:g} to {degree:g}, faces: {len(faces)}, in {out}")


@verb()
def edit(
    ctx: typer.Context,
    checkpoint: common.CheckpointPath,
    text: Annotated[str, typer.Argument()],  # What the faces should show: 'red hair', 'a big smile'.
    *,
    out: Path | None = None,  # FILE.png: a row per strength; FILE.mp4, FILE.gif: a film. [edit.png]
    others: Others = (),
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
      python -m stylegan2 edit checkpoints/pocket/photo.pt "a big smile" --neutral "a frown" --strengths=-1,2 \\
          --with checkpoints/pocket/webtoon_freeze-sg.pt --out smile.mp4
      python -m stylegan2 edit checkpoints/pocket/photo.pt "glasses" --latents glasses.pt --strengths 0,0.5,1,1.5,2
      python -m stylegan2 edit checkpoints/pocket/photo.pt "blue eyes" --learn 0-15 --seeds 100-107 --keep 0.5
      python -m stylegan2 edit checkpoints/pocket/photo.pt "glasses" --seeds projected/me.pt
    """
    from stylegan2.editing.styleclip import EditConfig
    from stylegan2.pocket import world

    out = common.new_file(out, "edit.png", *PICTURES, *FILMS, inputs=[checkpoint])
    if plot is not None:
        common.check_file(plot, *PICTURES, inputs=[checkpoint], option="--plot")
    if latents is not None:
        common.check_file(latents, option="--latents")
    faces = parse_faces(seeds)
    film = out.suffix.lower() in FILMS
    amounts = parse_strengths("-1,0,1,1.5" if strengths is None else strengths, 2 if film else 1)
    learned_on = common.parse_seeds(learn) if learn is not None else []
    edit_config = EditConfig(text, layers=layers, together=bool(learned_on), **config)
    models = common.generators([checkpoint, *others], device)
    g = next(iter(models.values()))
    free = all(ctx.get_parameter_source(name).name == "DEFAULT" for name in HOW)
    if free and clip is None and g.resolution == world.SIZE:
        edit_config, learned_on, strength = _by_the_study(text)
        amounts = amounts if strengths is not None else [-1, 0, strength]
    done = _edit(g, edit_config, learned_on or faces, truncation, latents, clip)
    ws = ws_of(g, faces, truncation)
    _render(models, done, ws, amounts, out, plot)
    _report(g, done, ws, max(amounts), out)


def _by_the_study(text: str):
    """Settings of an edit of pocket faces, seeds of the faces to learn it on if any, and the strength that suits it."""
    from stylegan2.editing.styleclip import EditConfig
    from stylegan2.pocket.studies import text_edits

    prompt, study = text_edits.studied(text), common.shipped(STUDY)
    settings, strength = (prompt.settings, prompt.strength) if prompt else (text_edits.GENERAL, 1.25)
    config = EditConfig(text, **settings)
    learned_on = list(text_edits.LEARN) if config.together else []
    way = f"one way for all faces, learned on seeds {learned_on[0]}-{learned_on[-1]}" if learned_on else ""
    options = f"--layers {config.layers} --l2 {config.l2:g} --keep {config.keep:g}, strength {strength:g}"
    typer.echo(f"settings of the study: {way or 'every face by itself'}, {options}", err=True)
    for row in json.loads(study.read_text(encoding="utf-8")) if prompt and study.is_file() else []:
        if row["text"] == prompt.text and not row["passed"]:
            common.note(
                f"do not expect much: in the study {text!r} appeared in {row['crossed']:.0%} of the faces "
                f"({text_edits.ENOUGH:.0%} is good), and everything else moved by {row['others']:.2f} sd (below "
                f"{text_edits.STILL} is good)"
            )
    return config, learned_on, strength


def _report(g, done, ws, strength: float, out: Path) -> None:
    """What was done; for pocket faces what the judge sees; a note where CLIP sees the text no more than before."""
    from stylegan2.pocket import world
    from stylegan2.pocket.nets.judge import Judge
    from stylegan2.pocket.studies import text_edits

    steps = f"{counted(len(done.history), 'step')} ({ENDS[done.stopped]})"
    typer.echo(f"{done.config.text!r} on {counted(len(ws), 'face')}, {steps}: {out}")
    judge = common.shipped(common.JUDGE)
    if g.resolution == world.SIZE and judge.is_file():
        words = text_edits.describe_edit(Judge.load(judge, ws.device), g, ws, done.onto(ws, strength), done.config.text)
        typer.echo(f"at strength {strength:g}, says the judge (sd: how much this model's faces differ): {words}")
    first, last = (done.history[i]["similarity"] for i in (0, -1)) if done.history else (0.0, 0.0)
    if last < first + GAIN:
        common.note(
            f"CLIP hardly sees {done.config.text!r} more than before (similarity {first:.2f} -> {last:.2f}): "
            "try other words, --learn 0-31, or more --steps"
        )


def parse_strengths(text: str, least: int = 1) -> list[float]:
    """Strengths of a text such as "-1,0,1.5", at least so many. Raises ValueError for anything else."""
    try:
        amounts = [float(part) for part in text.split(",")]
        if not all(map(math.isfinite, amounts)):
            raise ValueError(text)
    except ValueError:
        raise ValueError(f"strengths {text!r}: expected numbers such as -1,0,1,1.5") from None
    if len(set(amounts)) < least:
        raise ValueError(f"strengths are {text}: a film needs at least two, such as -1,1.5")
    return amounts


def clip_for(g, name: str | None = None) -> str:
    """The CLIP that was named, or the one that suits the size of a model's images."""
    from stylegan2.pocket import world

    return name or (str(POCKET_CLIP) if g.resolution <= world.SIZE else LARGE_CLIP)


def load_clip(g, name: str | None = None):
    """The CLIP of `clip_for`, where g lies."""
    from stylegan2.published.clip_model import ClipModel

    name = clip_for(g, name)
    published = "/" in name and not common.shipped(Path(name)).exists()
    return ClipModel.load(name if published else common.shipped(Path(name)), g.mapping.w_mean.device)


def _edit(g, config, faces: list[Face], truncation: float, latents: Path | None, clip: str | None):
    """An edit that was kept, or a new one. Raises ValueError for a file of another edit, or of an unfinished one."""
    from stylegan2.checkpoints import fingerprint
    from stylegan2.editing.styleclip import TextEdit, check_words, optimise

    where = g.mapping.w_mean.device
    name = clip_for(g, clip)
    seeds = [face if isinstance(face, int) else str(face) for face in faces]
    made_from = {"generator": fingerprint(g), "seeds": seeds, "truncation": truncation, "clip": name}
    if latents is not None and latents.exists():
        kept = TextEdit.load(latents, where)
        asked, held = asdict(config) | made_from, asdict(kept.config) | kept.made_from
        if other := [f"{k} {held.get(k)!r}, not {value!r}" for k, value in asked.items() if held.get(k) != value]:
            other = "; ".join(other)
            raise ValueError(f"'{latents}' holds an edit with {other}: name another file, or ask for that one")
        if kept.stopped == "interrupted":
            raise ValueError(f"'{latents}' holds an edit that was interrupted: remove it, or name another file")
        typer.echo(f"{latents}: the codes of an earlier edit, nothing is optimised")
        return kept
    model = load_clip(g, name)
    if unknown := check_words(model, config):
        common.note(f"{name} never saw the words {', '.join(unknown)}; they count for nothing")
    done = replace(optimise(g, model, ws_of(g, faces, truncation), config), made_from=made_from)
    if latents is not None:
        done.save(latents)
    return done


def _render(models: dict, done, ws, amounts: list[float], out: Path, plot: Path | None) -> None:
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
    videos.save(videos.sweep(common.shown(models), codes, path, f"{words}: {{:+.1f}}"), out)


@verb()
def mix(
    checkpoint: common.CheckpointPath,
    out: Path | None = None,  # FILE.png (or .jpg, .webp). [mix.png]
    rows: str = "1-4",  # Faces on the left: 7, or 0-3, or 1,5; or codes of `project`: me.pt.
    columns: str = "10-15",  # Faces on top, likewise.
    layers: str = "coarse",  # The columns': coarse, middle, fine, all, or 3, or 2,5-7.
    channels: str = "",  # Only these components of those codes: 0-31; empty: all.
    other: Annotated[Path | None, typer.Option("--with", callback=common.existing)] = None,  # Renders in CKPT's place.
    truncation: Truncation = 0.7,
    scale: Natural = 0,  # Enlargement; 0: faces of about 128 pixels.
    device: Device = "auto",
) -> None:
    """Mix faces: chosen layers from the column's face, everything else from the row's.

    With another model the codes are still CKPT's, and the faces on the left and on top are rendered by both.

    \b
    Examples:
      python -m stylegan2 mix checkpoints/pocket/photo.pt --out mixed.png --rows 0-2 --columns 10,13,20 \\
          --layers 2-5 --channels 0-31
      python -m stylegan2 mix checkpoints/pocket/photo.pt --with checkpoints/pocket/webtoon_freeze-sg.pt --layers 3
    """
    from stylegan2 import display
    from stylegan2.editing.style_mixing import mix_grid

    sides = parse_faces(rows, "rows"), parse_faces(columns, "columns")
    parts = common.parse_seeds(channels, "channels") if channels else None
    out = common.new_file(out, "mix.png", *PICTURES)
    models = [common.generator(path, device) for path in (checkpoint, other) if path is not None]
    codes = [ws_of(models[0], faces, truncation) for faces in sides]
    grid = mix_grid(models[-1], *codes, layers, parts, ends=models)
    names = [[face if isinstance(face, int) else face.stem for face in side] for side in sides]
    display.save(grid.picture(*names, scale, None if scale else 128), out)
    typer.echo(f"{len(sides[0])} x {len(sides[1])} mixes in {out}")


@verb()
def video(
    checkpoint: common.CheckpointPath,
    out: Path | None = None,  # FILE.mp4, or FILE.gif. [walk.mp4]
    others: Others = (),
    seeds: Faces = "1-4",  # At least two.
    frames: int = 48,  # Frames from one face to the next.
    truncation: Truncation = 0.7,
    fps: Positive = 24,  # Frames a second.
    scale: Natural = 0,  # Enlargement; 0: faces of about 256 pixels.
    device: Device = "auto",
) -> None:
    """Go from face to face and back, without a jump at the end.

    CKPT's mapping makes the codes. Other models render them too, side by side.

    \b
    Examples:
      python -m stylegan2 video checkpoints/pocket/photo.pt --out faces.mp4 --seeds 1,5,9
      python -m stylegan2 video checkpoints/pocket/photo.pt --with checkpoints/pocket/webtoon_freeze-sg.pt \\
          --out pair.gif --seeds 3,8 --frames 24 --fps 12
    """
    from stylegan2.editing import videos

    faces = parse_faces(seeds)
    out = common.new_file(out, "walk.mp4", *FILMS)
    models = common.generators([checkpoint, *others], device)
    ws = ws_of(next(iter(models.values())), faces, truncation)
    film = videos.walk(common.shown(models), ws, frames, scale=scale or None)
    videos.save(film, out, fps)
    typer.echo(f"{len(film)} frames, {len(film) / fps:.1f} s, in {out}")
