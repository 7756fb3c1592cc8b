"""Faces that exchange layers of their codes, as a picture: `mix`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stylegan2.cli.common import PICTURES, CheckpointPath, Device, app, load, make_room, on_device, parse_seeds


@app.command()
def mix(
    checkpoint: CheckpointPath,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="FILE.png (or .jpg, .webp).")],
    rows: Annotated[str, typer.Option(help="Seeds of the faces on the left: 7, or 0-3, or 1,5,20-29.")] = "0-3",
    columns: Annotated[str, typer.Option(help="Seeds of the faces on top.")] = "10-15",
    layers: Annotated[str, typer.Option(help="The columns': coarse, middle, fine, all, or 3, or 2,5-7.")] = "coarse",
    channels: Annotated[str, typer.Option(help="Only these components of those codes: 0-31; empty: all.")] = "",
    other: Annotated[Path | None, typer.Option("--with", help="A model fine-tuned from CKPT that draws.")] = None,
    truncation: Annotated[float, typer.Option(help="psi: 1 varied, 0 the mean face, 0.7 in between.")] = 0.7,
    scale: Annotated[int, typer.Option(help="Enlargement; 0: faces of about 128 pixels.")] = 0,
    device: Device = "auto",
) -> None:
    """Mix faces: chosen layers from the column's face, everything else from the row's.

    With another model the codes are still CKPT's, and the faces on the left and on top are drawn by both.

    \b
    Examples:
      python -m stylegan2 mix checkpoints/pocket/photo.pt mixed.png --layers coarse
      python -m stylegan2 mix photo.pt mixed.png --rows 0-2 --columns 10,13,20 --layers 2-5 --channels 0-31
      python -m stylegan2 mix photo.pt mixed.png --layers 3 --with webtoon.pt --truncation 0.8
    """
    from stylegan2 import display
    from stylegan2.editing.latents import ws_from_seeds
    from stylegan2.editing.style_mixing import mix_grid

    sides = parse_seeds(rows, "rows"), parse_seeds(columns, "columns")
    parts = parse_seeds(channels, "channels") if channels else None
    if out.suffix.lower() not in PICTURES or scale < 0:
        raise ValueError(f"OUT is '{out}', scale is {scale}: expected a name in {', '.join(PICTURES)}, and at least 0")
    make_room(out)
    paths = [checkpoint] if other is None else [checkpoint, other]
    models = [load(path, on_device(device), g_ema_only=True).g_ema for path in paths]
    codes = [ws_from_seeds(models[0], seeds, truncation) for seeds in sides]
    grid = mix_grid(models[-1], *codes, layers, parts, ends=models)
    display.save(grid.picture(*sides, scale, None if scale else 128), out)
    typer.echo(f"{len(sides[0])} x {len(sides[1])} mixes in {out}")
