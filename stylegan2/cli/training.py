"""Dataset to model: `train`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stylegan2.cli.common import INTERRUPTED, Device, app, check_writable, existing, existing_data, load, on_device
from stylegan2.cli.methods import chosen_methods, refuse_without_source
from stylegan2.config import TrainConfig
from stylegan2.files import counted

if TYPE_CHECKING:
    from stylegan2.trainer import Trainer

SIZE = 64  # pixels of images that are prepared here, where neither --size nor a source says it
COPY = "the copy of the source's mapping (G.mapping.source)"


@app.command()
def train(
    ctx: typer.Context,
    data: Annotated[
        str,
        typer.Option(
            help="Dataset of `prepare`; or a folder or .zip of images, or pocket:webtoon, prepared beside OUT.",
            show_default=False,
            callback=existing_data,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the run.", show_default=False)],
    images: Annotated[int, typer.Option(help="Length of the run, in images shown.")] = TrainConfig.images,
    source: Annotated[
        Path | None, typer.Option(help="Checkpoint to fine-tune (with a discriminator).", callback=existing)
    ] = None,
    preset: Annotated[str, typer.Option(help="Size of new networks without --source: pocket, config-f.")] = "pocket",
    size: Annotated[int | None, typer.Option(help="Resolution. [default: --source's; else the dataset's]")] = None,
    method: Annotated[
        str | None,
        typer.Option(help="How to fine-tune: baseline, freeze-g, freeze-style, freeze-sg, structure-loss, ..."),
    ] = None,
    freeze_d: Annotated[int | None, typer.Option(help="Freeze D's layers at this resolution and above.")] = None,
    freeze_g: Annotated[int | None, typer.Option(help="Freeze G's blocks up to this resolution.")] = None,
    freeze_mapping: Annotated[
        bool | None, typer.Option(help="--freeze-g freezes the mapping too, or not. [default: it does]")
    ] = None,
    freeze_style: Annotated[int | None, typer.Option(help="Take so many codes from the source's mapping.")] = None,
    freeze_fc: Annotated[bool, typer.Option("--freeze-fc", help="Take all codes from it.")] = False,
    structure_loss: Annotated[float | None, typer.Option(help="Weight of StructureLoss (the paper: 1).")] = None,
    structure_at: Annotated[str | None, typer.Option(help="Resolutions it compares. [default: 4,8,16]")] = None,
    structure_on: Annotated[
        str | None, typer.Option(help="What it compares: rgb (running sums) or features. [default: rgb]")
    ] = None,
    structure_relative: Annotated[
        bool, typer.Option("--structure-relative", help="Divide each resolution's term by the source's variance there.")
    ] = False,
    original: Annotated[
        str | None,
        typer.Option(help="Flags of Cartoon-StyleGAN's train.py, in quotes, in place of --method and its switches."),
    ] = None,
    batch: Annotated[int, typer.Option(help="Images per iteration, over all processes.")] = TrainConfig.batch,
    accumulate: Annotated[
        int, typer.Option(help="Compute each share of a batch in so many parts: less memory, same result.")
    ] = TrainConfig.accumulate,
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
    precision: Annotated[
        str, typer.Option(help="auto (what the machine is fast in), float32, bfloat16 or float16.")
    ] = TrainConfig.precision,
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

    Resume a run by giving the same command again; it goes on exactly where it was, and beyond its end with a larger
    --images. Ctrl-C saves and stops. The folder
    gets config.json, log.csv, samples/ (always the same faces) and snapshots/. Several GPUs, or machines: start it with
    torchrun; --batch stays what it is and is shared among the processes.

    What a fine-tuned model keeps of its source is said by --method, by single switches, or both: a switch changes the
    method's own setting, or adds to the method. FreezeSG is --freeze-g 8 --no-freeze-mapping --freeze-style 4. With
    --original the flags of the original code say it; other options given beside it win over what it says.

    \b
    Examples:
      python -m stylegan2 train --data data/webtoon.lmdb --out runs/webtoon \\
          --source checkpoints/pocket/photo.pt --method freeze-sg --images 24000
      python -m stylegan2 train --data data/webtoon.lmdb --out runs/structure \\
          --source checkpoints/pocket/photo.pt --freeze-d 32 --structure-loss 2 --structure-at 4,8
      python -m stylegan2 train --data pocket:webtoon --out runs/original \\
          --source checkpoints/pocket/photo.pt --original "--freezeG=4 --freezeD=3 --augment"
      python -m stylegan2 train --data my_faces/ --out runs/faces --size 64 --images 200000
      torchrun --nproc_per_node=2 --max-restarts=3 -m stylegan2 train --data data/faces.lmdb --out runs/faces
    """
    names = {field.name for field in dataclasses.fields(TrainConfig)}
    chosen = {name: value for name, value in ctx.params.items() if name in names}
    if original is not None:
        from stylegan2.cli import original_flags

        flags, settings = original_flags.read(original)
        chosen |= {k: v for k, v in settings.items() if ctx.get_parameter_source(k).name != "COMMANDLINE"}
    config = TrainConfig(**chosen, fine_tune=source is not None)
    check_writable(config.out if isinstance(config.out, Path) else Path(config.out))
    from stylegan2.distributed import joined

    with joined() as world:
        trainer = _make_trainer(config, data, source, preset, size, ctx.params, on_device(device))
        resumed = trainer.resume()
        if world.is_first:
            if original is not None:
                _say_original(flags, {name: chosen[name] for name in settings})
            _say_start(trainer, resumed)
        trainer.run()
        if world.is_first:
            _say_end(trainer)
        elif trainer.step < config.steps:
            raise typer.Exit(INTERRUPTED)


def _make_trainer(config, data, source, preset, size, switches, device) -> Trainer:
    """Dataset, networks and methods for a run."""
    from stylegan2 import networks
    from stylegan2.trainer import Trainer

    if source is None:
        refuse_without_source(switches)
        dataset = _dataset(data, size, Path(config.out))
        g, d = networks.build(dataset.resolution, preset, config.seed)
        return Trainer(config, dataset, g, d, methods=chosen_methods(switches, dataset.resolution), device=device)
    found = load(source, device)
    if found.d is None:
        raise ValueError(f"'{source}' has no discriminator, which fine-tuning starts from: use a snapshot of a run")
    methods = chosen_methods(switches, found.g_ema.resolution)
    dataset = _dataset(data, size or found.g_ema.resolution, Path(config.out))
    return Trainer.fine_tune(config, dataset, found, methods, device)


def _dataset(data: str, size: int | None, out: Path):
    """What `--data` names; images and rendered sets are prepared first, once, below `datasets/` beside the run."""
    import stylegan2.pocket.source  # noqa: F401  (rendered sets can be named as sources)
    from stylegan2.data.dataset import LMDBDataset, is_lmdb
    from stylegan2.data.prepare import ensure_lmdb
    from stylegan2.distributed import World

    world, images = World.here(), data.startswith("pocket:") or Path(data).exists()
    if images and not is_lmdb(data):
        if Path(data).resolve() in (out.resolve(), *out.resolve().parents):
            raise ValueError(f"--out '{out}' lies in the folder of your images, and its pictures would become some")
        size, cache = size or SIZE, out.parent / "datasets"
        data = world.of_first(str(ensure_lmdb(data, cache, size)) if world.is_first else None)
    return LMDBDataset(data, size, cache=True)


def _say_original(flags: dict, settings: dict) -> None:
    from stylegan2.cli import original_flags

    for line in original_flags.differences(**flags):
        typer.echo(f"original: {line}")
    typer.echo(f"original: {', '.join(f'{name} {value}' for name, value in settings.items())}")


def _say_start(trainer: Trainer, resumed: bool) -> None:
    config, size = trainer.config, trainer.world.size
    where = f"{trainer.device}, {size} processes" if size > 1 else trainer.device
    typer.echo(f"{trainer.dataset!r}, {trainer.g.resolution} px, {trainer.precision} on {where}")
    for method in trainer.methods:
        typer.echo(f"method: {method}")
    if trainer.frozen:
        typer.echo(f"frozen: {summary(trainer.frozen)} ({counted(len(trainer.frozen), 'parameter')})")
    if resumed:
        typer.echo(f"resumed at {trainer.images_seen:,} of {config.images:,} images")
        if config.fine_tune and trainer.begun_as != config.images:
            half_life = config.ema_half_life(0, trainer.begun_as)
            typer.echo(f"begun as {trainer.begun_as:,} images: the averaged generator's half-life stays {half_life:,g}")
    typer.echo(f"results: {config.out}/ with log.csv, samples/, snapshots/; Ctrl-C saves and stops")


def summary(names: Sequence[str]) -> str:
    """The modules of parameters, e.g. "D.from_rgb, D.blocks 32 64, G.synthesis.blocks 4 8".

    Of a mapping that shares codes, the source's copy is another module than the generator's own.
    """
    found: dict[str, set[int]] = {}
    for name in names:
        module, block, rest = name.partition(".blocks.")
        if block:
            found.setdefault(f"{module}.blocks", set()).add(int(rest.partition(".")[0]))
        else:
            copied = name.startswith("G.mapping.source.")
            found.setdefault(COPY if copied else ".".join(name.split(".")[:2]), set())
    return ", ".join(" ".join([module, *map(str, sorted(sizes))]) for module, sizes in found.items())


def _say_end(trainer: Trainer) -> None:
    if trainer.step < trainer.config.steps:
        typer.echo(
            f"stopped at {trainer.images_seen:,} images and saved; the same command goes on from there", err=True
        )
        raise typer.Exit(INTERRUPTED)
    typer.echo(f"done: {trainer.images_seen:,} images; a larger --images goes on from here. Faces from it:")
    typer.echo(f"  python -m stylegan2 generate {trainer.config.out} --seeds 0-31 --out faces.png")
