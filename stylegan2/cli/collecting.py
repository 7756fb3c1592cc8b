"""From the web to a folder of faces: `crawl`, `crop`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stylegan2.cli.common import app, check_writable, end, existing


@app.command()
def crawl(
    url: Annotated[str, typer.Argument(metavar="URL", help="A title's list, one episode, or any page with pictures.")],
    out: Annotated[Path, typer.Option(help="Folder for the pictures and their manifest.")],
    rights_confirmed: Annotated[
        bool, typer.Option("--i-have-the-rights", help="You have the consent of those who own the pictures.")
    ] = False,
    site: Annotated[str | None, typer.Option(help="webtoons, naver or images. [default: by the address]")] = None,
    episodes: Annotated[str | None, typer.Option(help="Numbers of the first and the last, such as 1-3.")] = None,
    limit: Annotated[int | None, typer.Option(help="Pictures in all.")] = None,
    delay: Annotated[float, typer.Option(help="Seconds between two requests, at least.")] = 1.0,
    min_side: Annotated[int, typer.Option(help="Smaller pictures are left out, in pixels.")] = 200,
    selector: Annotated[str, typer.Option(help="CSS of the pictures, for the site images.")] = "img",
    image_host: Annotated[
        list[str], typer.Option(help="HOST from which its pictures may come, besides its own; repeat.")
    ] = [],  # noqa: B006
    contact: Annotated[str, typer.Option(help="Your address, for the site's owner: sent along.")] = "",
    allow_local: Annotated[
        list[str], typer.Option(help="HOST:PORT of a server of your own; others inside your network are refused.")
    ] = [],  # noqa: B006
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
      python -m stylegan2 crop pages --out crops --detector animeface
    """
    from stylegan2.collect import crawl as module
    from stylegan2.collect.polite import Manners

    manners = Manners(delay, contact=contact, allow_local=frozenset(allow_local))
    span = parse_span(episodes)
    hosts = tuple(image_host)
    config = module.CrawlConfig(url, out, rights_confirmed, site, span, limit, min_side, selector, manners, hosts)
    report = module.crawl(config)
    typer.echo(report.summary)
    for reason in report.reasons:
        typer.echo(reason, err=True)
    if not report.stored + report.known:
        small = f" ({report.too_small} are smaller than --min-side {min_side})" * bool(report.too_small)
        raise ValueError(f"{url}: no picture came of it{small}" + ": see above" * bool(report.left_out))
    end(report.left_out)


def parse_span(text: str | None) -> tuple[int, int] | None:
    """ "1-3" or "2" as first and last. Raises ValueError for anything else."""
    if text is None:
        return None
    first, dash, last = (part.strip() for part in text.partition("-"))
    if not first.isdecimal() or (dash and not last.isdecimal()):
        raise ValueError(f"episodes {text!r}: expected a number, or a first and a last one such as 1-3")
    return int(first), int(last or first)


@app.command()
def crop(
    src: Annotated[
        Path, typer.Argument(metavar="SRC", help="Folder or .zip of pages, or one picture.", callback=existing)
    ],
    out: Annotated[Path, typer.Option(help="Folder to write: faces/, rejected/, a contact sheet, a manifest.")],
    size: Annotated[int, typer.Option(help="Side of a face's picture in pixels.")] = 256,
    detector: Annotated[
        str, typer.Option(help="animeface: drawn faces; pocket: rendered pages; photo: photos; auto: by looking.")
    ] = "auto",
    cascade: Annotated[str | None, typer.Option(help="The detector's file, instead of fetching it.")] = None,
    sure: Annotated[
        float | None, typer.Option("--confidence", help="Least score of a face, 0 to 1. [default: the detector's own]")
    ] = None,
    margin: Annotated[float, typer.Option(help="Around the face, on each side, in faces.")] = 0.4,
    lift: Annotated[float, typer.Option("--shift-up", help="How far the square is moved up, in faces.")] = 0.25,
    min_size: Annotated[int, typer.Option(help="Smallest face in pixels.")] = 48,
    sharp: Annotated[float, typer.Option(help="Least sharpness; 0: all.")] = 0.03,
    twins: Annotated[float, typer.Option(help="Faces whose hashes differ in a smaller part are duplicates.")] = 0.09,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Begin anew with other settings.")] = False,
) -> None:
    """Find the faces on pages and cut them out. Goes on where it stopped; new pages can be added.

    Look at OUT/contact_sheet.jpg: what was kept, and what was left out and why. OUT/faces is what `prepare` takes.

    \b
    Examples:
      python -m stylegan2 crop pages/ --out crops --size 64
      python -m stylegan2 crop pages.zip --out crops --size 256 --min-size 96
      python -m stylegan2 prepare crops/faces --out data/mine.lmdb --size 64
    """
    from stylegan2.collect import crops

    check_writable(out)
    config = crops.CropConfig(detector, cascade, sure, size, margin, lift, min_size, sharp, twins)
    report = crops.crop(src, out, config, overwrite)
    typer.echo(str(report))
    folder = out / crops.FACES
    typer.echo(
        f"look at {out / crops.SHEET}; next: python -m stylegan2 prepare {folder} --out data/mine.lmdb --size {size}"
    )
    end([name for name, _ in report.skipped])
