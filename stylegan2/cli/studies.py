"""What is shipped, made again: `pocket`, `scoreboard`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stylegan2 import files
from stylegan2.cli.common import check_writable, existing, make_room, parse_seeds
from stylegan2.cli.options import Settings, verb

Lengths = Settings(
    "pocket.recipe",
    "Recipe",
    only=("photo_images", "target_images", "device"),
    photo_images=typer.Option(help="Length of the source's training."),
    target_images=typer.Option(help="Length of each fine-tuning."),
)
Compared = Settings(
    "pocket.studies.scoreboard",
    "Study",
    without=("batch",),
    source=typer.Option(callback=existing),
    judge=typer.Option(callback=existing),
    images=typer.Option(help="Length of every training."),
)


@verb()
def pocket(
    steps: Annotated[list[str] | None, typer.Argument(metavar="[STEP]...")] = None,  # Steps to make. [default: all]
    *,
    settings: Lengths,
    force: bool = False,  # Make also what is there already.
) -> None:
    """Rebuild the shipped pocket models in checkpoints/pocket/: judge, photo, targets, scoreboard, report.

    Run it in the folder of the course. Steps whose result is there are skipped; an interrupted one goes on where it
    was. To train from nothing again, delete build/pocket/ and use --force.

    \b
    Examples:
      python -m stylegan2 pocket
      python -m stylegan2 pocket photo --photo-images 50000 --force
    """
    from stylegan2.pocket import recipe

    unknown = [step for step in steps or [] if step not in recipe.STEPS]
    if unknown:
        raise ValueError(f"no step {unknown[0]!r}; the steps are: {', '.join(recipe.STEPS)}")
    chosen = recipe.Recipe(**settings)
    check_writable(chosen.shipped)
    check_writable(chosen.work)
    made = []
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
    jobs: int = 1,  # Trainings at the same time (one core each is enough).
) -> None:
    """Compare all methods at pocket scale: each trained alike, then what is kept of a face, and how good cartoons are.

    A training takes about 7 minutes on two cores, measuring it about 2 more. Every training leaves its numbers in
    WORK, and the same command goes on from there.

    \b
    Examples:
      python -m stylegan2 scoreboard --domain webtoon --seeds 0-2
      python -m stylegan2 scoreboard --sweep --out sweeps.json
      python -m stylegan2 scoreboard --jobs 16 --device cuda
    """
    from stylegan2 import display
    from stylegan2.editing import figures
    from stylegan2.pocket.studies import scoreboard as board
    from stylegan2.pocket.studies import scoreboard_view as view

    unknown = [name for name in domain or () if name not in board.TARGETS]
    if unknown:
        raise ValueError(f"no target domain {unknown[0]!r}; there are: {', '.join(board.TARGETS)}")
    study = board.Study(**settings)
    if min(study.images, study.faces - 1, jobs) < 1:
        raise ValueError(f"images is {study.images}, faces {study.faces}, jobs {jobs}: expected at least 1, 2 and 1")
    check_writable(study.work)
    if out is not None:
        make_room(out)
        make_room(out.with_suffix(".jpg"))
    domains = tuple(domain or board.TARGETS)
    numbers = parse_seeds(seeds)
    swept = [entry for name in domains for entry in board.sweep_study(name, numbers)]
    rows = board.rows(board.run(study, swept if sweep else board.methods_study(domains, numbers), jobs))
    for name in domains:
        typer.echo(f"\n{name}\n" + view.table(rows, name, board.SWAPS))
    if out is not None:
        files.write_json(out, rows)
        picture = display.save(figures.to_pil(view.scatter(rows)), out.with_suffix(".jpg"))
        typer.echo(f"\n{files.counted(len(rows), 'row')} in {out}, {picture}")
