"""Files: one safe reader, one writer that never leaves half a file, one lock, and where the course lies.

A `.pt` file is a pickle, which may run any code when it is opened. So `read` looks at the first bytes, and then takes
PyTorch's restricted reader (`weights_only=True`), which builds tensors and plain values and nothing else; besides,
published files need `argparse.Namespace`, their options. PyTorch is imported in functions: `crawl` and `--help` start
without it.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import json
import os
import pickle
import re
import zipfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from stylegan2 import __repository__

if TYPE_CHECKING:
    from torch import Tensor

EXPECTED = "expected a checkpoint of this package, a rosinality .pt or an NVIDIA .pkl"
LISTED = 4  # an error names the first few entries, not hundreds
TORCH_LEGACY = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"  # how torch.save began before 1.6
BEGINNINGS = {  # what a file is that begins with these bytes
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"RIFF": "a WebP image or a sound file",
    b"BM": "a BMP image",
    b"%PDF": "a PDF document",
    b"\x1f\x8b": "a gzip archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"\x89HDF": "an HDF5 file",
    b"version https://git-lfs": "a Git LFS pointer, not the file itself: run `git lfs pull`",
}


class CheckpointError(ValueError):
    """A file that cannot be read as a checkpoint: says which file, what it is and what was expected."""


class InUse(OSError):
    """Another process writes to this folder."""


class CourseError(RuntimeError):
    """Something that the course needs is missing; the message says how to get it."""


# -------------------------------------------------------------------------------------------------------------- read
def read(path: str | os.PathLike, mmap: bool = False) -> Any:
    """What `torch.save` put into the file, with all tensors on the CPU; nothing in the file is executed.

    mmap: map the tensors instead of reading them: what is not used costs nothing.
    Raises CheckpointError: not there, empty, truncated, not PyTorch's, or with objects that are not plain data.
    """
    import torch

    recognise(path)
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap and zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"'{path}' {_refused(str(error))}; {EXPECTED}") from error
    except Exception as error:  # a damaged file may raise anything
        message = f"'{path}' is damaged or truncated ({reason(error)}); {EXPECTED}: fetch it again"
        raise CheckpointError(message) from error


def reason(error: Exception) -> str:
    """The first line of an error, or its kind where it has no words."""
    return str(error).strip().splitlines()[0][:100] if str(error).strip() else type(error).__name__


def _refused(message: str) -> str:
    named = re.search(r"GLOBAL ([\w.]+)", message) or re.search(r"(?:class|function|global) [`']?([\w.]+)", message)
    held = f"holds Python objects or code ({named[1]})" if named else "is damaged, or holds Python objects or code"
    return f"{held}: refused, nothing was run"


def recognise(path: str | os.PathLike) -> None:
    """Look at the first bytes: return if the file may be PyTorch's. Raises CheckpointError: what else it is."""
    path = Path(path)
    if not path.exists():
        raise CheckpointError(f"there is no file '{path}'{_similar(path)}; {EXPECTED}")
    if path.is_dir():
        inside = sorted(p.name for p in path.glob("*.pt"))
        raise CheckpointError(f"'{path}' is a folder; {EXPECTED}" + (f", like {few(inside)} in it" if inside else ""))
    with path.open("rb") as file:
        what = _what(path, file.read(65536))
    if what:
        raise CheckpointError(f"'{path}' is {what}; {EXPECTED}")


def _similar(path: Path) -> str:
    if not path.parent.is_dir():
        return f" (nor a folder '{path.parent}')"
    names = sorted(p.name for p in path.parent.iterdir() if p.is_file())
    close = difflib.get_close_matches(path.name, names, n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(close)}?" if close else ""


def _what(path: Path, head: bytes) -> str | None:
    """What the file is, in words, if it is not PyTorch's; else None."""
    if not head:
        return "empty: fetch it again"
    if re.match(rb"\s*(<!doctype html|<html|<head|<\?xml)", head, re.IGNORECASE) or b"<html" in head[:2048].lower():
        return "a web page, probably a download quota notice: download it again"
    if known := [what for beginning, what in BEGINNINGS.items() if head.startswith(beginning)]:
        return known[0]
    if head.startswith(b"PK"):
        return _what_zip(path)
    if head.startswith(TORCH_LEGACY):
        return None
    if head.startswith(b"\x80") and b"dnnlib" in head:
        return "a pickle of NVIDIA's TensorFlow code: take the one made for stylegan2-ada-pytorch"
    if head.startswith(b"\x80"):
        return "a Python pickle, which could run code when opened, so it was not"
    is_text = all(byte >= 32 or byte in b"\t\n\r" for byte in head[:256])
    return "a text file" if is_text else "not a PyTorch file"


def _what_zip(path: Path) -> str | None:
    names = zip_names(path)
    if names is None:
        return "a truncated or damaged PyTorch or zip file: fetch it again"
    if any(name.endswith("/constants.pkl") for name in names):
        return "a TorchScript program"
    return None if any(name.endswith("data.pkl") for name in names) else f"a zip of something else ({few(names)})"


def zip_names(path: Path) -> list[str] | None:
    """The names in a zip's table of contents, which is at its end; None where it cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return None


def sha256(path: str | os.PathLike) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# ------------------------------------------------------------------------------------------------------------- write
@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """A file beside `path` to write to; folders are made. If all goes well it is forced to the disk and takes the name
    `path` in one step. Whatever goes wrong, Ctrl-C too, `path` keeps its content and the other file is removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.stem}.part{path.suffix}")  # the ending stays: writers of pictures go by it
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    if os.name == "posix":  # the new name too, where folders can be opened
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write(path: str | os.PathLike, content: Any) -> None:
    """Save tensors and plain values, in dicts and lists, for `read`, by `replacing`."""
    import torch

    with replacing(path) as part, part.open("wb") as file:
        torch.save(content, file)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a text in UTF-8 by `replacing`."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8", newline="")


def write_json(path: str | os.PathLike, content: object) -> None:
    """Write plain values as indented JSON by `replacing`. Raises TypeError for others, before anything is touched."""
    write_text(path, json.dumps(content, indent=2) + "\n")


# -------------------------------------------------------------------------------------------------- lock and folder
@contextmanager
def only_writer(out: str | os.PathLike, wait: float = 0) -> Iterator[None]:
    """Hold a lock on the folder `out` (made if missing); the system frees it when the process dies, in any way.

    The lock is a hidden file beside the folder; a drive without locks has none.
    Raises FileExistsError where a file has that name, InUse where another process holds it for `wait` seconds.
    """
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise FileExistsError(f"'{out}' is a file; choose a folder")
    out.mkdir(parents=True, exist_ok=True)
    folder = out.resolve()
    lock = FileLock(folder.parent / f".{folder.name}.lock", timeout=wait, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout:
        raise InUse(f"another process writes to '{out}': wait for it or choose another folder") from None
    except OSError:
        pass  # some network drives have no locks
    try:
        yield
    finally:
        if lock.is_locked and os.name == "posix":  # while it is held: who comes now makes a new file
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def find_root() -> Path:
    """The course's folder, upwards from this one or a clone just below. Raises CourseError where there is none."""
    start = Path.cwd().resolve()
    clone = start / __repository__.rpartition("/")[2]  # on Colab, after the kernel was started anew
    for folder in (start, *start.parents, clone):
        if (folder / "notebooks").is_dir() and (folder / "checkpoints").is_dir():
            return folder
    raise CourseError(f"'{start}' is not inside the course: open the notebook from the course's notebooks/ folder")


# --------------------------------------------------------------------------------------------- checks of state dicts
def check_entries(
    name: str, given: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]], optional: Collection[str] = ()
) -> None:
    """Compare a file's state dict with the `shapes` of all entries of a network; those in `optional` may be missing.

    Raises CheckpointError: the first few missing, unknown and wrongly shaped entries of the `name`d network.
    """
    other = [k for k, shape in shapes.items() if k in given and tuple(given[k].shape) != tuple(shape)]
    problems = {
        "missing": [k for k in shapes if k not in given and k not in optional],
        "unknown": [k for k in given if k not in shapes],
        "wrong shape": [f"{k} {list(given[k].shape)} instead of {list(shapes[k])}" for k in other],
    }
    lines = [f"{what}: {few(entries)}" for what, entries in problems.items() if entries]
    if lines:
        raise CheckpointError(f"the {name}'s entries do not fit; " + "; ".join(lines))


def need_entries(name: str, given: Mapping[str, Tensor], axes: Mapping[str, int]) -> None:
    """Raises CheckpointError where an entry that sizes are read from is missing or has another number of axes."""
    for k, ndim in axes.items():
        if k not in given:
            raise CheckpointError(f"the {name} lacks {k}, from which its size is read; it has {few(list(given))}")
        if given[k].ndim != ndim:
            raise CheckpointError(f"the {name}'s {k} should have {ndim} axes, has shape {list(given[k].shape)}")


def few(names: list[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return (", ".join(names[:LISTED]) or "nothing") + more


def counted(number: int, noun: str) -> str:
    """ "1 face", "2 faces", "1,000 faces"."""
    return f"{number:,} {noun}{'s' * (number != 1)}"
