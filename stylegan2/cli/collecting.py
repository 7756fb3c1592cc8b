"""From the web to a folder of faces: `crawl`, `crop`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stylegan2.cli.common import check_writable, end, existing
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
      python -m stylegan2 crop pages --out crops --detector animeface
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
      python -m stylegan2 crop pages/ --out crops --size 64
      python -m stylegan2 crop pages.zip --out crops --size 256 --min-size 96
      python -m stylegan2 prepare crops/faces --out data/mine.lmdb --size 64
    """
    from stylegan2.collect import crops

    check_writable(out)
    report = crops.crop(src, out, crops.CropConfig(**config), overwrite)
    typer.echo(str(report))
    prepare = f"python -m stylegan2 prepare {out / crops.FACES} --out data/mine.lmdb --size {config['size']}"
    typer.echo(f"look at {out / crops.SHEET}; next: {prepare}")
    end([name for name, _ in report.skipped])
