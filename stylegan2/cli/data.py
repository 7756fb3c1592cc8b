"""From the web to datasets and published models: `crawl`, `crop`, `prepare`, `inspect`, `download`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stylegan2.cli import common
from stylegan2.cli.common import existing, existing_data
from stylegan2.cli.options import Settings, verb

What = Settings(
    "collect.crawl",
    "CrawlConfig",
    rights_confirmed=typer.Option("--i-have-the-rights"),
    site=typer.Option(help="webtoons, naver or images. [default: by the address]"),
)
How = Settings("collect.polite", "Manners", only=("delay", "contact"))
Cut = Settings(
    "collect.crops",
    "CropConfig",
    detector=typer.Option(help="animeface: drawn faces; pocket: rendered pages; photo: photos; auto: by looking."),
    cascade=typer.Option(help="The detector's file, instead of fetching it."),
    sure=typer.Option("--confidence", help="Least score of a face, 0 to 1. [default: the detector's own]"),
    lift=typer.Option("--shift-up"),
)


@verb()
def crawl(
    url: Annotated[str, typer.Argument(metavar="URL")],  # A title's list, one episode, or any page with pictures.
    *,
    config: What,
    episodes: str | None = None,  # Numbers of the first and the last, such as 1-3.
    manners: How,
    image_hosts: Annotated[list[str], typer.Option("--image-host")] = (),  # HOST of pictures besides its own; repeat.
    allow_local: list[str] = (),  # HOST:PORT of a server of your own; others inside your network are refused.
) -> None:
    """Collect the pages of a webtoon, politely, if you may. Goes on where it stopped.

    One request at a time with a pause, robots.txt obeyed, an honest name; whoever refuses is left alone. What came from
    where stands in OUT/manifest.jsonl. Return code 1 where some of it did not come, 2 where nothing did.

    \b
    Examples:
      python -m stylegan2 crawl "https://www.webtoons.com/en/GENRE/TITLE/list?title_no=NUMBER" --out pages \\
          --i-have-the-rights --episodes 1-3
      python -m stylegan2 crawl https://example.org/art --out pages --i-have-the-rights --site images --limit 20 \\
          --image-host img.example.org
    """
    from stylegan2.collect import crawl as module
    from stylegan2.collect.polite import Manners

    polite = Manners(**manners, allow_local=frozenset(allow_local))
    wanted = {"url": url, "episodes": parse_span(episodes), "image_hosts": tuple(image_hosts), "manners": polite}
    report = module.crawl(module.CrawlConfig(**config | wanted))
    typer.echo(report.summary)
    for reason in report.reasons:
        typer.echo(reason, err=True)
    if not report.stored + report.known:
        small = f" ({report.too_small} are smaller than --min-side {config['min_side']})" * bool(report.too_small)
        raise ValueError(f"{url}: no picture came of it{small}" + ": see above" * bool(report.refused))
    common.end([address for address, _ in report.refused])


def parse_span(text: str | None) -> tuple[int, int] | None:
    """ "1-3" or "2" as first and last. Raises ValueError for anything else."""
    if text is None:
        return None
    first, dash, last = (part.strip() for part in text.partition("-"))
    if not first.isdecimal() or (dash and not last.isdecimal()):
        raise ValueError(f"episodes {text!r}: expected a number, or a first and a last one such as 1-3")
    return int(first), int(last or first)


@verb()
def crop(
    src: Annotated[Path, typer.Argument(metavar="SRC", callback=existing)],  # Folder or .zip of pages, or one picture.
    *,
    out: Path,  # Folder to write: faces/, rejected/, a contact sheet, a manifest.
    config: Cut,
    overwrite: bool = False,  # Begin anew with other settings.
) -> None:
    """Find the faces on pages and cut them out. Goes on where it stopped; new pages can be added.

    Look at OUT/contact_sheet.jpg: what was kept, and what was left out and why. OUT/faces is what `prepare` takes.

    \b
    Examples:
      python -m stylegan2 crop pages.zip --out crops --size 512 --min-size 96
      python -m stylegan2 prepare crops/faces --out data/mine.lmdb
    """
    from stylegan2.collect import crops

    common.check_folder(out)
    report = crops.crop(src, out, crops.CropConfig(**config), overwrite)
    typer.echo(str(report))
    prepare = f"python -m stylegan2 prepare {out / crops.FACES} --out data/mine.lmdb --size {config['size']}"
    typer.echo(f"look at {out / crops.SHEET}; next: {prepare}")
    common.end([name for name, _ in report.skipped])


@verb()
def prepare(
    src: Annotated[str, typer.Argument(metavar="SRC", callback=existing_data)],  # Folder, .zip, or rendered set
    # (pocket:webtoon?n=1000).
    *,
    out: Path,  # Folder of the dataset (LMDB) to write.
    sizes: Annotated[list[int] | None, typer.Option("--size")] = None,  # Side in pixels; repeat for several sizes.
    # [default: that of the pocket models]
    workers: int = 2,  # Images worked on at once; 0: one after the other.
    format: str | None = None,  # jpeg, or png (no loss). [default: jpeg; png if rendered]
    quality: int = 100,  # JPEG quality, 1 to 100.
    crop: bool = True,  # Take the centre square, or squeeze the whole picture into one.
    limit: int | None = None,  # Take only so many images.
    overwrite: bool = False,  # Replace another dataset at --out.
) -> None:
    """Turn images into a dataset for training.

    The same command goes on where an interrupted one stopped. Files that are no images are skipped and listed,
    and the return code is 1.

    \b
    Examples:
      python -m stylegan2 prepare faces.zip --out data/faces.lmdb --size 128 --size 256 --workers 8
      python -m stylegan2 prepare pocket:webtoon --out data/webtoon.lmdb
    """
    from stylegan2.data import prepare as module
    from stylegan2.pocket import world  # with it, rendered sets can be named as sources

    common.check_folder(out)
    settings = {"workers": workers, "crop": crop, "limit": limit, "overwrite": overwrite}
    report = module.prepare(src, out, tuple(sizes or [world.SIZE]), quality, format, **settings)
    typer.echo(str(report))
    common.end([name for name, _ in report.skipped])


@verb()
def inspect(
    path: Annotated[str, typer.Argument(metavar="PATH", callback=existing_data)],  # A dataset made by `prepare`.
) -> None:
    """Say what a dataset holds: number, sizes, format, colours.

    \b
    Example:
      python -m stylegan2 inspect data/webtoon.lmdb
    """
    import stylegan2.pocket  # noqa: F401  (rendered sets are told from files)
    from stylegan2.data import dataset

    typer.echo(dataset.inspect(path))


@verb()
def download(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME...]")] = None,  # Models; none: say what there is.
    dataset: str | None = None,  # Pictures instead, to data/: metfaces or ukiyoe.
    everything: Annotated[bool, typer.Option("--all")] = False,  # All twelve.
    out: Path = Path("checkpoints/full"),  # Folder for the files and their hashes.
    mirror: str | None = None,  # A folder or address that has them. [default: COURSE_MIRROR, else Google Drive]
) -> None:
    """Fetch the published models of full scale (256 pixels). Goes on where it was cut off; checks what is there.

    Their publishers give no hashes and no licence: SHA-256 is written down at the first download and checked ever
    after; take them as for research only.

    \b
    Examples:
      python -m stylegan2 download ffhq256 NaverWebtoon_FreezeSG
      python -m stylegan2 download --all --mirror /path/with/the/files
      python -m stylegan2 download --dataset metfaces
    """
    from stylegan2.published import sets
    from stylegan2.published.zoo import MODELS, Zoo

    if dataset is not None:
        if names or everything:
            raise ValueError("--dataset fetches pictures, a NAME or --all models: one at a time")
        common.check_folder(Path("data"))
        path = sets.fetch(dataset, "data")
        typer.echo(f"licence: {sets.SETS[dataset].licence}")
        typer.echo(f"{path}; next: python -m stylegan2 prepare {path} --out data/{dataset}.lmdb --size 256")
        return
    common.check_folder(out)
    zoo = Zoo(out, mirror)
    wanted = list(MODELS) if everything else names or []
    for name in wanted:
        zoo.path(name)  # an unknown one is said before anything is fetched
    left_out = []
    for name in wanted:
        with common.leaving_out(name, left_out, alone=len(left_out) == len(wanted) - 1):  # nothing came of it
            typer.echo(str(zoo.fetch(name)))
    common.end(left_out)
    if not wanted:
        wide = max(map(len, MODELS))
        for name, model in MODELS.items():
            typer.echo(f"{name:{wide}}  {'here' if zoo.has(name) else '-':4}  {model.course}")
        for name, known in sets.SETS.items():
            typer.echo(f"--dataset {name}: {known.description}; {known.licence}")
