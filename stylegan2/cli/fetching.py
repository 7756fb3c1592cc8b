"""What others published: `download`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stylegan2.cli.common import check_writable, end
from stylegan2.cli.options import verb


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
      python -m stylegan2 download
      python -m stylegan2 download ffhq256 NaverWebtoon_FreezeSG
      python -m stylegan2 download --all --mirror /path/with/the/files
      python -m stylegan2 download --dataset metfaces
    """
    from stylegan2.published import sets
    from stylegan2.published.fetch import FetchError
    from stylegan2.published.zoo import MODELS, Zoo

    if dataset is not None:
        if names or everything:
            raise ValueError("--dataset fetches pictures, a NAME or --all models: one at a time")
        check_writable(Path("data"))
        path = sets.fetch(dataset, "data")
        typer.echo(f"licence: {sets.SETS[dataset].licence}")
        typer.echo(f"{path}; next: python -m stylegan2 prepare {path} --out data/{dataset}.lmdb --size 256")
        return
    check_writable(out)
    zoo = Zoo(out, mirror)
    wanted = list(MODELS) if everything else names or []
    for name in wanted:
        zoo.path(name)  # an unknown one is said before anything is fetched
    left_out = []
    for name in wanted:
        try:
            typer.echo(str(zoo.fetch(name)))
        except FetchError as error:
            if len(left_out) == len(wanted) - 1:  # nothing came of it
                raise
            typer.echo(f"left out: {error}", err=True)
            left_out.append(name)
    end(left_out)
    if not wanted:
        wide = max(map(len, MODELS))
        for name, model in MODELS.items():
            typer.echo(f"{name:{wide}}  {'here' if zoo.has(name) else '-':4}  {model.description}")
        for name, known in sets.SETS.items():
            typer.echo(f"--dataset {name}: {known.description}; {known.licence}")
