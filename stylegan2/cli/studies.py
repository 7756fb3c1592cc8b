"""How good is a model, and what is shipped, made again: `metrics`, `train-encoder`, `pocket`, `scoreboard`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stylegan2 import files
from stylegan2.cli import common
from stylegan2.cli.common import JUDGE, CheckpointPath, Device, Input, Positive, check_file, existing
from stylegan2.cli.options import Settings, verb

Training = Settings(
    "pocket.nets.encoder_training",
    "EncoderConfig",
    only=("images", "batch", "faces", "psi", "seed"),
    psi=typer.Option("--truncation", help="psi of the generated ones."),
    seed=typer.Option(help="Of weights, faces and their order."),
)
Lengths = Settings(
    "pocket.recipe",
    "Recipe",
    only=("target_images", "device"),
    target_images=typer.Option(help="Length of each fine-tuning."),
)
Compared = Settings(
    "pocket.studies.scoreboard",
    "Study",
    without=("batch",),
    source=typer.Option(callback=existing),
    judge=typer.Option(callback=existing),
    images=typer.Option(min=1, help="Length of every training."),
    faces=typer.Option(min=2),
)


@verb()
def metrics(
    checkpoint: CheckpointPath,
    domain: str | None = None,  # Pocket: rendered faces to compare with, photo, webtoon, storybook or portrait.
    data: str | None = None,  # Full scale: real images to compare with: dataset, folder or .zip.
    source: Input = None,  # Model it was fine-tuned from: how much structure is left?
    faces: int = 1000,  # Pocket: generated, and as many rendered ones.
    judge: Input = JUDGE,  # Pocket: the network that reads faces.
    measure: list[str] | None = None,  # Full scale: fid, kid, pr (precision and recall), ppl (path length), structure
    # (to --source); repeat for several. [default: fid, kid, pr]
    images: Positive = 50_000,  # Full scale: generated; ppl 5,000 pairs, structure 1,000.
    weights: Path | None = None,  # Full scale: Inception's file, or a folder of all networks'. [default: fetch]
    out: Path | None = None,  # Full scale: write the numbers here too (FILE.json).
    structure_signal: bool = False,  # Any model: what StructureLoss can see in it. Needs nothing else.
    batch: Positive = 32,  # Full scale: images at once.
    device: Device = "auto",
) -> None:
    """Measure a model.

    A pocket model by the judge (--domain): distance to rendered faces, repeats, attributes, and what is kept of its
    source's people. At full scale (--data, --measure) by the networks that papers use: FID, KID, precision and recall,
    path length, structure distance; these need the packages of the extra `full`, and weights that are fetched once.
    Any model: how much its RGB sums at low resolutions vary (--structure-signal), which is what StructureLoss compares.

    \b
    Examples:
      python -m stylegan2 metrics runs/webtoon --domain webtoon --source checkpoints/pocket/photo.pt
      python -m stylegan2 metrics runs/disney --data data/disney.lmdb --out runs/disney/metrics.json
      python -m stylegan2 metrics runs/disney --measure ppl --measure structure --source ffhq256.pt
      python -m stylegan2 metrics --structure-signal checkpoints/pocket/photo.pt
    """
    full_scale = data is not None or bool(measure)
    if structure_signal:
        if full_scale or domain or source or weights or out:
            raise ValueError("--structure-signal needs a model and nothing else: leave out the other options")
        from stylegan2.metrics.structure_signal import measure_structure_signal

        typer.echo(measure_structure_signal(common.generator(checkpoint, device)))
        return
    if full_scale == (domain is not None):
        raise ValueError("give either --domain (a pocket model, by the judge), or --data or --measure (full scale)")
    if full_scale:
        _measure_in_full(checkpoint, data, source, measure, images, weights, out, batch, device)
    elif weights or out:
        raise ValueError("--weights and --out are for full scale: give --data instead of --domain")
    else:
        _measure_by_judge(checkpoint, domain, source, faces, judge, device)


def _measure_by_judge(checkpoint: Path, domain: str, source: Path | None, faces: int, judge: Path, device: str) -> None:
    from stylegan2.pocket import measures, recipe
    from stylegan2.pocket.likeness import LikenessRuler
    from stylegan2.pocket.nets.judge import Judge

    reader, g = Judge.load(judge, device), common.generator(checkpoint, device)
    start = source and common.generator(source, device)
    reference = measures.rendered_reference(reader, domain, faces)
    reading = reader.read(recipe.generate(g, faces))
    for measure in (measures.measure_pocket_distance, measures.repeats, measures.attribute_coverage):
        typer.echo(measure(reading, reference))
    if start is None:
        return
    kept, ruler = {}, LikenessRuler.make(reader, "photo", domain, faces)
    for same in ("w", "z"):
        pair = [reader.read(images) for images in recipe.paired(start, g, faces, same)]
        typer.echo(f"same {same}: {measures.measure_landmark_error(reader, *pair, 'photo', domain)}")
        kept[same] = measures.measure_attribute_agreement(reader, *pair, "photo", domain)
        share = f"of the attributes that can be kept, {kept[same].mean():.2f} is (1: all, 0: as by chance)"
        typer.echo(f"same {same}: {share}")
        typer.echo(f"same {same}: {ruler.measure(*pair)}")
    typer.echo(f"\nby attribute, same w\n{kept['w']}")


def _measure_in_full(checkpoint, data, source, measure, images, weights, out, batch, device) -> None:
    import stylegan2.pocket  # noqa: F401  (rendered sets can be named as sources)
    from stylegan2.metrics import full, image_sets

    chosen = tuple(measure or full.COMPARED)
    if source is not None and "structure" not in chosen:
        raise ValueError("--source is for --measure structure, which was not asked for")
    if out is not None:  # before hours of work, not after
        check_file(out)
    g = common.generator(checkpoint, device)
    real = data and image_sets.open_images(data, g.resolution)
    other = source and common.generator(source, device)
    results = full.measure_generator(g, chosen, real, other, images, weights, batch)
    typer.echo(full.format_results(results))
    if out is not None:
        given = {"checkpoint": str(checkpoint), "data": data, "source": source and str(source)}
        files.write_json(out, {name: value for name, value in given.items() if value} | results)


@verb("train-encoder")
def train_encoder(
    checkpoint: CheckpointPath,
    *,
    out: Path,  # FILE.pt for the encoder; FILE.json: what it can.
    settings: Training,
    judge: Input = JUDGE,  # What compares faces.
    scratch: Path = Path("build/encoder"),  # Folder for an unfinished training.
    device: Device = "auto",
) -> None:
    """Train an encoder for a pocket model: from an image straight to codes (arXiv 2004.00049). Goes on after a stop.

    \b
    Example:
      python -m stylegan2 train-encoder checkpoints/pocket/photo.pt --out build/encoder.pt --images 20000
    """
    from stylegan2.pocket.nets import encoder_training as module
    from stylegan2.pocket.nets.perceptual import distance_for

    config, numbers = module.EncoderConfig(**settings), check_file(out.with_suffix(".json"))
    check_file(out)
    common.check_folder(scratch)
    g = common.generator(checkpoint, device)
    module.EncoderTraining(config, g, distance_for(g.resolution, judge, device), device).train(out, scratch)
    typer.echo(f"{out}, {numbers}")


@verb()
def pocket(
    steps: Annotated[list[str] | None, typer.Argument(metavar="[STEP]...")] = None,  # Steps to make. [default: all]
    *,
    settings: Lengths,
    force: bool = False,  # Make also what is there already.
) -> None:
    """Rebuild the shipped pocket models in checkpoints/pocket/: judge, lessons, source, targets, scoreboard, report.

    Run it in the folder of the course. Steps whose result is there are skipped; an interrupted one goes on where it
    was. To train from nothing again, delete build/pocket/ and use --force.

    \b
    Example:
      python -m stylegan2 pocket scoreboard report --force
    """
    from stylegan2.pocket import recipe

    if unknown := [step for step in steps or [] if step not in recipe.STEPS]:
        raise ValueError(f"no step {unknown[0]!r}; the steps are: {', '.join(recipe.STEPS)}")
    chosen, made = recipe.Recipe(**settings), []
    common.check_folder(chosen.shipped)
    common.check_folder(chosen.work)
    for step in [name for name in recipe.STEPS if not steps or name in steps]:
        result = recipe.result(chosen, step)
        stale = step == "report" and made  # it describes the others
        if result.exists() and not force and not stale:
            typer.echo(f"{step}: {result} is there (--force makes it again)")
            continue
        typer.echo(f"{step} -> {result}")
        recipe.STEPS[step](chosen)
        made.append(step)


@verb()
def scoreboard(
    domain: list[str] | None = None,  # Target domains; repeat. [default: all three]
    *,
    seeds: str = "0",  # One training of each for every seed, such as 0-2.
    sweep: bool = False,  # Compare the methods' settings, not the methods.
    out: Path | None = None,  # File for the rows (JSON); a picture goes beside it.
    settings: Compared,
) -> None:
    """Compare all methods at pocket scale: each trained alike, then what is kept of a face, and how good cartoons are.

    A training takes about 7 minutes on two cores, measuring it about 2 more. Every training leaves its numbers in
    WORK, and the same command goes on from there.

    \b
    Examples:
      python -m stylegan2 scoreboard --domain webtoon --seeds 0-2
      python -m stylegan2 scoreboard --sweep --out sweeps.json
      python -m stylegan2 scoreboard --device cuda
    """
    from stylegan2 import display
    from stylegan2.editing import figures
    from stylegan2.pocket.studies import scoreboard as board
    from stylegan2.pocket.studies import scoreboard_view as view

    domains, numbers = tuple(domain or board.TARGETS), common.parse_seeds(seeds)
    if unknown := [name for name in domains if name not in board.TARGETS]:
        raise ValueError(f"no target domain {unknown[0]!r}; there are: {', '.join(board.TARGETS)}")
    study = board.Study(**settings)
    common.check_folder(study.work)
    if out is not None:
        check_file(out)
        check_file(out.with_suffix(".jpg"))
    swept = [entry for name in domains for entry in board.sweep_study(name, numbers)]
    rows = board.rows(board.run(study, swept if sweep else board.methods_study(domains, numbers)))
    for name in domains:
        typer.echo(f"\n{name}\n" + view.table(rows, name, board.SWAPS))
    if out is not None:
        files.write_json(out, rows)
        picture = display.save(figures.to_pil(view.scatter(rows)), out.with_suffix(".jpg"))
        typer.echo(f"\n{files.counted(len(rows), 'row')} in {out}, {picture}")
