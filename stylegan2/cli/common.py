"""What all verbs share: the program itself, errors in one line, options that several verbs have."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

from stylegan2 import __version__
from stylegan2.setting_types import check_seed

if TYPE_CHECKING:
    from stylegan2.checkpoints import Checkpoint

EXPECTED = (ValueError, OSError, ImportError)  # errors whose message says what to do (CheckpointError is a ValueError)
SHIPPED, SAMPLES = ("checkpoints", "pocket"), ("data", "samples")  # folders of what comes with the course
COURSE = Path(__file__).parents[2]  # where the package lies in the course's folder
PICTURES = (".png", ".jpg", ".jpeg", ".webp")
FILMS = (".gif", ".mp4")
PARTLY = 1  # done, but something was left out
FAILED = 2  # wrong use, or nothing came of it
MOST = 1_000_000  # seeds in one range
UsageError = typer.BadParameter.__base__  # of the click that this typer brings along
INTERRUPTED = 130  # what a shell reports for a program ended by Ctrl-C


class Verbs(TyperGroup):
    """All verbs, with expected errors as one line."""

    def parse_args(self, ctx, args):
        """`--debug` may stand anywhere."""
        if "--debug" in args:
            args = ["--debug", *[arg for arg in args if arg != "--debug"]]
        return super().parse_args(ctx, args)

    def invoke(self, ctx):
        """Run a verb; return codes as `EPILOG` lists them."""
        try:
            return super().invoke(ctx)
        except UsageError as error:
            if "extra argument" in error.message:
                error.message += " (inputs stand first; results go to --out, other models to --with)"
            raise
        except typer.Exit:  # a RuntimeError to Python; without this line every --help would import PyTorch below
            raise
        except EXPECTED as error:
            if ctx.params.get("debug"):
                raise
            text = in_options(message_of(error), self.get_command(ctx, ctx.invoked_subcommand or ""))
            typer.echo(f"error: {' '.join(text.split())}", err=True)
            raise typer.Exit(FAILED) from error
        except (RuntimeError, MemoryError) as error:
            from stylegan2.runtime import is_out_of_memory, let_go  # here: torch, for which `--help` should not wait

            if ctx.params.get("debug") or not is_out_of_memory(error):
                raise
            verb = self.get_command(ctx, ctx.invoked_subcommand or "")
            advice = _less_memory(verb) if type(error) is not MemoryError or not str(error) else str(error)
            let_go(error)
            typer.echo(f"error: {in_options(advice, verb)}", err=True)
            raise typer.Exit(FAILED) from None
        except KeyboardInterrupt:
            typer.echo("interrupted", err=True)
            raise typer.Exit(INTERRUPTED) from None


def end(left_out: Sequence[str]) -> None:
    """The end of a verb with several inputs: says how many of them were left out, if any, and ends with code `PARTLY`.

    Args:
        left_out: their names; why each was left out has been said on stderr.
    """
    if left_out:
        typer.echo(f"{len(left_out)} left out: see above", err=True)
        raise typer.Exit(PARTLY)


def _less_memory(verb) -> str:
    """What to do where there is not enough, by what a verb offers."""
    has_batch = any("--batch" in param.opts for param in verb.params) if verb else False
    fewer = "lower --batch" if has_batch else "take fewer faces or photos at once"
    return f"not enough memory: {fewer}, or use --device cpu"


def message_of(error: Exception) -> str:
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


def existing(given: Path | list[Path] | None) -> Path | list[Path] | None:
    """What inputs of a command are, before anything heavy is imported.

    A pattern in quotes becomes the files that it matches. A model that comes with the course is found from any folder.

    Raises:
        FileNotFoundError: there is no such file or folder; names one that is spelt alike.
    """
    if isinstance(given, list | tuple):
        return [_existing(path) for one in given for path in _matches(one)]
    return given if given is None else _existing(given)


def existing_data(given: str) -> str:
    """As `existing`, for images, a dataset, or a rendered set (pocket:webtoon), which is no file."""
    if given.startswith("pocket:"):
        return given
    try:
        return str(_existing(Path(given).expanduser()))
    except FileNotFoundError as error:
        expected = "expected images, a dataset that `prepare` made of them, or a rendered set such as pocket:webtoon"
        raise FileNotFoundError(f"{error}; {expected}") from None


def some_existing(given: list[Path]) -> list[Path]:
    """As `existing`, for many inputs of which one that is not there is left out when its turn comes."""
    paths = [path for one in given for path in _matches(one)]
    if not any(path.exists() for path in paths):
        return [_existing(path) for path in paths]
    return paths


def _matches(path: Path) -> list[Path]:
    if path.exists() or not set("*?[") & set(str(path)):
        return [path]
    found = sorted(Path(path.anchor or ".").glob(str(path.relative_to(path.anchor))))
    if not found:
        raise FileNotFoundError(f"no file matches '{path}'")
    return found


def shipped(path: Path) -> Path:
    """Where a file of the course lies, from whatever folder the command is called; other paths as they are."""
    ours = path.parts[:2] in (SHIPPED, SAMPLES) and not path.exists() and (COURSE / path).exists()
    return COURSE / path if ours else path


def _existing(path: Path) -> Path:
    path = shipped(path)
    if path.exists():
        return path
    beside = [str(path.with_name(entry.name)) for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    alike = get_close_matches(str(path), [*beside, *(str(name.relative_to(COURSE)) for name in _models())], n=1)
    hint = f"; did you mean '{alike[0]}'?" if alike else ""
    raise FileNotFoundError(f"there is no file '{path}'{hint}")


def _models() -> Iterator[Path]:
    """The models that come with the course."""
    return COURSE.joinpath(*SHIPPED).glob("*.pt")


def or_numbered(out: Path | None, default: str) -> Path:
    """Where results go: `out`, or without one the first of NAME, NAME-2, NAME-3, ... that is free in this folder."""
    if out is not None:
        return out
    names = (Path(default).with_stem(Path(default).stem + (f"-{n}" if n > 1 else "")) for n in count(1))
    return next(path for path in names if not path.exists())


def picture_or_film(out: Path) -> str:
    """The ending of a file for a picture or a film. Raises ValueError for another."""
    return ending(out, *PICTURES, *FILMS)


def ending(out: Path, *allowed: str, option: str = "--out") -> str:
    """The ending of a file to write, in small letters. Raises ValueError where it is not one of those allowed."""
    if out.suffix.lower() not in allowed:
        raise ValueError(f"'{out}': {option} must end in one of {', '.join(allowed)}")
    return out.suffix.lower()


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
        text = re.sub(rf"({before}{name}(?:=| is )[^;]*?),? or None(?: for [\w ]+)?", r"\1", text)
        text = re.sub(rf"{before}{name}=(?=\S)", f"{yes[0]} ", text)
        if "_" in name:  # no English word
            text = re.sub(rf"{before}{name}(?![\w./])", yes[0], text)
        else:  # "steps is 0, tune 0: expected"
            text = re.sub(rf"(?:^|(?<=, )){name}(?= (?:is )?[-\d'])", yes[0], text)
    return text


app = typer.Typer(cls=Verbs, rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)
CKPT = "A checkpoint, or the folder of a training run."
CheckpointPath = Annotated[Path, typer.Argument(metavar="CKPT", help=CKPT, callback=existing)]
Others = Annotated[
    list[Path] | None, typer.Option("--with", help="A model that draws the same codes too; repeat.", callback=existing)
]
Truncation = Annotated[float, typer.Option(min=-2, max=2, help="psi: 1 varied, 0 the mean face, 0.7 in between.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ...; auto: a GPU where there is one.")]


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"stylegan2 {__version__}, Python {sys.version.split()[0]}")
        raise typer.Exit


EPILOG = f"""python -m stylegan2 VERB --help explains a verb, with examples.

\b
Return codes of every verb:
  0    all done
  {PARTLY}    done, but something was left out, which is named
  {FAILED}    wrong use, or nothing came of it, or it could not go on; what was done before is kept
  {INTERRUPTED}  interrupted (Ctrl-C)
"""


@app.callback(no_args_is_help=True, epilog=EPILOG)
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the whole traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Say which version this is.", is_eager=True, callback=_say_version)
    ] = False,
):
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


def load(path: Path, device="auto", g_ema_only: bool = False) -> Checkpoint:
    """A checkpoint; of a run's folder the newest readable snapshot."""
    from stylegan2 import checkpoints, snapshots

    if path.is_dir():
        newest = snapshots.latest(path)
        if newest is None:
            raise FileNotFoundError(
                f"'{path}' is a folder without readable snapshots/: expected a file or a run's folder"
            )
        path = newest
    return checkpoints.load(path, device=device, g_ema_only=g_ema_only)


def make_room(path: Path, inputs: Iterable[Path] = ()) -> Path:
    """Make the folder of a file that will be written; call it before the work.

    Raises:
        ValueError: a folder has the file's name, or it is one of the inputs, or a model that comes with the course.
        OSError: it cannot be written there.
    """
    if path.exists() and any(one.exists() and path.samefile(one) for one in inputs):
        raise ValueError(f"'{path}' is one of the inputs, and would be replaced: choose another --out")
    if path.is_file() and path.resolve().parent.parts[-2:] == SHIPPED:
        raise ValueError(f"'{path}' comes with the course, and would be replaced: write to another place")
    if path.is_dir():
        raise ValueError(f"'{path}' is a folder: expected the name of a file to write")
    check_writable(path.parent)
    if path.is_file() and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def check_folder(out: Path, photos: Iterable[Path] = ()) -> None:
    """Can results go to that folder? Call it before the work; `make_room` makes the folder, for the first of them.

    Raises:
        ValueError: the photos lie in it, whose names the results may have; or it is a file.
        OSError: it cannot be written to.
    """
    if any(out.resolve() == photo.resolve().parent for photo in photos):
        raise ValueError(f"'{out}' is the folder of your photos, and pictures in it might be replaced: choose another")
    check_writable(out)


def check_writable(folder: Path) -> None:
    """Call it before the work: can files be written there, or can it be made? Raises OSError that says why not."""
    nearest = next(path for path in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(path))
    if not nearest.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(nearest))
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(nearest))


@contextmanager
def leaving_out(path: Path, left_out: list[str], alone: bool = False) -> Iterator[None]:
    """One of many inputs: what is wrong with it is said, and the others go on.

    Args:
        path: of the input.
        left_out: grows by it, see `end`.
        alone: it is the only one: its error ends the command.
    """
    try:
        yield
    except (ValueError, OSError) as error:
        if alone or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        left_out.append(str(path))
        why = " ".join(message_of(error).split())
        typer.echo("left out: " + (why if str(path) in why else f"'{path}': {why}"), err=True)


def on_device(name: str):
    """Where to compute."""
    from stylegan2.runtime import pick_device

    return pick_device(name)


def captions_of(paths: Iterable[Path], named: Mapping[str, Path] | None = None) -> dict[str, Path]:
    """A name for each file: its own, with a number where two have the same. `named`: those that have one already."""
    named = dict(named or {})
    for path in paths:
        name, count = path.stem, 2
        while name in named:
            name, count = f"{path.stem} {count}", count + 1
        named[name] = path
    return named
