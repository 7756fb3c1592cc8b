"""Faces that turn into each other, as a file: `video`."""

from __future__ import annotations

from pathlib import Path

import typer

from stylegan2.cli.common import FILMS, CheckpointPath, Device, Others, Truncation, generators, new_file, shown
from stylegan2.cli.faces import Faces, parse_faces, ws_of
from stylegan2.cli.options import verb


@verb()
def video(
    checkpoint: CheckpointPath,
    out: Path | None = None,  # FILE.mp4, or FILE.gif. [walk.mp4]
    others: Others = None,
    seeds: Faces = "1-4",  # At least two.
    frames: int = 48,  # Frames from one face to the next.
    truncation: Truncation = 0.7,
    fps: int = 24,  # Frames a second.
    scale: int = 0,  # Enlargement; 0: faces of about 256 pixels.
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

    faces = parse_faces(seeds)
    if fps < 1 or scale < 0:
        raise ValueError(f"fps is {fps}, scale is {scale}, expected fps of at least 1 and scale of at least 0")
    out = new_file(out, "walk.mp4", *FILMS)
    models = generators([checkpoint, *(others or [])], device)
    ws = ws_of(next(iter(models.values())), faces, truncation)
    film = videos.walk(shown(models), ws, frames, scale=scale or None)
    videos.save(film, out, fps, progress=True)
    typer.echo(f"{len(film)} frames, {len(film) / fps:.1f} s, in {out}")
