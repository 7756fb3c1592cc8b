"""Dataset to model: `train`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stylegan2.cli.common import INTERRUPTED, Device, Input, check_folder, existing_data, load, stop
from stylegan2.cli.options import Settings, verb
from stylegan2.config import TrainConfig
from stylegan2.files import counted

if TYPE_CHECKING:
    from stylegan2.trainer import Trainer
    from stylegan2.transfer import Method

COPY = "the copy of the source's mapping (G.mapping.source)"
Run = Settings("config", "TrainConfig", without=("fine_tune",))


@verb()
def train(
    ctx: typer.Context,
    *,
    data: Annotated[str, typer.Option(callback=existing_data)],  # Dataset of `prepare`; or a folder or .zip of images,
    # or pocket:webtoon, prepared beside OUT.
    source: Input = None,  # Checkpoint to fine-tune (with a discriminator).
    method: str | None = None,  # How to fine-tune: baseline, freeze-g, freeze-style, freeze-sg, structure-loss,
    # structure-loss-paper, ..., or parts in quotes: "FreezeD(64), FreezeSG(16, 6)".
    original: str | None = None,  # Flags of Cartoon-StyleGAN's train.py, in quotes, in place of --method.
    preset: str = "pocket",  # Size of new networks without --source: pocket, config-f.
    size: int | None = None,  # Resolution. [default: --source's, else the dataset's, else the pocket models']
    settings: Run,
    device: Device = "auto",
) -> None:
    """Train a model from scratch, or fine-tune one with --source.

    Resume a run by giving the same command again; it goes on exactly where it was, and beyond its end with a larger
    --images. Ctrl-C saves and stops. The folder gets config.json, log.csv, samples/ (always the same faces) and
    snapshots/. Several GPUs, or machines: start it with torchrun; --batch is shared among the processes.

    What a fine-tuned model keeps of its source is said by --method: its names are what the course compares, and its
    parts are written as the run prints them: FreezeD(R), FreezeG(R), FreezeStyle(K), FreezeFC(), FreezeSG(R, K),
    StructureLoss(). With --original the flags of the original code say it; options given beside it win.

    \b
    Examples:
      python -m stylegan2 train --data data/webtoon.lmdb --out runs/webtoon \\
          --source checkpoints/pocket/photo.pt --method freeze-sg --images 10000
      python -m stylegan2 train --data data/webtoon.lmdb --out runs/structure \\
          --source checkpoints/pocket/photo.pt --method "FreezeD(64), StructureLoss((4, 8), weight=2)"
      python -m stylegan2 train --data pocket:webtoon --out runs/original \\
          --source checkpoints/pocket/photo.pt --original "--freezeG=4 --freezeD=3 --augment"
      torchrun --nproc_per_node=2 --max-restarts=3 -m stylegan2 train --data data/faces.lmdb --out runs/faces
    """
    flags, notes = None, []
    if original is not None:
        from stylegan2.cli import original_flags

        if method is not None:
            raise ValueError("--original says what is frozen, and so does --method: use one of them")
        flags, values = original_flags.read(original)
        settings |= {k: v for k, v in values.items() if ctx.get_parameter_source(k).name != "COMMANDLINE"}
        notes = [*flags.differences(), ", ".join(f"{name} {settings[name]}" for name in values)]
    config = TrainConfig(**settings, fine_tune=source is not None)
    check_folder(Path(config.out))
    from stylegan2.cli.processes import joined

    with joined() as world:
        trainer = _make_trainer(config, data, source, preset, size, method, flags, device)
        resumed = trainer.resume()
        if world.is_first:
            for line in notes:
                typer.echo(f"original: {line}")
            _say_start(trainer, resumed)
        trainer.run()
        if world.is_first:
            _say_end(trainer)
        elif trainer.step < config.steps:
            raise typer.Exit(INTERRUPTED)


def _make_trainer(config, data, source, preset, size, method, flags, device) -> Trainer:
    """Dataset, networks and methods for a run."""
    from stylegan2 import networks, transfer
    from stylegan2.pocket import world
    from stylegan2.pocket.studies.methods import parse
    from stylegan2.runtime import pick_device
    from stylegan2.trainer import Trainer

    def methods(resolution: int) -> list[Method]:
        return flags.methods(resolution) if flags else parse(method, resolution) if method else []

    device = pick_device(device)
    start = source and load(source, device)
    if start and start.d is None:
        raise ValueError(f"'{source}' has no discriminator, which fine-tuning starts from: use a snapshot of a run")
    chosen = methods(start.g_ema.resolution if start else world.SIZE)  # before images are prepared
    if not start and (flags or any(not isinstance(m, transfer.FreezeD) for m in chosen)):
        option = "--original" if flags else "--method"
        raise ValueError(f"{option} keeps something of a trained model: name it with --source")
    dataset = _dataset(data, size or (start and start.g_ema.resolution), Path(config.out))
    if start:
        return Trainer.fine_tune(config, dataset, start, chosen, device)
    g, d = networks.build(dataset.resolution, preset, config.seed)
    return Trainer(config, dataset, g, d, methods=methods(dataset.resolution), device=device)


def _dataset(data: str, size: int | None, out: Path):
    """What `--data` names; images and rendered sets are prepared first, once, below `datasets/` beside the run.

    Without a size, they get that of the pocket world.
    """
    from stylegan2.data.dataset import LMDBDataset, is_lmdb
    from stylegan2.data.prepare import ensure_lmdb
    from stylegan2.distributed import World
    from stylegan2.pocket import world  # with it, rendered sets can be named as sources

    if not is_lmdb(data):
        if Path(data).resolve() in (out.resolve(), *out.resolve().parents):
            raise ValueError(f"--out '{out}' lies in the folder of your images, and its pictures would become some")
        processes, size = World.here(), size or world.SIZE
        data = processes.of_first(str(ensure_lmdb(data, out.parent / "datasets", size)) if processes.is_first else None)
    return LMDBDataset(data, size, cache=True)


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
    """The modules of parameters, e.g. "D.from_rgb, D.blocks 32 64, G.synthesis.blocks 4 8"."""
    modules: dict[str, set[int]] = {}
    for name in names:
        module, _, block = name.partition(".blocks.")
        if block:
            modules.setdefault(f"{module}.blocks", set()).add(int(block.partition(".")[0]))
        else:
            copied = name.startswith("G.mapping.source.")
            modules.setdefault(COPY if copied else ".".join(name.split(".")[:2]), set())
    return ", ".join(" ".join([module, *map(str, sorted(sizes))]) for module, sizes in modules.items())


def _say_end(trainer: Trainer) -> None:
    if trainer.step < trainer.config.steps:
        stop(f"stopped at {trainer.images_seen:,} images and saved; the same command goes on from there")
    typer.echo(f"done: {trainer.images_seen:,} images; a larger --images goes on from here. Faces from it:")
    typer.echo(f"  python -m stylegan2 generate {trainer.config.out} --seeds 0-31 --out faces.png")
