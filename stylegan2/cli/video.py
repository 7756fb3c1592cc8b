"""Faces that turn into each other, as a file: `video`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stylegan2.cli.common import Device, app, captions_of, load, make_room, on_device, parse_seeds


@app.command()
def video(
    checkpoints: Annotated[list[Path], typer.Argument(metavar="CKPT...", help="Checkpoints, or folders of runs.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="FILE.mp4, or FILE.gif.")],
    seeds: Annotated[str, typer.Option(help="Faces to go through: 1,5,9 or 0-3; at least two.")] = "1-4",
    frames: Annotated[int, typer.Option(help="Frames from one face to the next.")] = 48,
    truncation: Annotated[float, typer.Option(help="psi: 1 varied, 0 the mean face, 0.7 in between.")] = 0.7,
    fps: Annotated[int, typer.Option(help="Frames a second.")] = 24,
    scale: Annotated[int, typer.Option(help="Enlargement; 0: faces of about 256 pixels.")] = 0,
    device: Device = "auto",
) -> None:
    """Go from face to face and back, without a jump at the end.

    Several checkpoints stand side by side: the first one's mapping makes the codes, all draw them.

    \b
    Examples:
      python -m stylegan2 video checkpoints/pocket/photo.pt faces.mp4 --seeds 1,5,9
      python -m stylegan2 video photo.pt webtoon.pt storybook.pt pair.gif --seeds 3,8 --frames 24 --fps 12
    """
    from stylegan2 import display, videos

    numbers = parse_seeds(seeds)
    if out.suffix.lower() not in display.VIDEOS:
        raise ValueError(f"'{out}': OUT must end in {' or '.join(display.VIDEOS)}, after the checkpoints")
    if fps < 1 or scale < 0:
        raise ValueError(f"fps is {fps}, scale is {scale}, expected fps of at least 1 and scale of at least 0")
    make_room(out)
    where = on_device(device)
    models = {name: load(path, where, g_ema_only=True).g_ema for name, path in captions_of(checkpoints).items()}
    shown = models if len(models) > 1 else next(iter(models.values()))
    film = videos.interpolation(shown, numbers, frames, truncation, scale=scale or None)
    display.save_video(film, out, fps, progress=True)
    typer.echo(f"{len(film)} frames, {len(film) / fps:.1f} s, in {out}")
