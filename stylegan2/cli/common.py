"""What all verbs share: the program itself, errors in one line, options that several verbs have."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from itertools import compress, count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from typer.core import TyperGroup

from stylegan2 import __version__
from stylegan2.editing.layers import parse_ranges
from stylegan2.setting_types import check_seed

if TYPE_CHECKING:
    from stylegan2.checkpoints import Checkpoint
    from stylegan2.networks import Generator

EXPECTED = (ValueError, OSError, ImportError)  # errors whose message says what to do (CheckpointError is a ValueError)
MODELS, SAMPLES = Path("checkpoints/pocket"), Path("data/samples")  # what comes with the course
JUDGE = MODELS / "judge.pt"
COURSE = Path(__file__).parents[2]  # where the package lies in the course's folder
PICTURES = (".png", ".jpg", ".jpeg", ".webp")
FILMS = (".gif", ".mp4")
PARTLY = 1  # done, but something was left out
FAILED = 2  # wrong use, or nothing came of it
INTERRUPTED = 130  # what a shell reports for a program ended by Ctrl-C
UNKNOWN = "this model was not trained on faces like this one"
NEAREST = "it becomes the most similar face that the model can render"
MOST = 1_000_000  # seeds in one range
UsageError = typer.BadParameter.__base__  # of the click that this typer brings along


# --------------------------------------------------------------------------------------------------------- the program
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
        except (*EXPECTED, RuntimeError, MemoryError) as error:
            verb = self.get_command(ctx, ctx.invoked_subcommand or "")
            message = "" if ctx.params.get("debug") else _explain(error, verb)
            if not message:
                raise
            typer.echo(f"error: {' '.join(in_options(message, verb).split())}", err=True)
            raise typer.Exit(FAILED) from None
        except KeyboardInterrupt:
            stop("interrupted")


def _explain(error: Exception, verb) -> str:
    """What a user is told of an error, by what the verb offers; "" for one that nobody expects."""
    if isinstance(error, EXPECTED):
        return message_of(error)
    from stylegan2.runtime import is_out_of_memory, let_go  # here: torch, for which `--help` should not wait

    if not is_out_of_memory(error):
        return ""
    let_go(error)
    if type(error) is MemoryError and str(error):
        return str(error)
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


def in_options(text: str, verb) -> str:
    """A message of the package in the words of a verb: its options instead of Python's arguments.

    "pass overwrite=True" -> "pass --overwrite"; "workers=-1: expected 0" -> "--workers -1: expected 0"; "r1_gamma is
    -1" -> "--r1-gamma is -1". An option stands for the argument that has the name of the verb's own parameter.
    """
    for param in verb.params if verb else ():
        if not (yes := max(param.opts, key=len)).startswith("--"):
            continue
        name = rf"(?<![\w?&'./-]){param.name}"  # not in 'pocket:photo?seed=3', nor in a path
        no_word = rf"{name}(?![\w./])"
        word = rf"(?:^|(?<=, )){param.name}(?= (?:is )?[-\d'])"  # "steps is 0, tune 0: expected"
        for pattern, option in (
            (rf"{name}=True\b", yes),
            (rf"{name}=False\b", next(iter(param.secondary_opts), f"no {yes}")),
            (rf"({name}(?:=| is )[^;]*?),? or None(?: for [\w ]+)?", r"\1"),
            (rf"{name}=(?=\S)", f"{yes} "),
            (no_word if "_" in param.name else word, yes),
        ):
            text = re.sub(pattern, option, text)
    return text


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
app = typer.Typer(cls=Verbs, rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)


@app.callback(no_args_is_help=True, epilog=EPILOG)
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the whole traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Say which version this is.", is_eager=True, callback=_say_version)
    ] = False,
):
    """A StyleGAN2 course in notebooks, and its commands: images to dataset, dataset to model, model to faces."""


# -------------------------------------------------------------------------------------------------------------- inputs
def existing(given: Path | list[Path] | None) -> Path | list[Path] | None:
    """Inputs of a command, checked before anything heavy is imported: shipped models are known in any folder.

    Raises FileNotFoundError, which names a file that is spelt alike.
    """
    return [_existing(path) for path in given] if isinstance(given, list | tuple) else given and _existing(given)


def existing_data(given: str) -> str:
    """As `existing`, for images, a dataset, or a rendered set (pocket:webtoon), which is no file."""
    if given.startswith("pocket:"):
        return given
    try:
        return str(_existing(Path(given).expanduser()))
    except FileNotFoundError as error:
        expected = "expected images, a dataset that `prepare` made of them, or a rendered set such as pocket:webtoon"
        raise FileNotFoundError(f"{error}; {expected}") from None


def some_existing(given: list[Path] | None) -> list[Path]:
    """As `existing`, for many inputs of which one that does not exist is left out when its turn comes."""
    return given if any(path.exists() for path in given or ()) else existing(given) or []


def shipped(path: Path) -> Path:
    """Where a file of the course lies, from whatever folder the command is called; other paths as they are."""
    ours = {MODELS, SAMPLES} & {path, *path.parents} and not path.exists() and (COURSE / path).exists()
    return COURSE / path if ours else path


def _existing(path: Path) -> Path:
    path = shipped(path)
    if path.exists():
        return path
    beside = [str(path.with_name(entry.name)) for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    models = [str(name.relative_to(COURSE)) for name in (COURSE / MODELS).glob("*.pt")]
    alike = get_close_matches(str(path), [*beside, *models], n=1)
    hint = f"; did you mean '{alike[0]}'?" if alike else ""
    raise FileNotFoundError(f"there is no file '{path}'{hint}")


Existing = Annotated[Path, typer.Option(callback=existing)]
Input = Annotated[Path | None, typer.Option(callback=existing)]
CheckpointPath = Annotated[
    Path, typer.Argument(metavar="CKPT", help="A checkpoint, or the folder of a training run.", callback=existing)
]
Others = Annotated[
    list[Path],
    typer.Option("--with", help="A model that renders the same codes too; repeat.", callback=existing),
]
Positive = Annotated[int, typer.Option(min=1)]
Natural = Annotated[int, typer.Option(min=0)]
Truncation = Annotated[float, typer.Option(min=-2, max=2, help="psi: 1 varied, 0 the mean face, 0.7 in between.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ...; auto: a GPU where there is one.")]


def parse_seeds(text: str, name: str = "seeds") -> list[int]:
    """Numbers of a text such as "0-3,8" -> [0, 1, 2, 3, 8]. Raises ValueError for anything else."""
    seeds: list[int] = []
    for part in parse_ranges(text, name, "whole numbers and ranges, such as 7 or 0-31 or 1,5,20-29"):
        count = check_seed(part[-1], name) - part[0] + 1
        if count > MOST:
            raise ValueError(f"{name} {text!r}: {count:,} numbers, expected at most {MOST:,} at once")
        seeds += part
    return seeds


def load(path: Path, device="auto", g_ema_only: bool = False) -> Checkpoint:
    """A checkpoint; of a run's folder the newest readable snapshot."""
    from stylegan2 import checkpoints, runs

    newest = runs.latest(path) if path.is_dir() else path
    if newest is None:
        raise FileNotFoundError(f"'{path}' is a folder without readable snapshots/: expected a file or a run's folder")
    return checkpoints.load(newest, device=device, g_ema_only=g_ema_only)


def generator(path: Path, device="auto") -> Generator:
    """The averaged generator of a checkpoint."""
    return load(path, device, g_ema_only=True).g_ema


def generators(paths: Mapping[str, Path] | Sequence[Path], device) -> dict[str, Generator]:
    """Generators by their names, those of their files if none are given; each takes the codes of the first.

    Raises ValueError for one that cannot.
    """
    from stylegan2.editing.latents import check_fits

    paths = paths if isinstance(paths, Mapping) else captions_of(paths)
    models = {name: generator(path, device) for name, path in paths.items()}
    ws = next(iter(models.values())).mapping.mean_ws
    for name, g in models.items():
        try:
            check_fits(g, ws, name)
        except ValueError as error:
            raise ValueError(f"{error}; leave '{name}' out") from None
    return models


def shown(models: dict[str, Generator]) -> Generator | dict[str, Generator]:
    """What to render in a film: a model alone needs no caption."""
    return models if len(models) > 1 else next(iter(models.values()))


def captions_of(paths: Iterable[Path], named: Mapping[str, Path] | None = None) -> dict[str, Path]:
    """A name for each file: its own, with a number where two have the same. `named`: those that have one already."""
    named = dict(named or {})
    for path in paths:
        names = (f"{path.stem} {number}" if number > 1 else path.stem for number in count(1))
        named[next(name for name in names if name not in named)] = path
    return named


# ------------------------------------------------------------------------------------------------------------- results
def new_file(out: Path | None, default: str, *endings: str, inputs: Iterable[Path] = ()) -> Path:
    """A file for results: `out`, or `or_numbered`. Raises as `check_file`, before the work."""
    return check_file(or_numbered(out, default), *endings, inputs=inputs)


def new_folder(out: Path | None, default: str, photos: Sequence[Path] = ()) -> Path:
    """A folder for results, as `new_file`; `photos` as of `check_folder`."""
    return check_folder(or_numbered(out, default), photos)


def or_numbered(out: Path | None, default: str) -> Path:
    """Where results go: `out`, or without one the first of NAME, NAME-2, NAME-3, ... that is free in this folder."""
    if out is not None:
        return out
    names = (Path(default).with_stem(Path(default).stem + (f"-{n}" if n > 1 else "")) for n in count(1))
    return next(path for path in names if not path.exists())


def check_file(path: Path, *endings: str, inputs: Iterable[Path] = (), option: str = "--out") -> Path:
    """The same path, if a file can be written there (writing it makes its folder): called before the work.

    Raises ValueError for another ending, a folder, one of the inputs, or a model of the course; OSError where nothing
    can be written.
    """
    if endings and path.suffix.lower() not in endings:
        raise ValueError(f"'{path}': {option} must end in one of {', '.join(endings)}")
    if path.exists() and any(one.exists() and path.samefile(one) for one in inputs):
        raise ValueError(f"'{path}' is one of the inputs, and would be replaced: choose another {option}")
    if path.is_file() and path.resolve().parent.parts[-2:] == MODELS.parts:
        raise ValueError(f"'{path}' comes with the course, and would be replaced: write to another place")
    if path.is_dir():
        raise ValueError(f"'{path}' is a folder: expected the name of a file to write")
    check_folder(path.parent)
    if path.is_file() and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    return path


def check_folder(out: Path, photos: Sequence[Path] = ()) -> Path:
    """The same path, if results can go to that folder, or it can be made: called before the work.

    `photos`: results get their names, and go neither beside them nor beside the models that come with the course.
    Raises ValueError if they would; OSError where nothing can be written.
    """
    folder = out.resolve()
    if any(folder == photo.resolve().parent for photo in photos):
        raise ValueError(f"'{out}' is the folder of your photos, and pictures in it might be replaced: choose another")
    if photos and folder.parts[-2:] == MODELS.parts:
        raise ValueError(f"'{out}' comes with the course, and files in it might be replaced: choose another")
    nearest = next(path for path in (out.absolute(), *out.absolute().parents) if os.path.lexists(path))
    if not nearest.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(nearest))
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(nearest))
    return out


def note(text: str) -> None:
    """What a user should know besides, on stderr."""
    typer.echo(f"note: {text}", err=True)


@contextmanager
def leaving_out(path: Path | str, left_out: list[str], alone: bool = False) -> Iterator[None]:
    """One of many inputs: what is wrong with it is said, it joins `left_out`, and the others go on (if not `alone`)."""
    try:
        yield
    except (ValueError, OSError) as error:
        if alone or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        left_out.append(str(path))
        why = " ".join(message_of(error).split())
        typer.echo("left out: " + (why if str(path) in why else f"'{path}': {why}"), err=True)


def end(left_out: Sequence[str]) -> None:
    """The end of a verb with several inputs: says how many were left out (stderr says why); then with code `PARTLY`."""
    if left_out:
        typer.echo(f"{len(left_out)} left out: see above", err=True)
        raise typer.Exit(PARTLY)


def stop(words: str) -> NoReturn:
    """The end of a verb after Ctrl-C: says so, and what there is; then with code `INTERRUPTED`."""
    typer.echo(words, err=True)
    raise typer.Exit(INTERRUPTED) from None


def stop_search(kept: str) -> NoReturn:
    """As `stop`, where codes were searched; `kept`: what there is."""
    stop(f"stopped early by Ctrl-C, before the search was at its end: {kept}; run it again for all of it")


def say_unknown(names: Iterable[str], outside, what: str) -> None:
    for name in compress(names, outside.tolist()):
        typer.echo(f"{name}: {UNKNOWN}: {what}", err=True)
