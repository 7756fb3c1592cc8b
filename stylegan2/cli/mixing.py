"""Faces that exchange layers of their codes, as a picture: `mix`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stylegan2.cli.common import (
    PICTURES,
    CheckpointPath,
    Device,
    Truncation,
    app,
    ending,
    existing,
    load,
    make_room,
    on_device,
    or_numbered,
    parse_seeds,
)
from stylegan2.cli.faces import parse_faces, ws_of


@app.command()
def mix(
    checkpoint: CheckpointPath,
    out: Annotated[Path | None, typer.Option(help="FILE.png (or .jpg, .webp). [mix.png]")] = None,
    rows: Annotated[
        str, typer.Option(help="Faces on the left: 7, or 0-3, or 1,5; or codes of `project`: me.pt.")
    ] = "1-4",
    columns: Annotated[str, typer.Option(help="Faces on top, likewise.")] = "10-15",
    layers: Annotated[str, typer.Option(help="The columns': coarse, middle, fine, all, or 3, or 2,5-7.")] = "coarse",
    channels: Annotated[str, typer.Option(help="Only these components of those codes: 0-31; empty: all.")] = "",
    other: Annotated[
        Path | None, typer.Option("--with", help="A model fine-tuned from CKPT draws.", callback=existing)
    ] = None,
    truncation: Truncation = 0.7,
    scale: Annotated[int, typer.Option(help="Enlargement; 0: faces of about 128 pixels.")] = 0,
    device: Device = "auto",
) -> None:
    """Mix faces: chosen layers from the column's face, everything else from the row's.

    With another model the codes are still CKPT's, and the faces on the left and on top are drawn by both.

    \b
    Examples:
      python -m stylegan2 mix checkpoints/pocket/photo.pt --layers coarse
      python -m stylegan2 mix checkpoints/pocket/photo.pt --out mixed.png --rows 0-2 --columns 10,13,20 \\
          --layers 2-5 --channels 0-31
      python -m stylegan2 mix checkpoints/pocket/photo.pt --with checkpoints/pocket/webtoon_freeze-sg.pt --layers 3
    """
    from stylegan2 import display
    from stylegan2.editing.style_mixing import mix_grid

    sides = parse_faces(rows, "rows"), parse_faces(columns, "columns")
    parts = parse_seeds(channels, "channels") if channels else None
    out = or_numbered(out, "mix.png")
    ending(out, *PICTURES)
    if scale < 0:
        raise ValueError(f"scale is {scale}, expected at least 0")
    make_room(out)
    paths = [checkpoint] if other is None else [checkpoint, other]
    models = [load(path, on_device(device), g_ema_only=True).g_ema for path in paths]
    codes = [ws_of(models[0], faces, truncation) for faces in sides]
    grid = mix_grid(models[-1], *codes, layers, parts, ends=models)
    names = [[face if isinstance(face, int) else face.stem for face in side] for side in sides]
    display.save(grid.picture(*names, scale, None if scale else 128), out)
    typer.echo(f"{len(sides[0])} x {len(sides[1])} mixes in {out}")
