"""How good is a model? `metrics`."""

from __future__ import annotations

from pathlib import Path

import typer

from stylegan2 import files
from stylegan2.cli.common import CheckpointPath, Device, Input, generator, make_room, on_device
from stylegan2.cli.options import verb


@verb()
def metrics(
    checkpoint: CheckpointPath,
    domain: str | None = None,  # Pocket: rendered faces to compare with, photo, webtoon, storybook or portrait.
    data: str | None = None,  # Full scale: real images to compare with: dataset, folder or .zip.
    source: Input = None,  # Model it was fine-tuned from: how much structure is left?
    faces: int = 1000,  # Pocket: generated, and as many rendered ones.
    judge: Input = Path("checkpoints/pocket/judge.pt"),  # Pocket: the network that reads faces.
    measure: list[str] | None = None,  # Full scale: fid, kid, pr (precision and recall), ppl (path length), structure
    # (to --source); repeat for several. [default: fid, kid, pr]
    images: int = 50_000,  # Full scale: generated; ppl 5,000 pairs, structure 1,000.
    weights: Path | None = None,  # Full scale: Inception's file, or a folder of all networks'. [default: fetch]
    out: Path | None = None,  # Full scale: write the numbers here too (FILE.json).
    batch: int = 32,  # Full scale: images at once.
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
        _measure_in_full(checkpoint, data, source, measure, images, weights, out, batch, on_device(device))
    elif weights or out:
        raise ValueError("--weights and --out are for full scale: give --data instead of --domain")
    else:
        _measure_by_judge(checkpoint, domain, source, faces, judge, on_device(device))


def _measure_by_judge(checkpoint: Path, domain: str, source: Path | None, faces: int, judge: Path, device) -> None:
    from stylegan2.pocket import measures, recipe
    from stylegan2.pocket.nets.judge import Judge

    reader, g = Judge.load(judge, device), generator(checkpoint, device)
    start = None if source is None else generator(source, device)
    reference = measures.rendered_reference(reader, domain, faces)
    reading = reader.read(recipe.generate(g, faces))
    for measure in (measures.measure_pocket_distance, measures.repeats, measures.attribute_coverage):
        typer.echo(measure(reader, reading, reference))
    if start is None:
        return
    kept = {}
    for same in ("w", "z"):
        pair = [reader.read(images) for images in recipe.paired(start, g, faces, same)]
        typer.echo(f"same {same}: {measures.measure_landmark_error(reader, *pair, 'photo', domain)}")
        kept[same] = measures.measure_attribute_agreement(reader, *pair, "photo", domain)
    for same, agreement in kept.items():
        share = f"of the attributes that can be kept, {agreement.mean():.2f} is (1: all, 0: as by chance)"
        typer.echo(f"same {same}: {share}")
    typer.echo(f"\nby attribute, same w\n{kept['w']}")


def _measure_in_full(checkpoint, data, source, measure, images, weights, out, batch, device) -> None:
    import stylegan2.pocket  # noqa: F401  (rendered sets can be named as sources)
    from stylegan2.metrics import full, image_sets

    chosen = tuple(measure or full.COMPARED)
    if images < 1 or batch < 1:
        raise ValueError(f"images is {images}, batch is {batch}, expected at least 1")
    if source is not None and "structure" not in chosen:
        raise ValueError("--source is for --measure structure, which was not asked for")
    if out is not None:  # before hours of work, not after
        make_room(out)
    g = generator(checkpoint, device)
    real = None if data is None else image_sets.open_images(data, g.resolution)
    other = None if source is None else generator(source, device)
    results = full.measure_generator(g, chosen, real, other, images, weights, batch)
    typer.echo(full.format_results(results))
    if out is not None:
        given = {"checkpoint": str(checkpoint), "data": data, "source": source and str(source)}
        files.write_json(out, {name: value for name, value in given.items() if value} | results)
