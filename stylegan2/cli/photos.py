"""Faces out of photos: `align`, and the options of every verb that takes photos."""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stylegan2.cli.common import apart, app, captions_of, not_an_input, there

if TYPE_CHECKING:
    from stylegan2.editing.photos import Portrait

Photos = Annotated[list[Path], typer.Argument(metavar="PHOTO...", help="Pictures with a face in each.", callback=there)]
Align = Annotated[
    str,
    typer.Option(help="yes: turn and cut to the face; no: the middle square; auto: no if it has the model's size."),
]
Face = Annotated[str, typer.Option(help="Of several: 1 (the largest), 2, ..., or all.")]
Box = Annotated[str | None, typer.Option(help="LEFT,TOP,SIDE in pixels: this square, whatever is in it.")]
Finder = Annotated[str, typer.Option(help="What finds faces: yunet (better), haar (comes with OpenCV), or auto.")]


def read(
    photos: list[Path],
    resolution: int,
    align: str,
    face: str,
    box: str | None,
    finder: str,
    taken: Container[str] = (),
) -> dict[str, Portrait]:
    """The faces of photos by name, ready for a generator; says how each was cut.

    Of several photos one without a face is named and left out. Raises ValueError where none has one.
    """
    from stylegan2.data.align import NoFace
    from stylegan2.editing.photos import Cutting, parse_box, read_photos

    cutting, found = Cutting(align, face, parse_box(box), finder), {}
    for name, path in captions_of(photos).items():
        try:
            found |= read_photos({name: path}, resolution, cutting, {*found, *taken})
        except NoFace as error:
            if len(photos) == 1:
                raise
            typer.echo(f"left out: {error}", err=True)
    if not found:
        raise ValueError("no face found in any of the photos: see above, and --box")
    for name, portrait in found.items():
        if portrait.how not in ("as it is", "middle square", "the square given"):  # what was asked for needs no word
            typer.echo(f"{name}: {portrait.how}", err=True)
    return found


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
    from stylegan2.editing.photos import Cutting, names_of, open_photo, parse_box, portraits

    if not 16 <= size <= 4096:
        raise ValueError(f"size is {size}, expected 16 to 4096 pixels")
    cutting = Cutting("yes", face, parse_box(box), finder)
    apart(out, photos)
    done: set[str] = set()
    for name, path in captions_of(photos).items():
        photo = open_photo(path)
        try:
            people = None if cutting.box else find_people(photo, finder)
            found = portraits(photo, size, cutting, people)
        except NoFace as error:
            typer.echo(f"{path}: {error}", err=True)
            continue
        for own, portrait in zip(names_of(name, len(found), done), found, strict=True):
            to = display.save(portrait.image, not_an_input(out / f"{own}.png", photos))
            typer.echo(f"{to}: {portrait.how}")
            done.add(own)
        if marked and people:
            display.save(draw_marked(photo, people), not_an_input(out / f"{name}_faces.jpg", photos))
    if not done:
        raise ValueError("no face found in any of the photos: see above, and --box")
