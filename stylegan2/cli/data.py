"""Images to dataset: `prepare`, `inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stylegan2.cli.common import app, check_writable, end, existing_data


@app.command()
def prepare(
    src: Annotated[
        str,
        typer.Argument(
            metavar="SRC", help="Folder, .zip, or rendered set (pocket:webtoon?n=1000).", callback=existing_data
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the dataset (LMDB) to write.", show_default=False)],
    sizes: Annotated[list[int], typer.Option("--size", help="Side in pixels; repeat for several sizes.")] = [64],  # noqa: B006
    workers: Annotated[int, typer.Option(help="Images worked on at once; 0: one after the other.")] = 2,
    format: Annotated[str | None, typer.Option(help="jpeg, or png (no loss). [default: jpeg; png if rendered]")] = None,
    quality: Annotated[int, typer.Option(help="JPEG quality, 1 to 100.")] = 100,
    crop: Annotated[bool, typer.Option(help="Take the centre square, or squeeze the whole picture into one.")] = True,
    limit: Annotated[int | None, typer.Option(help="Take only so many images.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace another dataset at --out.")] = False,
) -> None:
    """Turn images into a dataset for training.

    The same command goes on where an interrupted one stopped. Files that are no images are skipped and listed,
    and the return code is 1.

    \b
    Examples:
      python -m stylegan2 prepare my_faces/ --out data/mine.lmdb --size 64
      python -m stylegan2 prepare faces.zip --out data/faces.lmdb --size 128 --size 256 --workers 8
      python -m stylegan2 prepare pocket:webtoon --out data/webtoon.lmdb
    """
    import stylegan2.pocket.source  # noqa: F401  (rendered sets can be named as sources)
    from stylegan2.data import prepare as module

    check_writable(out)
    report = module.prepare(
        src, out, tuple(sizes), quality, format, workers=workers, crop=crop, limit=limit, overwrite=overwrite
    )
    typer.echo(str(report))
    end([name for name, _ in report.skipped])


@app.command()
def inspect(
    path: Annotated[str, typer.Argument(metavar="PATH", help="A dataset made by `prepare`.", callback=existing_data)],
) -> None:
    """Say what a dataset holds: number, sizes, format, colours.

    \b
    Example:
      python -m stylegan2 inspect data/webtoon.lmdb
    """
    from stylegan2.data import dataset

    typer.echo(str(dataset.inspect(path)))
