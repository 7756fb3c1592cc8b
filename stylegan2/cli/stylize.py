"""From a drawing to a generator that draws like it: `stylize`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from stylegan2.cli import common
from stylegan2.cli.common import INTERRUPTED, MODELS, Device, Existing, Positive, shipped
from stylegan2.cli.options import Settings, verb
from stylegan2.cli.photos import JUDGE, SIDE, Box, Square, find_encoder, read
from stylegan2.files import counted

FACES = range(8)  # seeds of the faces on the sheet
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
    """Learn a style from one drawing, or from a few of one style (JoJoGAN): a minute or two.

    The run's folder is a model for `cartoonize --style`, `generate`, `mix`, .... A run is so short that it is not
    resumed: Ctrl-C keeps what was learnt by then. Detectors may miss drawn faces: then give --box, or --align no.

    \b
    Examples:
      python -m stylegan2 stylize drawing.png --source checkpoints/pocket/photo.pt --out runs/drawn
      python -m stylegan2 stylize "hero/*.png" --out runs/hero --iterations 500 --keep-colours
      python -m stylegan2 cartoonize data/samples/grace_hopper.jpg --style runs/drawn --out cartoons
    """
    from stylegan2.editing import jojogan
    from stylegan2.editing.layer_swapping import check_dials, swap
    from stylegan2.editing.photos import Cutting, parse_box, stacked
    from stylegan2.pocket.nets.perceptual import distance_for
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
        _refuse_faults(drawings, portraits, g.resolution)
    images = stacked(portraits, device)
    ws, history = jojogan.invert(g, images, distance, e, steps), []
    style = jojogan.stylize(g, start.d, images, ws, config, history)
    if not history:
        typer.echo("stopped early by Ctrl-C, before anything was learnt: nothing was written", err=True)
        raise typer.Exit(INTERRUPTED)
    style = swap(g, style, 4, strength=strength)
    meta = asdict(config) | {"layers": list(layers), "strength": strength, "drawings": list(portraits)}
    path = _keep(out, g, style, images, ws, meta | {"iterations": len(history)})
    typer.echo(f"{counted(len(images), 'drawing')}, loss {history[0]['loss']:.2f} to {history[-1]['loss']:.2f}: {path}")
    if len(history) < config.iterations:
        typer.echo(f"stopped early by Ctrl-C: {len(history)} of {config.iterations} iterations are kept", err=True)
        raise typer.Exit(INTERRUPTED)
    typer.echo(f"a photo in this style:\n  python -m stylegan2 cartoonize PHOTO --style {out} --out cartoons")
    common.end(left_out)


def _refuse_faults(drawings: list[Path], portraits: dict, side: int) -> None:
    """Raises ValueError for drawings whose faults every face would get. `side`: of the model's images in pixels."""
    from stylegan2.editing.jojogan import faults
    from stylegan2.editing.photos import open_photo
    from stylegan2.pocket.nets.perceptual import frame_for

    wrong = {name: faults(portrait.image, frame_for(side)) for name, portrait in portraits.items()}
    for name, path in common.captions_of(drawings).items():
        if name in portraits and min(size := open_photo(path).size) < side:
            wrong[name].insert(0, f"is too small ({size[0]}x{size[1]} pixels, the model's images have {side}x{side})")
    told = [f"'{name}' {', and '.join(words)}" for name, words in wrong.items() if words]
    if told:
        raise ValueError(
            f"{'; '.join(told)}: every face would get that. Choose another drawing, let its face be cut out "
            "(--align yes), or take it --anyway"
        )


def _keep(out: Path, g, style, images, ws, meta: dict) -> Path:
    """Write the run's folder: the model as a snapshot of as many images as were compared, settings, and a sheet."""
    from stylegan2 import checkpoints, display, files
    from stylegan2.editing.latents import render, ws_from_seeds

    meta, faces = meta | {"origin": checkpoints.fingerprint(g)}, ws_from_seeds(g, FACES)
    checkpoints.save(out / "snapshots" / f"{meta['iterations'] * meta['batch']:09d}.pt", g_ema=style, meta=meta)
    files.write_json(out / "config.json", meta)
    rows = {"drawing": images, "found": render(g, ws), "learnt": render(style, ws)}
    rows |= {"faces": render(g, faces), "in this style": render(style, faces)}
    return display.save(display.rows(rows, side=SIDE), out / "sheet.png")
