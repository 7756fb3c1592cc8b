"""What is shipped, made again: `pocket`, `scoreboard`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stylegan2 import text_files
from stylegan2.cli.common import Device, app, check_writable, make_room, parse_seeds, there


@app.command()
def pocket(
    steps: Annotated[
        list[str] | None, typer.Argument(metavar="[STEP]...", help="Steps to make. [default: all]")
    ] = None,
    photo_images: Annotated[
        int | None, typer.Option(help="Length of the source's training. [default: recipe's]")
    ] = None,
    target_images: Annotated[int | None, typer.Option(help="Length of each fine-tuning. [default: recipe's]")] = None,
    device: Device = "auto",
    force: Annotated[bool, typer.Option("--force", help="Make also what is there already.")] = False,
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
    lengths = {"photo_images": photo_images, "target_images": target_images}
    chosen = recipe.Recipe(**{name: n for name, n in lengths.items() if n is not None}, device=device)
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


@app.command()
def scoreboard(
    domain: Annotated[list[str] | None, typer.Option(help="Target domains; repeat. [default: all three]")] = None,
    seeds: Annotated[str, typer.Option(help="One training of each for every seed, such as 0-2.")] = "0",
    sweep: Annotated[bool, typer.Option("--sweep", help="Compare the methods' settings, not the methods.")] = False,
    source: Annotated[Path, typer.Option(help="Model to fine-tune.", callback=there)] = Path(
        "checkpoints/pocket/photo.pt"
    ),
    judge: Annotated[Path, typer.Option(help="The network that reads faces.", callback=there)] = Path(
        "checkpoints/pocket/judge.pt"
    ),
    work: Annotated[Path, typer.Option(help="Folder of models and numbers; what is there is not made again.")] = Path(
        "build/pocket/scoreboard"
    ),
    out: Annotated[Path | None, typer.Option(help="File for the rows (JSON); a picture goes beside it.")] = None,
    images: Annotated[int, typer.Option(help="Length of every training.")] = 24_000,
    faces: Annotated[int, typer.Option(help="Faces behind every number.")] = 2000,
    jobs: Annotated[int, typer.Option(help="Trainings at the same time (one core each is enough).")] = 1,
    device: Device = "auto",
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
    if min(images, faces - 1, jobs) < 1:
        raise ValueError(f"images is {images}, faces {faces}, jobs {jobs}: expected at least 1, 2 and 1")
    check_writable(work)
    if out is not None:
        make_room(out)
        make_room(out.with_suffix(".jpg"))
    study = board.Study(source, judge, work, images, faces=faces, device=device)
    domains = tuple(domain or board.TARGETS)
    numbers = parse_seeds(seeds)
    swept = [entry for name in domains for entry in board.sweep_study(name, numbers)]
    rows = board.rows(board.run(study, swept if sweep else board.methods_study(domains, numbers), jobs))
    for name in domains:
        typer.echo(f"\n{name}\n" + view.table(rows, name, board.SWAPS))
    if out is not None:
        text_files.write_json(out, rows)
        picture = display.save(figures.to_pil(view.scatter(rows)), out.with_suffix(".jpg"))
        typer.echo(f"\n{len(rows)} rows in {out}, {picture}")
