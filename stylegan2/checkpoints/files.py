"""Reading files nobody vouches for, and writing files that are never half there.

A `.pt` file is a pickle, and a pickle may run any code when it is opened. So a file is looked at first, as bytes, and
then opened by PyTorch's restricted reader (`weights_only=True`), which builds tensors and plain values and nothing
else; the one class that published files need besides is `argparse.Namespace`, a bag of options.
"""

import argparse
import difflib
import hashlib
import io
import os
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import torch

from stylegan2.bars import bar
from stylegan2.checkpoints.errors import CheckpointError, few

EXPECTED = "expected a checkpoint of this package, a rosinality .pt or an NVIDIA .pkl"
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


def read(path: Path, mmap: bool = False) -> Any:
    """What `torch.save` put into the file, with all tensors on the CPU; nothing in the file is executed.

    Args:
        path: the file.
        mmap: map the tensors instead of reading them: what is not used costs nothing.

    Raises:
        CheckpointError: not there, empty, truncated, not PyTorch's, or with objects that are not plain data.
    """
    recognise(path)
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap and zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"'{path}' {_refused(str(error))}; {EXPECTED}") from error
    except Exception as error:  # a damaged file may raise anything
        reason = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
        raise CheckpointError(f"'{path}' is damaged or truncated ({reason}); {EXPECTED}: fetch it again") from error


def _refused(message: str) -> str:
    named = re.search(r"GLOBAL ([\w.]+)", message) or re.search(r"(?:class|function|global) [`']?([\w.]+)", message)
    if named:
        return f"holds Python objects or code ({named[1]}): refused, nothing was run"
    return "is damaged, or holds Python objects or code: refused, nothing was run"


def recognise(path: Path) -> None:
    """Look at the first bytes: return if it may be PyTorch's, else say what it is.

    Raises:
        CheckpointError: it is something else.
    """
    if not path.exists():
        raise CheckpointError(f"there is no file '{path}'{_similar(path)}; {EXPECTED}")
    if path.is_dir():
        inside = sorted(p.name for p in path.glob("*.pt"))
        raise CheckpointError(f"'{path}' is a folder; {EXPECTED}" + (f", like {few(inside)} in it" if inside else ""))
    with path.open("rb") as file:
        head = file.read(65536)
    what = _what(path, head)
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
    for beginning, what in BEGINNINGS.items():
        if head.startswith(beginning):
            return what
    if head.startswith(b"PK"):
        return _what_zip(path)
    if head.startswith(b"\x80"):
        return None if head.startswith(TORCH_LEGACY) else _what_pickle(head)
    is_text = all(byte >= 32 or byte in b"\t\n\r" for byte in head[:256])
    return "a text file" if is_text else "not a PyTorch file"


def _what_zip(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:  # its table of contents is at the end
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return "a truncated or damaged PyTorch or zip file: fetch it again"
    if any(name.endswith("/constants.pkl") for name in names):
        return "a TorchScript program"
    return None if any(name.endswith("data.pkl") for name in names) else f"a zip of something else ({few(names)})"


def _what_pickle(head: bytes) -> str:
    if b"dnnlib" in head:
        return "a pickle of NVIDIA's TensorFlow code: take the one made for stylegan2-ada-pytorch"
    return "a Python pickle, which could run code when opened, so it was not"


def write(path: Path, content: Any, deflate: bool = False) -> None:
    """Save `content` so that `path` holds all of it or what it held before, whatever happens; folders are made.

    It goes to a file beside, is forced to the disk, and takes the name in one step.

    Args:
        path: the file.
        content: what `torch.load(path, weights_only=True)` will give back.
        deflate: compress it. `torch.load` reads it all the same, but cannot map it; pays where a table is mostly zeros.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            _save_deflated(content, file) if deflate else torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:  # Ctrl-C too
        part.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _save_deflated(content: Any, file: BinaryIO) -> None:
    """`torch.save` stores its zip's entries as they are; here they are compressed, without the time of day."""
    stored = io.BytesIO()
    torch.save(content, stored)
    with zipfile.ZipFile(stored) as old, zipfile.ZipFile(file, "w") as new:
        for entry in old.infolist():
            new.writestr(zipfile.ZipInfo(entry.filename), old.read(entry), zipfile.ZIP_DEFLATED, 9)


def _sync_folder(folder: Path) -> None:
    """Force the new name to the disk too, where folders can be opened (not on Windows)."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sha256(path: str | os.PathLike) -> str:
    """SHA-256 of a file's bytes, in hexadecimal; with a bar, should it take long."""
    digest, path = hashlib.sha256(), Path(path)
    with (
        path.open("rb") as file,
        bar(what=f"check {path.stem}", unit="B", total=path.stat().st_size, unit_scale=True) as shown,
    ):
        while chunk := file.read(1 << 22):
            digest.update(chunk)
            shown.update(len(chunk))
    return digest.hexdigest()
