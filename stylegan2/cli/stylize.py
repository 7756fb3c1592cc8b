"""From a drawing to a generator that draws like it: `stylize`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from stylegan2.cli import common
from stylegan2.cli.common import INTERRUPTED, JUDGE, MODELS, Device, Existing, Positive, shipped
from stylegan2.cli.options import Settings, verb
from stylegan2.cli.photos import Box, Square, find_encoder, read
from stylegan2.files import counted

WHAT = typer.Argument(metavar="DRAWING...", help="Of one style, a face in each.", callback=common.some_existing)
Style = Settings("editing.jojogan", "StyleConfig")


@verb()
def stylize(
    drawings: Annotated[list[Path], WHAT],
    *,
    source: Existing = MODELS / "photo.pt",  # Checkpoint to fine-tune (with a discriminator).
    out: Path | None = None,  # Folder of the run: a snapshot, config.json, sheet.png. [style]
    settings: Style,
    strength: float = 1.0,  # Of the style (like the paper's alpha): 0 the source, 1 as it was learnt.
    encoder: str = "auto",  # What finds the drawings' codes: an encoder's file, 'none' (a search), or auto.
    steps: Positive = 100,  # Of that search.
    judge: Annotated[Path, typer.Option(callback=shipped)] = JUDGE,  # What compares pocket faces; LPIPS larger ones.
    square: Square,
    box: Box = None,
    anyway: bool = False,  # Take drawings that are not aligned, too small, or have closed eyes.
    device: Device = "auto",
) -> None:
    """Learn a style from one drawing, or from a few of one style (JoJoGAN): minutes.

    The run's folder is a model for `cartoonize --style`, `generate`, `mix`, .... A run is so short that it is not
    resumed: Ctrl-C keeps what was learnt by then. Detectors may miss drawn faces: then give --box, or --align no.

    \b
    Examples:
      python -m stylegan2 stylize drawing.png --source checkpoints/pocket/photo.pt --out runs/drawn
      python -m stylegan2 stylize "hero/*.png" --out runs/hero --iterations 500 --keep-colours
      python -m stylegan2 cartoonize data/samples/grace_hopper.jpg --style runs/drawn --out cartoons
    """
    from stylegan2.editing import jojogan
    from stylegan2.editing.layer_swapping import check_dials
    from stylegan2.editing.photos import Cutting, parse_box, stacked
    from stylegan2.pocket.nets.perceptual import distance_for, frame_for
    from stylegan2.runs import snapshot_files

    config, out = jojogan.StyleConfig(**settings), common.or_numbered(out, "style")
    common.check_folder(out, drawings)
    if snapshot_files(out):
        raise ValueError(f"'{out}' holds a run already: choose another --out")
    start, cutting = common.load(source, device), Cutting(**square, box=parse_box(box))
    g = start.g_ema
    if start.d is None:
        raise ValueError(f"'{source}' has no discriminator, which compares: use a checkpoint with 'd'")
    check_dials(g.resolution, 4, 0.0, strength)
    layers, device = jojogan.style_layers(g.num_ws, config), g.mapping.w_mean.device
    e, distance = find_encoder(encoder, g), distance_for(g.resolution, judge, device)
    portraits, left_out = read(drawings, g.resolution, cutting)
    if not anyway:
        jojogan.refuse_faults(portraits, frame_for(g.resolution))
    images, history = stacked(portraits, device), []
    try:
        ws = jojogan.invert(g, images, distance, e, steps)
        style = jojogan.stylize(g, start.d, images, ws, config, history)
    except KeyboardInterrupt:
        pass  # in the search
    if not history:
        typer.echo("stopped early by Ctrl-C, before anything was learnt: nothing was written", err=True)
        raise typer.Exit(INTERRUPTED)
    meta = asdict(config) | {"layers": list(layers), "strength": strength, "iterations": len(history)}
    meta |= {"source": str(source), "encoder": encoder, "steps": steps, "drawings": list(portraits)}
    path = jojogan.save_run(out, g, style, images, ws, meta)
    typer.echo(f"{counted(len(images), 'drawing')}, loss {history[0]['loss']:.2f} to {history[-1]['loss']:.2f}: {path}")
    if len(history) < config.iterations:
        typer.echo(f"stopped early by Ctrl-C: {len(history)} of {config.iterations} iterations are kept", err=True)
        raise typer.Exit(INTERRUPTED)
    typer.echo(f"a photo in this style:\n  python -m stylegan2 cartoonize PHOTO --style {out} --out cartoons")
    common.end(left_out)
