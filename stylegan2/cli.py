"""The command line: `python -m stylegan2 VERB`, installed as `stylegan2` too.

Each verb is a few lines around a function of the package. What is heavy is imported inside the verb, so that `--help`
answers at once. Errors that a user can mend come as one line on stderr, exit code 2; `--debug` shows where they arose.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

from stylegan2.training.config import TrainConfig

if TYPE_CHECKING:
    from stylegan2.checkpoints import Checkpoint
    from stylegan2.training.trainer import Trainer
    from stylegan2.training.transfer import Method

EXPECTED = (ValueError, OSError, ImportError)  # errors whose message says what to do (CheckpointError is a ValueError)
PICTURES = (".png", ".jpg", ".jpeg", ".webp")
INTERRUPTED = 130  # what a shell reports for a program ended by Ctrl-C


class Verbs(TyperGroup):
    """All verbs, with expected errors as one line."""

    def parse_args(self, ctx, args):
        """`--debug` may stand anywhere."""
        if "--debug" in args:
            args = ["--debug", *[arg for arg in args if arg != "--debug"]]
        return super().parse_args(ctx, args)

    def invoke(self, ctx):
        """Run a verb; exit code 2 for an expected error, 130 for Ctrl-C."""
        try:
            return super().invoke(ctx)
        except EXPECTED as error:
            if ctx.params.get("debug"):
                raise
            typer.echo(f"error: {' '.join(str(error).split())}", err=True)
            raise typer.Exit(2) from error
        except KeyboardInterrupt:
            typer.echo("interrupted", err=True)
            raise typer.Exit(INTERRUPTED) from None


app = typer.Typer(cls=Verbs, rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)
CheckpointPath = Annotated[Path, typer.Argument(metavar="CKPT", help="A checkpoint, or the folder of a training run.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ...; auto: a GPU where there is one.")]


@app.callback(no_args_is_help=True, epilog="python -m stylegan2 VERB --help explains a verb, with examples.")
def options(debug: Annotated[bool, typer.Option("--debug", help="Show the whole traceback of an error.")] = False):
    """A StyleGAN2 course in notebooks, and its commands: images to dataset, dataset to model, model to faces."""


# ------------------------------------------------------------------------------------------------------------- data


@app.command()
def prepare(
    src: Annotated[str, typer.Argument(metavar="SRC", help="Folder, .zip, or rendered set (pocket:webtoon?n=1000).")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the dataset (LMDB) to write.")],
    size: Annotated[list[int], typer.Option(help="Side in pixels; repeat for several sizes.")] = [64],  # noqa: B006
    workers: Annotated[int, typer.Option(help="Images worked on at once; 0: one after the other.")] = 2,
    format: Annotated[str | None, typer.Option(help="jpeg, or png (no loss). [default: jpeg; png if rendered]")] = None,
    quality: Annotated[int, typer.Option(help="JPEG quality, 1 to 100.")] = 100,
    crop: Annotated[bool, typer.Option(help="Take the centre square, or squeeze the whole picture into one.")] = True,
    limit: Annotated[int | None, typer.Option(help="Take only so many images.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace another dataset in OUT.")] = False,
) -> None:
    """Turn images into a dataset for training.

    The same command goes on where an interrupted one stopped. Files that are no images are skipped and listed.

    \b
    Examples:
      python -m stylegan2 prepare my_faces/ data/mine.lmdb --size 64
      python -m stylegan2 prepare faces.zip data/faces.lmdb --size 128 --size 256 --workers 8
      python -m stylegan2 prepare pocket:webtoon data/webtoon.lmdb
    """
    from stylegan2.data import prepare as module

    try:
        report = module.prepare(
            src, out, tuple(size), quality, format, workers=workers, crop=crop, limit=limit, overwrite=overwrite
        )
    except RuntimeError as error:  # the folder is locked, or worker processes died
        raise ValueError(str(error)) from error
    typer.echo(str(report))


@app.command()
def inspect(path: Annotated[Path, typer.Argument(metavar="PATH", help="A dataset made by `prepare`.")]) -> None:
    """Say what a dataset holds: number, sizes, format, colours.

    \b
    Example:
      python -m stylegan2 inspect data/webtoon.lmdb
    """
    from stylegan2.data import dataset

    typer.echo(str(dataset.inspect(path)))


# --------------------------------------------------------------------------------------------------------- training


@app.command()
def train(
    ctx: typer.Context,
    data: Annotated[Path, typer.Option(help="Dataset made by `prepare`.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder of the run.", show_default=False)],
    images: Annotated[int, typer.Option(help="Length of the run, in images shown.")] = TrainConfig.images,
    source: Annotated[Path | None, typer.Option(help="Checkpoint to fine-tune (with a discriminator).")] = None,
    preset: Annotated[str, typer.Option(help="Size of new networks without --source: pocket, config-f.")] = "pocket",
    size: Annotated[int | None, typer.Option(help="Resolution. [default: --source's; else the dataset's]")] = None,
    method: Annotated[
        str | None,
        typer.Option(help="How to fine-tune: baseline, freeze-g, freeze-style, freeze-sg, structure-loss, ..."),
    ] = None,
    freeze_d: Annotated[int | None, typer.Option(help="Freeze D's layers at this resolution and above.")] = None,
    freeze_g: Annotated[int | None, typer.Option(help="Freeze G's blocks up to this resolution.")] = None,
    freeze_mapping: Annotated[bool, typer.Option(help="--freeze-g freezes the mapping too.")] = True,
    freeze_style: Annotated[int | None, typer.Option(help="Take so many codes from the source's mapping.")] = None,
    freeze_fc: Annotated[bool, typer.Option("--freeze-fc", help="Take all codes from it.")] = False,
    structure_loss: Annotated[float | None, typer.Option(help="Weight of StructureLoss (the paper: 1).")] = None,
    structure_at: Annotated[str, typer.Option(help="Resolutions that it compares.")] = "4,8,16",
    structure_on: Annotated[str, typer.Option(help="What it compares: rgb (running sums) or features.")] = "rgb",
    batch: Annotated[int, typer.Option(help="Images per iteration.")] = TrainConfig.batch,
    lr: Annotated[float, typer.Option(help="Learning rate of both networks.")] = TrainConfig.lr,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = TrainConfig.seed,
    augment: Annotated[str, typer.Option(help="adaptive (ADA), fixed or none.")] = TrainConfig.augment,
    augment_pipe: Annotated[str, typer.Option(help="none, b, bg or bgc.")] = TrainConfig.augment_pipe,
    augment_p: Annotated[float, typer.Option(help="First p (adaptive), or the only one.")] = TrainConfig.augment_p,
    augment_target: Annotated[float, typer.Option(help="Of r_t, for adaptive p.")] = TrainConfig.augment_target,
    augment_interval: Annotated[
        int, typer.Option(help="Iterations between moves of p.")
    ] = TrainConfig.augment_interval,
    augment_images: Annotated[
        int | None, typer.Option(help="Images for p to go from 0 to 1. [default: 500,000; fine-tuning 100,000]")
    ] = TrainConfig.augment_images,
    r1_gamma: Annotated[
        float | None, typer.Option(help="Weight of R1. [default: 2e-4 * resolution^2 / batch]")
    ] = TrainConfig.r1_gamma,
    r1_interval: Annotated[int, typer.Option(help="R1 every so many iterations.")] = TrainConfig.r1_interval,
    pl_weight: Annotated[float, typer.Option(help="Weight of path length; 0: off.")] = TrainConfig.pl_weight,
    pl_interval: Annotated[int, typer.Option(help="Path length every so many iterations.")] = TrainConfig.pl_interval,
    pl_batch_shrink: Annotated[int, typer.Option(help="Its batch is smaller by this.")] = TrainConfig.pl_batch_shrink,
    pl_decay: Annotated[float, typer.Option(help="Of the mean path length.")] = TrainConfig.pl_decay,
    style_mixing: Annotated[float, typer.Option(help="Probability of mixing two codes.")] = TrainConfig.style_mixing,
    reuse_fakes: Annotated[
        bool, typer.Option("--reuse-fakes", help="G learns from the images D has just seen: about a tenth faster.")
    ] = TrainConfig.reuse_fakes,
    blur_sigma: Annotated[
        float, typer.Option(help="From scratch: D sees images blurred by so many pixels at first; 0: sharp.")
    ] = TrainConfig.blur_sigma,
    blur_images: Annotated[int, typer.Option(help="Images until that blur is gone.")] = TrainConfig.blur_images,
    ema_images: Annotated[
        int | None, typer.Option(help="Half-life of the averaged generator in images. [default: 625 batches]")
    ] = TrainConfig.ema_images,
    ema_rampup: Annotated[float | None, typer.Option(help="From scratch: at most this share of the images so far.")] = (
        TrainConfig.ema_rampup
    ),
    mirror: Annotated[bool, typer.Option(help="Mirror every other image.")] = TrainConfig.mirror,
    workers: Annotated[int, typer.Option(help="Processes that read images.")] = TrainConfig.workers,
    precision: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = TrainConfig.precision,
    snapshot_images: Annotated[int, typer.Option(help="Images between snapshots.")] = TrainConfig.snapshot_images,
    keep: Annotated[int, typer.Option(help="Snapshots kept.")] = TrainConfig.keep,
    sample_images: Annotated[int, typer.Option(help="Images between sample pictures.")] = TrainConfig.sample_images,
    sample_rows: Annotated[int, typer.Option(help="Rows of a sample picture.")] = TrainConfig.sample_rows,
    sample_columns: Annotated[int, typer.Option(help="Columns of a sample picture.")] = TrainConfig.sample_columns,
    log_images: Annotated[int, typer.Option(help="Images between lines of log.csv.")] = TrainConfig.log_images,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write events too.")] = TrainConfig.tensorboard,
    device: Device = "auto",
) -> None:
    """Train a model from scratch, or fine-tune one with --source.

    Resume a run by giving the same command again; it goes on exactly where it was. Ctrl-C saves and stops. The folder
    gets config.json, log.csv, samples/ (always the same faces) and snapshots/.

    What a fine-tuned model keeps of its source is said by --method, by single switches, or both: a switch adds to the
    method, and --freeze-d replaces the method's own. FreezeSG is --freeze-g 8 --no-freeze-mapping --freeze-style 4.

    \b
    Examples:
      python -m stylegan2 train --data data/webtoon.lmdb --out runs/webtoon \\
          --source checkpoints/pocket/photo.pt --method freeze-sg --images 24000
      python -m stylegan2 train --data data/webtoon.lmdb --out runs/structure \\
          --source checkpoints/pocket/photo.pt --freeze-d 32 --structure-loss 2 --structure-at 4,8
      python -m stylegan2 train --data data/faces.lmdb --out runs/faces --preset pocket --images 200000
    """
    names = {field.name for field in dataclasses.fields(TrainConfig)}
    chosen = {name: value for name, value in ctx.params.items() if name in names}
    config = TrainConfig(**chosen, fine_tune=source is not None)
    trainer = _make_trainer(config, data, source, preset, size, ctx.params, _device(device))
    _say_start(trainer)
    trainer.run()
    _say_end(trainer)


def _make_trainer(config, data, source, preset, size, switches, device) -> Trainer:
    """Dataset, networks and methods for a run."""
    from stylegan2 import networks
    from stylegan2.data.dataset import LMDBDataset
    from stylegan2.training.trainer import Trainer

    if source is None:
        _refuse_without_source(switches)
        dataset = LMDBDataset(data, size, cache=True)
        g, d = networks.build(dataset.resolution, preset, config.seed)
        return Trainer(config, dataset, g, d, methods=_methods(switches, dataset.resolution), device=device)
    found = _load(source)
    if found.d is None:
        raise ValueError(f"'{source}' has no discriminator, which fine-tuning starts from: use a snapshot of a run")
    dataset = LMDBDataset(data, size or found.g_ema.resolution, cache=True)
    return Trainer.fine_tune(config, dataset, found, _methods(switches, found.g_ema.resolution), device)


def _methods(switches: dict, resolution: int) -> list[Method]:
    """Transfer methods of --method and the single switches."""
    from stylegan2.training import transfer

    chosen = transfer.method(switches["method"], resolution) if switches["method"] else []
    if switches["freeze_d"] is not None:
        chosen = [m for m in chosen if not isinstance(m, transfer.FreezeD)] + [transfer.FreezeD(switches["freeze_d"])]
    if switches["freeze_g"] is not None:
        chosen.append(transfer.FreezeG(switches["freeze_g"], switches["freeze_mapping"]))
    if switches["freeze_style"] is not None:
        chosen.append(transfer.FreezeStyle(switches["freeze_style"]))
    if switches["freeze_fc"]:
        chosen.append(transfer.FreezeFC())
    if switches["structure_loss"] is not None:
        at = tuple(parse_seeds(switches["structure_at"], "--structure-at"))
        chosen.append(transfer.StructureLoss(at, switches["structure_loss"], switches["structure_on"]))
    return chosen


def _refuse_without_source(switches: dict) -> None:
    given = [name for name in ("method", "freeze_g", "freeze_style", "freeze_fc", "structure_loss") if switches[name]]
    if given:
        raise ValueError(f"--{given[0].replace('_', '-')} keeps something of a trained model: name it with --source")


def _say_start(trainer: Trainer) -> None:
    config = trainer.config
    resumed = trainer.resume()
    typer.echo(f"{trainer.dataset!r}, {trainer.g.resolution} px, {trainer.precision} on {trainer.device}")
    for method in trainer.methods:
        typer.echo(f"method: {method}")
    if trainer.frozen:
        typer.echo(f"frozen, {len(trainer.frozen)} parameters:\n  " + "\n  ".join(trainer.frozen))
    if resumed:
        typer.echo(f"resumed at {trainer.images_seen:,} of {config.images:,} images")
    typer.echo(f"results: {config.out}/ with log.csv, samples/, snapshots/; Ctrl-C saves and stops")


def _say_end(trainer: Trainer) -> None:
    if trainer.step < trainer.config.steps:
        typer.echo(
            f"stopped at {trainer.images_seen:,} images and saved; the same command goes on from there", err=True
        )
        raise typer.Exit(INTERRUPTED)
    typer.echo(f"done: {trainer.images_seen:,} images. Faces from it:")
    typer.echo(f"  python -m stylegan2 generate {trainer.config.out} --seeds 0-31 --out faces.png")


# ------------------------------------------------------------------------------------------------------------ models


@app.command()
def generate(
    checkpoint: CheckpointPath,
    out: Annotated[Path, typer.Option(help="A folder (one file per seed), or one picture (FILE.png).")],
    seeds: Annotated[str, typer.Option(help="Which faces: 7, or 0-31, or 1,5,20-29.")] = "0-31",
    truncation: Annotated[float, typer.Option(help="psi: 1 varied, 0 the mean face, 0.7 in between.")] = 0.7,
    grid: Annotated[bool, typer.Option("--grid", help="All in one picture, also when OUT is a folder.")] = False,
    columns: Annotated[int, typer.Option(help="Faces per row of that picture.")] = 8,
    noise: Annotated[str, typer.Option(help="const (fixed), random (another for each seed) or none.")] = "const",
    batch: Annotated[int, typer.Option(help="Images at once; changes nothing but memory and time.")] = 16,
    device: Device = "auto",
) -> None:
    """Draw faces. One seed is one face, whatever else is drawn.

    \b
    Examples:
      python -m stylegan2 generate checkpoints/pocket/photo.pt --seeds 0-31 --out faces.png
      python -m stylegan2 generate runs/webtoon --seeds 3,8,20-29 --truncation 1 --out faces/
    """
    from stylegan2 import display

    numbers = parse_seeds(seeds)
    if batch < 1 or columns < 1:
        raise ValueError(f"batch is {batch}, columns is {columns}, expected at least 1")
    g = _load(checkpoint, _device(device), g_ema_only=True).g_ema
    images = _draw(g, numbers, truncation, noise, batch)
    single = out.suffix.lower() in PICTURES
    if single or grid:
        path = display.save(display.grid(images, min(columns, len(images))), out if single else out / "grid.png")
        typer.echo(f"{len(images)} faces in {path}")
        return
    for number, image in zip(numbers, images, strict=True):
        display.save(display.to_pil(image), out / f"seed{number:05d}.png")
    typer.echo(f"{len(images)} faces in {out}/")


def parse_seeds(text: str, name: str = "seeds") -> list[int]:
    """Numbers of a text such as "0-3,8" -> [0, 1, 2, 3, 8]. Raises ValueError for anything else."""
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = (piece.strip() for piece in part.partition("-"))
        if not first.isdecimal() or (dash and not last.isdecimal()) or (dash and int(last) < int(first)):
            raise ValueError(f"{name} {text!r}: expected whole numbers and ranges, such as 7 or 0-31 or 1,5,20-29")
        seeds += range(int(first), int(last or first) + 1)
    return seeds


def _draw(g, seeds: list[int], truncation: float, noise: str, batch: int):
    """Images of seeds, [N, 3, R, R] on the CPU, with a progress bar."""
    import torch
    from tqdm import tqdm

    from stylegan2.editing.latents import ws_from_seeds
    from stylegan2.training.trainer import step_generator

    images = []
    for start in tqdm(range(0, len(seeds), batch), desc="generate", unit="batch", disable=len(seeds) <= batch, delay=1):
        chunk = seeds[start : start + batch]
        noises = noise
        if noise == "random":  # drawn seed by seed: else a face would depend on its neighbours
            each = [g.synthesis.draw_noise(1, step_generator(seed, 0, stream=2)) for seed in chunk]
            noises = [torch.cat(layer) for layer in zip(*each, strict=True)]
        with torch.no_grad():
            images.append(g.synthesis(ws_from_seeds(g, chunk, truncation), noises).cpu())
    return torch.cat(images)


@app.command()
def swap(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="Model of the low resolutions, e.g. photos.")],
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="Model of the others, fine-tuned from SOURCE.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="FILE.pt: the new generator; FILE.png: a picture.")],
    resolution: Annotated[int, typer.Option(help="The first resolution taken from TARGET.")] = 16,
    width: Annotated[float, typer.Option(help="0: a hard cut; above: blended over about so many resolutions.")] = 0.0,
    reverse: Annotated[bool, typer.Option("--reverse", help="Low resolutions from TARGET, the rest SOURCE's.")] = False,
    strip: Annotated[bool, typer.Option("--strip", help="A picture of all hard cuts, one row each.")] = False,
    seeds: Annotated[str, typer.Option(help="Faces of the picture: 7, or 0-7, or 1,5,20-29.")] = "0-7",
    truncation: Annotated[float, typer.Option(help="psi of the picture: 1 varied, 0 the mean face.")] = 0.7,
    half: Annotated[bool, typer.Option("--half", help="FILE.pt in half precision: half the size.")] = False,
) -> None:
    """Swap layers: one model's structure in the style of another.

    FILE.pt can be used wherever a checkpoint can. A picture has the rows source, swapped, target; with --reverse the
    other way round. Codes always come from SOURCE's mapping, which FILE.pt gets too.

    \b
    Examples:
      python -m stylegan2 swap checkpoints/pocket/photo.pt checkpoints/pocket/webtoon_baseline.pt cuts.png --strip
      python -m stylegan2 swap photo.pt webtoon.pt faces.png --resolution 32 --width 0.5 --reverse
      python -m stylegan2 swap photo.pt webtoon.pt swapped.pt --resolution 16 --half
    """
    from stylegan2.editing import layer_swapping

    numbers, kind = parse_seeds(seeds), out.suffix.lower()
    if kind not in (".pt", *PICTURES):
        raise ValueError(f"'{out}': OUT must end in .pt (the new generator) or in {', '.join(PICTURES)} (a picture)")
    if strip and (width or kind == ".pt"):
        raise ValueError("--strip draws all hard cuts: OUT must be a picture, and --width left out")
    names = ("target", "source") if reverse else ("source", "target")  # who draws below the cut, and who above it
    paths = (target, source) if reverse else (source, target)
    pair = [_load(path, g_ema_only=True).g_ema for path in paths]
    mapping = "target" if reverse else "source"  # of the pair; SOURCE's in either case
    swapped = layer_swapping.swap(*pair, resolution, width, mapping)
    if kind == ".pt":
        _save_swapped(out, swapped, paths, half, resolution=resolution, width=width, mapping=mapping)
    else:
        _draw_swapped(out, dict(zip(names, pair, strict=True)), swapped, numbers, truncation, strip)


def _save_swapped(out: Path, swapped, paths: tuple[Path, Path], half: bool, **settings) -> None:
    """The new generator in a file that says what it was made of."""
    from stylegan2 import checkpoints

    below, above = map(str, paths)
    checkpoints.save(out, g_ema=swapped, half=half, meta={"swapped": {"source": below, "target": above} | settings})
    typer.echo(f"{out}: {below} below {settings['resolution']} px, {above} from there on")


def _draw_swapped(out: Path, pair: dict, swapped, seeds: list[int], truncation: float, strip: bool) -> None:
    """The same codes through one model, the swapped one and the other, or through every hard cut."""
    from stylegan2 import display
    from stylegan2.editing import layer_swapping
    from stylegan2.editing.latents import draw, ws_from_seeds

    ws = ws_from_seeds(swapped, seeds, truncation)
    (first, below), (last, above) = pair.items()
    if strip:
        rows = layer_swapping.strip(below, above, ws, names=(first, last))
    else:
        rows = {first: draw(below, ws), "swapped": draw(swapped, ws), last: draw(above, ws)}
    typer.echo(f"{len(seeds)} faces in {display.save(display.rows(rows), out)}")


@app.command()
def describe(checkpoint: CheckpointPath) -> None:
    """Say what a checkpoint holds: networks, sizes, history.

    \b
    Example:
      python -m stylegan2 describe checkpoints/pocket/photo.pt
    """
    from stylegan2 import checkpoints

    found = _load(checkpoint)
    shown = {"format", "resolution", "parameters", "images"}  # by checkpoints.describe
    rest = [f"{key:>10}: {_short(value)}" for key, value in found.info.items() if key not in shown]
    typer.echo("\n".join([str(checkpoint), checkpoints.describe(found), *rest]))


def _short(value) -> str:
    """A value of `info` in one line: the first few of many."""
    if not isinstance(value, list | tuple):
        return str(value)
    more = f" and {len(value) - 4} more" if len(value) > 4 else ""
    return (", ".join(map(str, value[:4])) or "none") + more


@app.command()
def convert(
    checkpoint: CheckpointPath,
    out: Annotated[Path, typer.Argument(metavar="OUT.pt", help="File to write, in the layout of rosinality's code.")],
) -> None:
    """Write a checkpoint for tools that read the layout of rosinality/stylegan2-pytorch.

    \b
    Example:
      python -m stylegan2 convert checkpoints/pocket/photo.pt photo_rosinality.pt
    """
    from stylegan2 import checkpoints

    found = _load(checkpoint)
    checkpoints.export(out, found)
    parts = ["g_ema", *[part for part in ("g", "d") if getattr(found, part) is not None]]
    typer.echo(f"{out}: {', '.join(parts)} in rosinality's layout")


@app.command()
def metrics(
    checkpoint: CheckpointPath,
    domain: Annotated[
        str | None, typer.Option(help="Pocket: rendered faces to compare with, photo, webtoon, storybook or portrait.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Full scale: real images to compare with: dataset, folder or .zip.")
    ] = None,
    source: Annotated[
        Path | None, typer.Option(help="Model it was fine-tuned from: how much structure is left?")
    ] = None,
    faces: Annotated[int, typer.Option(help="Pocket: generated, and as many rendered ones.")] = 1000,
    judge: Annotated[Path, typer.Option(help="Pocket: the network that reads faces.")] = Path(
        "checkpoints/pocket/judge.pt"
    ),
    measure: Annotated[
        list[str] | None,
        typer.Option(
            help="Full scale: fid, kid, pr (precision and recall), ppl (path length), structure (to --source); repeat "
            "for several. [default: fid, kid, pr]"
        ),
    ] = None,
    images: Annotated[int, typer.Option(help="Full scale: generated; ppl 5,000 pairs, structure 1,000.")] = 50_000,
    weights: Annotated[
        Path | None,
        typer.Option(help="Full scale: Inception's file, or a folder with those of all networks. [default: fetch]"),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Full scale: write the numbers here too (FILE.json).")] = None,
    batch: Annotated[int, typer.Option(help="Full scale: images at once.")] = 32,
    device: Device = "auto",
) -> None:
    """Measure a model.

    A pocket model by the judge (--domain): distance to rendered faces, repeats, attributes, landmark error. At full
    scale (--data, --measure) by the networks that papers use: FID, KID, precision and recall, path length, structure
    distance; these need the packages of the extra `full`, and weights that are fetched once.

    \b
    Examples:
      python -m stylegan2 metrics checkpoints/pocket/photo.pt --domain photo
      python -m stylegan2 metrics runs/webtoon --domain webtoon --source checkpoints/pocket/photo.pt
      python -m stylegan2 metrics runs/disney --data data/disney.lmdb --out runs/disney/metrics.json
      python -m stylegan2 metrics runs/disney --measure ppl --measure structure --source ffhq256.pt
    """
    full_scale = data is not None or bool(measure)
    if full_scale == (domain is not None):
        raise ValueError("give either --domain (a pocket model, by the judge), or --data or --measure (full scale)")
    if full_scale:
        _measure_in_full(checkpoint, data, source, measure, images, weights, out, batch, _device(device))
    elif weights or out:
        raise ValueError("--weights and --out are for full scale: give --data instead of --domain")
    else:
        _measure_by_judge(checkpoint, domain, source, faces, judge)


def _measure_by_judge(checkpoint: Path, domain: str, source: Path | None, faces: int, judge: Path) -> None:
    from stylegan2 import metrics as measures
    from stylegan2 import recipe
    from stylegan2.judge import Judge

    reader = Judge.load(judge)
    g = _load(checkpoint, g_ema_only=True).g_ema
    reference = measures.rendered_reference(reader, domain, faces)
    reading = reader.read(recipe.generate(g, faces))
    for measure in (measures.measure_pocket_distance, measures.repeats, measures.attribute_coverage):
        typer.echo(measure(reader, reading, reference))
    for same in ("w", "z") if source else ():
        pair = recipe.paired(_load(source, g_ema_only=True).g_ema, g, faces, same)
        typer.echo(f"same {same}: {measures.measure_landmark_error(reader, *pair, 'photo', domain)}")


def _measure_in_full(checkpoint, data, source, measure, images, weights, out, batch, device) -> None:
    from stylegan2.metrics import full

    chosen = tuple(measure or full.COMPARED)
    if images < 1 or batch < 1:
        raise ValueError(f"images is {images}, batch is {batch}, expected at least 1")
    if source is not None and "structure" not in chosen:
        raise ValueError("--source is for --measure structure, which was not asked for")
    if out is not None:  # before hours of work, not after
        _make_room(out)
    g = _load(checkpoint, device, g_ema_only=True).g_ema
    real = None if data is None else full.open_images(data, g.resolution)
    other = None if source is None else _load(source, device, g_ema_only=True).g_ema
    found = full.measure_generator(g, chosen, real, other, images, weights, batch)
    typer.echo(full.format_results(found))
    if out is not None:
        given = {"checkpoint": str(checkpoint), "data": data, "source": source and str(source)}
        _write_json(out, {name: value for name, value in given.items() if value} | found)


@app.command()
def pocket(
    steps: Annotated[
        list[str] | None, typer.Argument(metavar="[STEP]...", help="Steps to make. [default: all]")
    ] = None,
    photo_images: Annotated[
        int | None, typer.Option(help="Length of the source's training. [default: recipe's]")
    ] = None,
    webtoon_images: Annotated[int | None, typer.Option(help="Length of the fine-tuning. [default: recipe's]")] = None,
    force: Annotated[bool, typer.Option("--force", help="Make also what is there already.")] = False,
) -> None:
    """Rebuild the shipped pocket models in checkpoints/pocket/: judge, photo, webtoon, report.

    Run it in the folder of the course. Steps whose result is there are skipped; an interrupted one goes on where it
    was. To train from nothing again, delete build/pocket/ and use --force.

    \b
    Examples:
      python -m stylegan2 pocket
      python -m stylegan2 pocket photo --photo-images 50000 --force
    """
    from stylegan2 import recipe

    unknown = [step for step in steps or [] if step not in recipe.STEPS]
    if unknown:
        raise ValueError(f"no step {unknown[0]!r}; the steps are: {', '.join(recipe.STEPS)}")
    lengths = {"photo_images": photo_images, "webtoon_images": webtoon_images}
    chosen = recipe.Recipe(**{name: value for name, value in lengths.items() if value is not None})
    made = []
    for step in [name for name in recipe.STEPS if not steps or name in steps]:
        result = pocket_result(chosen.shipped, step)
        stale = step == "report" and made  # it describes the others
        if result.exists() and not force and not stale:
            typer.echo(f"{step}: {result} is there (--force makes it again)")
            continue
        typer.echo(f"{step} -> {result}")
        recipe.STEPS[step](chosen)
        made.append(step)


def pocket_result(folder: Path, step: str) -> Path:
    """The file that a step of the recipe leaves when it is done."""
    return folder / {"webtoon": "webtoon_baseline.pt", "report": "report.json"}.get(step, f"{step}.pt")


# ----------------------------------------------------------------------------------------------------------- helpers


def _load(path: Path, device="cpu", g_ema_only: bool = False) -> Checkpoint:
    """A checkpoint; of a run's folder the newest readable snapshot."""
    from stylegan2 import checkpoints
    from stylegan2.training import snapshots

    if path.is_dir():
        newest = snapshots.latest(path)
        if newest is None:
            raise FileNotFoundError(
                f"'{path}' is a folder without readable snapshots/: expected a file or a run's folder"
            )
        path = newest
    return checkpoints.load(path, device=device, g_ema_only=g_ema_only)


def _make_room(path: Path) -> None:
    """Make the folder of a file that will be written. Raises ValueError where a folder has the file's name."""
    if path.is_dir():
        raise ValueError(f"'{path}' is a folder: expected the name of a file to write")
    path.parent.mkdir(parents=True, exist_ok=True)


def _write_json(path: Path, content: dict) -> None:
    """Write a JSON file so that it holds all of this or what it held before."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(part, path)


def _device(name: str):
    """Where to compute."""
    from stylegan2.runtime import pick_device

    return pick_device(name)


def main() -> None:
    """Entry point of `python -m stylegan2` and of the console script."""
    app(prog_name="stylegan2")


if __name__ == "__main__":
    main()
