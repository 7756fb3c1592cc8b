"""Faces out of photos: `align`, and the options of every verb that takes photos."""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stylegan2.cli.common import app, captions_of, check_folder, end, leaving_out, make_room, or_numbered, some_existing

if TYPE_CHECKING:
    from stylegan2.editing.photos import Cutting, Portrait

Photos = Annotated[
    list[Path], typer.Argument(metavar="PHOTO...", help="Pictures with a face in each.", callback=some_existing)
]
Align = Annotated[
    str,
    typer.Option(help="yes: turn and cut to the face; no: the middle square; auto: no if it has the model's size."),
]
Face = Annotated[str, typer.Option(help="Of several: 1 (the surest), 2, ..., or all.")]
Box = Annotated[str | None, typer.Option(help="LEFT,TOP,SIDE in pixels: this square, whatever is in it.")]


def read(
    photos: list[Path], resolution: int, cutting: Cutting, taken: Container[str] = ()
) -> tuple[dict[str, Portrait], list[str]]:
    """The faces of photos by name, ready for a generator; says how each was cut.

    Of several photos, those that cannot be read or have no face are named and left out: the second part of the answer.
    Raises ValueError where none is left.
    """
    from stylegan2.editing.photos import read_photos

    found, left_out = {}, []
    for name, path in captions_of(photos).items():
        with leaving_out(path, left_out, alone=len(photos) == 1):
            found |= read_photos({name: path}, resolution, cutting, {*found, *taken})
    if not found:
        raise ValueError(f"none of the {len(photos)} photos can be used: see above, and --box")
    for name, portrait in found.items():
        if portrait.seen is not None:  # else it was asked for, and needs no word
            typer.echo(f"{name}: {portrait.how}", err=True)
    return found, left_out


@app.command()
def align(
    photos: Photos,
    out: Annotated[Path | None, typer.Option(help="Folder for the faces (NAME.png). [faces]")] = None,
    size: Annotated[int, typer.Option(help="Side of a face in pixels.")] = 256,
    face: Face = "1",
    box: Box = None,
    marked: Annotated[bool, typer.Option(help="Also NAME_faces.jpg: the photo, its faces, their numbers.")] = True,
) -> None:
    """Turn photos so that faces are upright, and cut them as FFHQ's are.

    Photos are turned as their camera says, and mirrored beyond their edges. A file that is no picture, or has no face,
    is named and left out; then the return code is 1.

    \b
    Examples:
      python -m stylegan2 align data/samples/grace_hopper.jpg --out faces
      python -m stylegan2 align "album/*.jpg" --out faces --size 1024 --face all
      python -m stylegan2 align profile.jpg --out faces --box 120,40,300
    """
    from stylegan2 import display
    from stylegan2.collect.align import find_people
    from stylegan2.collect.align import marked as draw_marked
    from stylegan2.editing.photos import Cutting, names_of, open_photo, parse_box, portraits

    if not 16 <= size <= 4096:
        raise ValueError(f"size is {size}, expected 16 to 4096 pixels")
    cutting = Cutting("yes", face, parse_box(box))
    out = or_numbered(out, "faces")
    check_folder(out, photos)
    done: set[str] = set()
    left_out: list[str] = []
    for name, path in captions_of(photos).items():
        with leaving_out(path, left_out, alone=len(photos) == 1):
            photo = open_photo(path)
            people = [] if cutting.box else find_people(photo)
            found = portraits(photo, size, cutting, people)
            for own, portrait in zip(names_of(name, len(found), done), found, strict=True):
                to = display.save(portrait.image, make_room(out / f"{own}.png", photos))
                typer.echo(f"{to}: {portrait.how}")
                done.add(own)
            if marked and people:
                display.save(draw_marked(photo, people), make_room(out / f"{name}_faces.jpg", photos))
    if not done:
        raise ValueError(f"none of the {len(photos)} photos can be used: see above, and --box")
    end(left_out)
