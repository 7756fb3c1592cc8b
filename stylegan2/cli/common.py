"""What all verbs share: the program itself, errors in one line, options that several verbs have."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

from stylegan2.setting_types import check_seed

if TYPE_CHECKING:
    from stylegan2.checkpoints import Checkpoint

EXPECTED = (ValueError, OSError, ImportError)  # errors whose message says what to do (CheckpointError is a ValueError)
SHIPPED = ("checkpoints", "pocket")  # the folder of the models that come with the course
PICTURES = (".png", ".jpg", ".jpeg", ".webp")
MEMORY = "not enough memory: lower --batch; `train` can also compute a batch in parts (--accumulate 2, 4, ...)"
MOST = 1_000_000  # seeds in one range
INTERRUPTED = 130  # what a shell reports for a program ended by Ctrl-C


class Verbs(TyperGroup):
    """All verbs, with expected errors as one line."""

    def parse_args(self, ctx, args):
        """`--debug` may stand anywhere."""
        if "--debug" in args:
            args = ["--debug", *[arg for arg in args if arg != "--debug"]]
        return super().parse_args(ctx, args)

    def invoke(self, ctx):
        """Run a verb; exit code 2 for an expected error, 130 for Ctrl-C."""
        try:
            return super().invoke(ctx)
        except EXPECTED as error:
            if ctx.params.get("debug"):
                raise
            text = in_options(told(error), self.get_command(ctx, ctx.invoked_subcommand or ""))
            typer.echo(f"error: {' '.join(text.split())}", err=True)
            raise typer.Exit(2) from error
        except (RuntimeError, MemoryError) as error:
            from stylegan2.runtime import is_out_of_memory  # here: it needs torch, for which `--help` should not wait

            if ctx.params.get("debug") or not is_out_of_memory(error):
                raise
            typer.echo(f"error: {MEMORY}", err=True)
            raise typer.Exit(2) from error
        except KeyboardInterrupt:
            typer.echo("interrupted", err=True)
            raise typer.Exit(INTERRUPTED) from None


def told(error: Exception) -> str:
    """What an error means; those of the disk with what to do about them."""
    where = f"'{error.filename}'" if isinstance(error, OSError) and error.filename else "a file"
    match getattr(error, "errno", None):
        case errno.ENOSPC | errno.EDQUOT:
            return f"the disk is full, {where} was not written: what was there before is whole; make room, run it again"
        case errno.ENOENT if where != "a file":
            return f"there is no {where}"
        case errno.EISDIR if where != "a file":
            return f"{where} is a folder: give the files in it, such as {error.filename}/*"
        case errno.EEXIST | errno.ENOTDIR if where != "a file":
            return f"{where} is a file, where a folder is needed: choose another name"
        case errno.EROFS | errno.EACCES | errno.EPERM:
            return f"cannot write {where} ({error.strerror}): choose a folder that may be written to"
    return str(error)


def in_options(text: str, verb) -> str:
    """A message of the package in the words of a verb: its options instead of Python's arguments.

    "pass overwrite=True" -> "pass --overwrite"; "workers=-1: expected 0" -> "--workers -1: expected 0"; "r1_gamma is
    -1" -> "--r1-gamma is -1". An option stands for the argument that has the name of the verb's own parameter.
    """
    for param in verb.params if verb else ():
        yes, no = ([name for name in names if name.startswith("--")] for names in (param.opts, param.secondary_opts))
        if not yes:
            continue
        name = re.escape(param.name)
        before = r"(?<![\w?&'./-])"  # not in 'pocket:photo?seed=3', nor in a path
        text = re.sub(rf"{before}{name}=True\b", yes[0], text)
        text = re.sub(rf"{before}{name}=False\b", no[0] if no else f"no {yes[0]}", text)
        text = re.sub(rf"{before}{name}=(?=\S)", f"{yes[0]} ", text)
        if "_" in name:  # no English word
            text = re.sub(rf"{before}{name}(?![\w./])", yes[0], text)
        else:  # "steps is 0, tune 0: expected"
            text = re.sub(rf"(?:^|(?<=, )){name}(?= (?:is )?[-\d'])", yes[0], text)
    return re.sub(r",? or None( for [\w ]+)?", "", text)  # an option that is not wanted is left out


app = typer.Typer(cls=Verbs, rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)
CheckpointPath = Annotated[Path, typer.Argument(metavar="CKPT", help="A checkpoint, or the folder of a training run.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ...; auto: a GPU where there is one.")]


@app.callback(no_args_is_help=True, epilog="python -m stylegan2 VERB --help explains a verb, with examples.")
def options(debug: Annotated[bool, typer.Option("--debug", help="Show the whole traceback of an error.")] = False):
    """A StyleGAN2 course in notebooks, and its commands: images to dataset, dataset to model, model to faces."""


def parse_seeds(text: str, name: str = "seeds") -> list[int]:
    """Numbers of a text such as "0-3,8" -> [0, 1, 2, 3, 8]. Raises ValueError for anything else."""
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = (piece.strip() for piece in part.partition("-"))
        if not first.isdecimal() or (dash and not last.isdecimal()) or (dash and int(last) < int(first)):
            raise ValueError(f"{name} {text!r}: expected whole numbers and ranges, such as 7 or 0-31 or 1,5,20-29")
        found = range(check_seed(int(first), name), check_seed(int(last or first), name) + 1)
        if len(found) > MOST:
            raise ValueError(f"{name} {part.strip()!r}: {len(found):,} numbers, expected at most {MOST:,} at once")
        seeds += found
    return seeds


def load(path: Path, device="cpu", g_ema_only: bool = False) -> Checkpoint:
    """A checkpoint; of a run's folder the newest readable snapshot."""
    from stylegan2 import checkpoints
    from stylegan2.training import snapshots

    if path.is_dir():
        newest = snapshots.latest(path)
        if newest is None:
            raise FileNotFoundError(
                f"'{path}' is a folder without readable snapshots/: expected a file or a run's folder"
            )
        path = newest
    return checkpoints.load(path, device=device, g_ema_only=g_ema_only)


def make_room(path: Path, inputs: Iterable[Path] = ()) -> None:
    """Make the folder of a file that will be written.

    Raises:
        ValueError: a folder has the file's name, or it is one of the inputs, or a model that comes with the course.
    """
    not_an_input(path, inputs)
    if path.is_file() and path.resolve().parent.parts[-2:] == SHIPPED:
        raise ValueError(f"'{path}' comes with the course, and would be replaced: write to another place")
    if path.is_dir():
        raise ValueError(f"'{path}' is a folder: expected the name of a file to write")
    path.parent.mkdir(parents=True, exist_ok=True)


def not_an_input(path: Path, inputs: Iterable[Path]) -> Path:
    """A path to write to. Raises ValueError where it is one of the command's own inputs, by whatever name."""
    if path.exists() and any(one.exists() and path.samefile(one) for one in inputs):
        raise ValueError(f"'{path}' is what you gave me, and would be replaced: write to another place")
    return path


def apart(out: Path, photos: Iterable[Path]) -> None:
    """Raises ValueError where results would lie among the photos, whose names they may have."""
    if any(out.resolve() == photo.resolve().parent for photo in photos):
        raise ValueError(f"'{out}' is the folder of your photos, and pictures in it might be replaced: choose another")


def on_device(name: str):
    """Where to compute."""
    from stylegan2.runtime import pick_device

    return pick_device(name)


def captions_of(paths: list[Path]) -> dict[str, Path]:
    """A caption for each checkpoint: its file's name, with a number where two have the same."""
    named: dict[str, Path] = {}
    for path in paths:
        name, count = path.stem, 2
        while name in named:
            name, count = f"{path.stem} {count}", count + 1
        named[name] = path
    return named
