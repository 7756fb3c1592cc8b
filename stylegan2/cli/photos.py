"""Faces out of photos: `align`, and the options of every verb that takes photos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stylegan2.cli.common import app, captions_of, make_room

if TYPE_CHECKING:
    from stylegan2.editing.photos import Portrait

Photos = Annotated[list[Path], typer.Argument(metavar="PHOTO...", help="Pictures with a face in each.")]
Align = Annotated[
    str, typer.Option(help="yes: turn and cut to the face; no: the middle square; auto: what fits each picture.")
]
Face = Annotated[str, typer.Option(help="Of several: 1 (the largest), 2, ..., or all.")]
Box = Annotated[str | None, typer.Option(help="LEFT,TOP,SIDE in pixels: this square, whatever is in it.")]
Finder = Annotated[str, typer.Option(help="What finds faces: yunet (better), haar (comes with OpenCV), or auto.")]


def read(
    photos: list[Path], resolution: int, align: str, face: str, box: str | None, finder: str
) -> dict[str, Portrait]:
    """The faces of photos by name, ready for a generator; says how each was cut."""
    from stylegan2.editing.photos import Cutting, read_photos

    found = read_photos(captions_of(photos), resolution, Cutting(align, face, parse_box(box), finder))
    for name, portrait in found.items():
        if portrait.how not in ("as it is", "middle square", "the square given"):  # what was asked for needs no word
            typer.echo(f"{name}: {portrait.how}", err=True)
    return found


def parse_box(text: str | None) -> tuple[float, float, float] | None:
    """ "LEFT,TOP,SIDE" as numbers. Raises ValueError for anything else."""
    if text is None:
        return None
    try:
        left, top, side = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"box {text!r}: expected LEFT,TOP,SIDE in pixels, such as 120,40,300") from None
    return left, top, side


@app.command()
def align(
    photos: Photos,
    out: Annotated[Path, typer.Option(help="Folder for the faces (NAME.png).")],
    size: Annotated[int, typer.Option(help="Side of a face in pixels.")] = 256,
    face: Face = "all",
    box: Box = None,
    finder: Finder = "auto",
    marked: Annotated[bool, typer.Option(help="Also NAME_faces.jpg: the photo, its faces, their numbers.")] = True,
) -> None:
    """Turn photos so that faces are upright, and cut them as FFHQ's are.

    Photos are turned as their camera says, and mirrored beyond their edges. A photo without a face is named and
    skipped.

    \b
    Examples:
      python -m stylegan2 align party.jpg --out faces
      python -m stylegan2 align me.jpg --out faces --size 1024 --face 1
      python -m stylegan2 align profile.jpg --out faces --box 120,40,300
    """
    from stylegan2 import display
    from stylegan2.data.align import NoFace, find_people
    from stylegan2.data.align import marked as draw_marked
    from stylegan2.editing.photos import Cutting, open_photo, portraits

    if not 16 <= size <= 4096:
        raise ValueError(f"size is {size}, expected 16 to 4096 pixels")
    cutting = Cutting("yes", face, parse_box(box), finder)
    make_room(out / "x")
    done = 0
    for name, path in captions_of(photos).items():
        photo = open_photo(path)
        try:
            people = None if cutting.box else find_people(photo, finder)
            found = portraits(photo, size, cutting, people)
        except NoFace as error:
            typer.echo(f"{path}: {error}", err=True)
            continue
        for i, portrait in enumerate(found, start=1):
            to = out / (f"{name}.png" if len(found) == 1 else f"{name}_{i}.png")
            display.save(portrait.image, to)
            typer.echo(f"{to}: {portrait.how}")
            done += 1
        if marked and people:
            display.save(draw_marked(photo, people), out / f"{name}_faces.jpg")
    if not done:
        raise ValueError("no face found in any of the photos: see above, and --box")
