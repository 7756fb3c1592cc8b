"""From a drawing, or from a sentence, to a generator that draws like it: `stylize`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stylegan2.cli import common
from stylegan2.cli.common import JUDGE, MODELS, Device, Existing, Positive, shipped
from stylegan2.cli.editing import load_clip
from stylegan2.cli.options import Settings, verb
from stylegan2.cli.photos import Box, Square, find_encoder, read
from stylegan2.files import counted

if TYPE_CHECKING:
    from stylegan2.checkpoints import Checkpoint

NOTHING = "stopped early by Ctrl-C, before anything was learnt: nothing was written"
HELP = "Of one style, a face in each; none with --text."
Drawings = Annotated[list[Path], typer.Argument(metavar="[DRAWING]...", help=HELP, callback=common.some_existing)]
SHARED = ("iterations", "lr", "batch", "layers", "seed")
LAYERS = "Of drawings: codes that are random in the pairs, such as 5-9; of a text: convolutions that learn."
Style = Settings("editing.jojogan", "StyleConfig", layers=typer.Option(help=LAYERS))
Sentence = Settings("editing.nada", "NadaConfig", without=("text", "source", *SHARED))
FROM = typer.Option("--from", help="With --text: what the source's pictures are.")
CLIP = typer.Option(help="With --text: a CLIP file, or ViT-B/32; several times for several. [default: by the size]")


@verb()
def stylize(
    drawings: Drawings = (),
    *,
    text: str | None = None,  # In place of drawings: what the pictures should be, "webtoon drawing".
    from_text: Annotated[str, FROM] = "photo",
    source: Existing = MODELS / "photo.pt",  # Checkpoint to fine-tune (for drawings: with a discriminator).
    out: Path | None = None,  # Folder of the run: a snapshot, config.json, sheet.png. [style]
    settings: Style,
    strength: float = 1.0,  # Of the style (like the paper's alpha): 0 the source, 1 as it was learnt.
    encoder: str = "auto",  # What finds the drawings' codes: an encoder's file, 'none' (a search), or auto.
    steps: Positive = 100,  # Of that search.
    judge: Annotated[Path, typer.Option(callback=shipped)] = JUDGE,  # What compares pocket faces; LPIPS larger ones.
    square: Square,
    box: Box = None,
    anyway: bool = False,  # Take drawings that are not aligned, too small, or have closed eyes.
    sentence: Sentence,
    clip: Annotated[list[str], CLIP] = (),
    device: Device = "auto",
) -> None:
    """Learn a style from one drawing or a few of one style (JoJoGAN), or from a sentence (StyleGAN-NADA): minutes.

    The run's folder is a model for `cartoonize --style`, `generate`, `mix`, .... A run is so short that it is not
    resumed: Ctrl-C keeps what was learnt by then. Detectors may miss drawn faces: then give --box, or --align no.
    A text is the name of a kind of picture, for which CLIP says what to change; it stops before all faces look alike.

    \b
    Examples:
      python -m stylegan2 stylize drawing.png --source checkpoints/pocket/photo.pt --out runs/drawn
      python -m stylegan2 stylize hero/*.png --out runs/hero --iterations 500 --keep-colours
      python -m stylegan2 stylize --text "webtoon drawing" --from "photo" --out runs/said
      python -m stylegan2 cartoonize data/samples/grace_hopper.jpg --style runs/drawn --out cartoons
    """
    from stylegan2.editing.layer_swapping import target_share
    from stylegan2.runs import snapshot_files

    if bool(drawings) == (text is not None):
        given = "both" if drawings else "neither"
        raise ValueError(f"{given} drawings {'and' if drawings else 'nor'} --text: expected one of the two")
    out = common.new_folder(out, "style", drawings)
    if snapshot_files(out):
        raise ValueError(f"'{out}' holds a run already: choose another --out")
    start = common.load(source, device)
    target_share([4], 4, strength=strength)  # raises ValueError for an impossible one
    meta = {"source": str(source), "strength": strength}
    if text is not None:
        config = {name: settings[name] for name in SHARED} | sentence | {"text": text, "source": from_text}
        _from_text(start, config, clip, out, meta)
    else:
        cutting = square | {"box": box}
        _from_drawings(start, drawings, settings, cutting, (encoder, steps, judge, anyway), out, meta)


def _from_text(start: Checkpoint, config: dict, clips: list[str], out: Path, meta: dict) -> None:
    """Learn from a text, and write the run."""
    from stylegan2.editing import jojogan, nada

    config, g = nada.NadaConfig(**config), start.g_ema
    models = [load_clip(g, name) for name in clips or [None]]
    learning = nada.learn(g, models, config)
    done = len(learning.history)
    if not done:
        common.stop(NOTHING)
    if "step" not in learning.best_row:
        raise ValueError(f"{config.text!r}: {learning.describe()}; try a smaller --lr or --check-every, or other words")
    meta = asdict(config) | {"source_text": config.source, "clip": clips} | meta
    meta |= {"iterations": learning.best_row["step"] + 1, "history": learning.history}
    path = jojogan.save_run(out, g, learning.best, meta)
    typer.echo(f"{config.text!r}, {learning.describe()}: {path}")
    _end(out, done, config.iterations, learning.collapsed)


def _end(out: Path, done: int, asked: int, finished: bool = False) -> None:
    """What to do next, or that Ctrl-C came."""
    if done < asked and not finished:
        common.stop(f"stopped early by Ctrl-C: {done} of {asked} iterations are kept")
    typer.echo(f"a photo in this style:\n  python -m stylegan2 cartoonize PHOTO --style {out} --out cartoons")


def _from_drawings(
    start: Checkpoint, drawings: list[Path], settings: dict, cutting: dict, finding: tuple, out: Path, meta: dict
) -> None:
    """Learn from drawings, and write the run. finding: encoder, steps, judge, and whether faulty drawings are taken."""
    from stylegan2.editing import jojogan
    from stylegan2.editing.photos import Cutting, parse_box, stacked
    from stylegan2.pocket.nets.perceptual import distance_for, frame_for

    encoder, steps, judge, anyway = finding
    config, cutting = jojogan.StyleConfig(**settings), Cutting(**cutting | {"box": parse_box(cutting["box"])})
    g = start.g_ema
    if start.d is None:
        raise ValueError(f"'{meta['source']}' has no discriminator, which compares: use a checkpoint with 'd'")
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
        common.stop(NOTHING)
    meta = asdict(config) | {"layers": list(layers), "iterations": len(history)} | meta
    meta |= {"encoder": encoder, "steps": steps, "drawings": list(portraits)}
    path = jojogan.save_run(out, g, style, meta, images, ws)
    typer.echo(f"{counted(len(images), 'drawing')}, loss {history[0]['loss']:.2f} to {history[-1]['loss']:.2f}: {path}")
    _end(out, len(history), config.iterations)
    common.end(left_out)
