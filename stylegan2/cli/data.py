"""Images to dataset: `prepare`, `inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stylegan2.cli.common import check_writable, end, existing_data
from stylegan2.cli.options import verb


@verb()
def prepare(
    src: Annotated[
        str, typer.Argument(metavar="SRC", callback=existing_data)
    ],  # Folder, .zip, or rendered set (pocket:webtoon?n=1000).
    *,
    out: Path,  # Folder of the dataset (LMDB) to write.
    sizes: Annotated[list[int], typer.Option("--size")] = (64,),  # Side in pixels; repeat for several sizes.
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
      python -m stylegan2 prepare my_faces/ --out data/mine.lmdb --size 64
      python -m stylegan2 prepare faces.zip --out data/faces.lmdb --size 128 --size 256 --workers 8
      python -m stylegan2 prepare pocket:webtoon --out data/webtoon.lmdb
    """
    import stylegan2.pocket  # noqa: F401  (rendered sets can be named as sources)
    from stylegan2.data import prepare as module

    check_writable(out)
    settings = {"workers": workers, "crop": crop, "limit": limit, "overwrite": overwrite}
    report = module.prepare(src, out, tuple(sizes), quality, format, **settings)
    typer.echo(str(report))
    end([name for name, _ in report.skipped])


@verb()
def inspect(
    path: Annotated[str, typer.Argument(metavar="PATH", callback=existing_data)],  # A dataset made by `prepare`.
) -> None:
    """Say what a dataset holds: number, sizes, format, colours.

    \b
    Example:
      python -m stylegan2 inspect data/webtoon.lmdb
    """
    from stylegan2.data import dataset

    typer.echo(str(dataset.inspect(path)))
