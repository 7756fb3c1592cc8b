"""Faces that turn into each other, as a file: `video`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stylegan2.cli.common import (
    FILMS,
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
)
from stylegan2.cli.faces import FACES, parse_faces, ws_of


@app.command()
def video(
    checkpoint: CheckpointPath,
    out: Annotated[Path | None, typer.Option(help="FILE.mp4, or FILE.gif. [walk.mp4]")] = None,
    others: Others = None,
    seeds: Annotated[str, typer.Option(help=f"{FACES} At least two.")] = "1-4",
    frames: Annotated[int, typer.Option(help="Frames from one face to the next.")] = 48,
    truncation: Truncation = 0.7,
    fps: Annotated[int, typer.Option(help="Frames a second.")] = 24,
    scale: Annotated[int, typer.Option(help="Enlargement; 0: faces of about 256 pixels.")] = 0,
    device: Device = "auto",
) -> None:
    """Go from face to face and back, without a jump at the end.

    CKPT's mapping makes the codes. Other models draw them too, side by side.

    \b
    Examples:
      python -m stylegan2 video checkpoints/pocket/photo.pt --out faces.mp4 --seeds 1,5,9
      python -m stylegan2 video checkpoints/pocket/photo.pt --with checkpoints/pocket/webtoon_freeze-sg.pt \\
          --out pair.gif --seeds 3,8 --frames 24 --fps 12
    """
    from stylegan2.editing import videos

    faces, out = parse_faces(seeds), or_numbered(out, "walk.mp4")
    ending(out, *FILMS)
    if fps < 1 or scale < 0:
        raise ValueError(f"fps is {fps}, scale is {scale}, expected fps of at least 1 and scale of at least 0")
    make_room(out)
    where = on_device(device)
    models = {
        name: load(path, where, g_ema_only=True).g_ema
        for name, path in captions_of([checkpoint, *(others or [])]).items()
    }
    shown = models if len(models) > 1 else next(iter(models.values()))
    ws = ws_of(next(iter(models.values())), faces, truncation)
    film = videos.walk(shown, ws, frames, scale=scale or None)
    videos.save(film, out, fps, progress=True)
    typer.echo(f"{len(film)} frames, {len(film) / fps:.1f} s, in {out}")
