"""Directions of W: `factorize` finds them in a model, `apply-factor` moves faces along one of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from stylegan2.cli.common import (
    FILMS,
    PICTURES,
    CheckpointPath,
    Device,
    Input,
    Others,
    Truncation,
    existing,
    generator,
    generators,
    new_file,
    on_device,
    parse_seeds,
    shown,
)
from stylegan2.cli.faces import Faces, names_of, parse_faces, ws_of
from stylegan2.cli.options import verb
from stylegan2.files import counted


@verb()
def factorize(
    checkpoint: CheckpointPath,
    out: Path | None = None,  # FILE.pt of directions to write. [directions.pt]
    layers: str = "all",  # Whose weights, and which codes to move: all, coarse (0-1), middle (2-5), fine (6 to last),
    # or numbers such as 2-5 or 0,3-4.
    normalise: bool = True,  # SeFa: every style counts the same.
    to_rgb: str = "",  # Weights of these resolutions' tRGB too: 4 as the original, the image's as the authors.
    count: int = 10,  # Directions to keep; 0: all there are.
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
      python -m stylegan2 factorize checkpoints/pocket/photo.pt --out coarse.pt --layers coarse
      python -m stylegan2 factorize checkpoints/pocket/photo.pt --count 6 --judge checkpoints/pocket/judge.pt
      python -m stylegan2 factorize runs/webtoon --out components.pt --algorithm ganspace --layers 2-5
    """
    from stylegan2.editing import ganspace, sefa

    if count < 0:
        raise ValueError(f"count is {count}, expected at least 1, or 0 for all directions")
    if to_rgb and algorithm != "sefa":
        raise ValueError("--to-rgb adds weights, and --algorithm ganspace looks at none")
    colours = parse_seeds(to_rgb, "--to-rgb") if to_rgb else []
    out = new_file(out, "directions.pt", ".pt", inputs=[checkpoint])
    g = generator(checkpoint, device)
    if algorithm == "sefa":
        directions = sefa.factorize(g, layers, normalise, count or None, colours)
    else:
        directions = ganspace.principal_directions(g, layers, count or None)
    directions.made_from |= _origin(checkpoint)
    words = None if judge is None else _judged(judge, g, directions, degree, device)
    directions.save(out)
    typer.echo(_table(directions, words))
    numbers = ", ".join(map(str, directions.layers))
    typer.echo(f"{counted(len(directions), 'direction')} of {algorithm}, layers {numbers}, in {out}")


def _origin(checkpoint: Path) -> dict[str, str]:
    """Which file the directions come from; of a run's folder only the folder."""
    from stylegan2 import checkpoints

    name = {"checkpoint": checkpoint.name}
    return name if checkpoint.is_dir() else name | {"sha256": checkpoints.sha256(checkpoint)}


def _judged(judge: Path, g, directions, degree: float, device: str) -> list[str]:
    from stylegan2.pocket.nets.judge import Judge
    from stylegan2.pocket.studies.changes import judge_names, measure_directions

    return judge_names(measure_directions(Judge.load(judge, on_device(device)), g, directions, degree), most=3)


def _table(directions, words: list[str] | None) -> str:
    """A line per direction: number, value and what it does."""
    title = "eigenvalue" if directions.made_from["method"] == "sefa" else "sd of w"
    lines = [f"   {title:>10}" + ("   a positive degree, says the judge" if words else "")]
    for k, value in enumerate(directions.values.tolist()):
        lines.append(f"{k:>2} {value:>10.4g}" + (f"   {words[k]}" if words else ""))
    return "\n".join(lines)


@verb("apply-factor")
def apply_factor(
    checkpoint: CheckpointPath,
    *,
    factor: Annotated[Path, typer.Option(callback=existing)],  # Of `factorize`, the panel, or the original's factor.pt.
    out: Path | None = None,  # FILE.png: degrees side by side; FILE.gif, FILE.mp4: there and back. [moved.png]
    others: Others = None,
    index: int = 0,  # Which direction, by number.
    name: str | None = None,  # Which direction, by name.
    degree: float = 3.0,  # How far, to both sides; in pocket models 5 is much.
    steps: int = 5,  # Picture: degrees from -DEGREE to DEGREE.
    frames: int = 72,  # Video: frames of one round.
    fps: int = 24,  # Video: frames a second.
    seeds: Faces = "1-4",
    truncation: Truncation = 0.7,
    layers: str | None = None,  # Codes to move, in place of the file's: as in `factorize`.
    scale: int = 0,  # Enlargement; 0: faces of about 128 px in pictures, 256 in videos.
    device: Device = "auto",
) -> None:
    """Move faces along a direction, in one model or in several.

    CKPT's mapping makes the codes, truncated before they are moved; all models draw them, each with its fixed noise.

    \b
    Examples:
      python -m stylegan2 apply-factor checkpoints/pocket/photo.pt --factor coarse.pt --index 4 --seeds 0-7
      python -m stylegan2 apply-factor checkpoints/pocket/photo.pt --with checkpoints/pocket/webtoon_freeze-sg.pt \\
          --factor coarse.pt --index 4 --seeds 14 --out pose.gif
      python -m stylegan2 apply-factor runs/mine --factor pose.pt --name pose --degree 3 --steps 7 --out pose.png
    """
    from stylegan2 import display
    from stylegan2.editing import videos
    from stylegan2.editing.directions import Directions, move, picture, strip

    numbers = list(dict.fromkeys(parse_faces(seeds)))
    if steps < 2 or scale < 0 or not degree > 0:
        raise ValueError(
            f"steps is {steps}, scale is {scale}, degree is {degree}: at least 2 steps, a scale of at least 0 "
            "and a degree above 0 are expected (both signs are drawn)"
        )
    out = new_file(out, "moved.png", *PICTURES, *FILMS)
    directions = Directions.load(factor)
    which = directions.index(index if name is None else name)
    models = generators([checkpoint, *(others or [])], device)
    ws = ws_of(next(iter(models.values())), numbers, truncation)
    _warn_of_another_model(directions, *next(iter(models.items())))
    if out.suffix.lower() in PICTURES:
        degrees = [degree * (2 * i / (steps - 1) - 1) for i in range(steps)]
        rows = strip(models, ws, directions, which, degrees, layers, faces=names_of(numbers))
        display.save(picture(rows, degrees, scale, None if scale else 128), out)
    else:
        amounts = videos.there_and_back(-degree, degree, frames)
        film = videos.sweep(
            shown(models), lambda d: move(ws, directions, {which: d}, layers), amounts, scale=scale or None
        )
        videos.save(film, out, fps, progress=True)
    typer.echo(f"{directions.names[which]} from {-degree:g} to {degree:g}, faces: {len(numbers)}, in {out}")


def _warn_of_another_model(directions, name: str, g) -> None:
    """Directions of another model may do anything, even where their sizes fit."""
    from stylegan2.checkpoints import fingerprint

    own = directions.made_from.get("generator")
    if own not in (None, fingerprint(g)):
        was = directions.made_from.get("checkpoint", f"generator {own}")
        typer.echo(f"note: these directions were found in another model ({was}) than {name}", err=True)
