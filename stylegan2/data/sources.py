"""Where images come from: a folder, a zip, or a rendered pocket set; all three look the same to `prepare`.

Nothing here is trusted: names may lead out of the folder, headers may lie, files may be cut off. Zip entries are read
in memory and never extracted, and a damaged file costs one line in a report, never the run.
"""

from __future__ import annotations

import hashlib
import os
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from stylegan2.data.images import Refused, Settings, decode, describe, to_square

CROPS, FACES = "crops.jsonl", "faces"  # what a folder of `crop` holds: its list, and the faces that were kept
MAX_FILE_BYTES = 256 << 20  # no single picture is larger; guards memory before anything is decoded
MAX_ZIP_RATIO, RATIO_FROM_BYTES = 200, 8 << 20  # above 8 MiB unpacked, pictures never shrink two hundredfold

Images = dict[int, Image.Image]  # size in pixels -> RGB image of size x size


@dataclass(frozen=True)
class Source:
    """What folder, zip and rendered sets share."""

    title: str  # short, without paths of the machine
    names: tuple[str, ...]  # one per item, in the order in which items are numbered
    fingerprint: str  # changes whenever names, sizes or contents of the items may have changed
    refused: dict[int, str] = field(default_factory=dict)  # item -> why it must not even be opened

    lossless_by_default = False
    at_once = 1  # items that a thread loads together

    def __len__(self) -> int:
        return len(self.names)

    def load(self, indices: range, settings: Settings) -> list[Images | str]:
        """Items -> for each {size: RGB image}, or the reason (str) why there is none."""
        loaded, shrink_to = [], max(settings.sizes) if settings.crop else None
        for index in indices:
            try:
                image = decode(self.read(index), shrink_to)
                loaded.append({s: to_square(image, s, settings.resample, settings.crop) for s in settings.sizes})
            except Refused as refusal:
                loaded.append(str(refusal))
        return loaded

    def read(self, index: int) -> bytes:
        """The bytes of one item's file. Raises Refused where it cannot, or must not, be read."""
        raise NotImplementedError


@dataclass(frozen=True)
class FileSource(Source):
    """The visible files below a folder, or the entries of a zip, which are read in memory, never extracted."""

    root: Path = Path()  # the folder or zip
    entries: tuple[Path | zipfile.ZipInfo, ...] = ()
    archive: zipfile.ZipFile | None = None  # stays open: reading the directory of a large one takes seconds

    def read(self, index: int) -> bytes:
        if index in self.refused:
            raise Refused(self.refused[index])
        entry = self.entries[index]
        try:
            with self.archive.open(entry) if self.archive else open(entry, "rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
        except Exception as error:  # of a cut-off or lying zip entry: zipfile and zlib raise many types
            if not self.root.exists():  # else a drive that was taken away would count as thousands of damaged files
                raise FileNotFoundError(f"the source {self.root} is gone; bring it back and run again") from error
            raise Refused(f"cannot be read ({getattr(error, 'strerror', '') or describe(error)})") from error
        if len(data) > MAX_FILE_BYTES:
            raise Refused(f"larger than {MAX_FILE_BYTES >> 20} MiB")
        return data


# ----------------------------------------------------------------------------------------------------------- opening

_EXPECTED = "expected a folder of images, a .zip of images, or a rendered set such as 'pocket:webtoon'"
_OPENERS: dict[str, Callable[[str, int | None], Source]] = {}  # by what stands before the colon


def register(kind: str, opener: Callable[[str, int | None], Source]) -> None:
    """Let `open_source` open "KIND:..." by `opener(text, limit)`. A wing that makes images registers itself so."""
    _OPENERS[kind] = opener


def is_registered(text: str) -> bool:
    """Is it "KIND:..." of a registered kind? (A path on Windows has a colon, too.)"""
    return text.partition(":")[0] in _OPENERS


def open_source(
    source: str | os.PathLike, limit: int | None = None, exclude: str | os.PathLike | None = None
) -> Source:
    """Open a folder, a `.zip`, or `pocket:DOMAIN?n=1000&seed=0&start=0`; of a folder that `crop` wrote, its faces.

    `limit` keeps the first so many items, sorted by name; `exclude` is a folder that is not listed (the output, should
    it lie inside the source). Raises FileNotFoundError or ValueError saying what was given and what is expected.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit={limit}: expected a positive number of images, or None for all")
    text = os.fspath(source)
    if is_registered(text):
        return _OPENERS[text.partition(":")[0]](text, limit)
    path = Path(text).expanduser().absolute()
    if (path / "data.mdb").is_file():
        error = ValueError(f"'{text}' is a dataset already: train and inspect take it as it is")
        error.add_note(f"In Python: stylegan2.data.dataset.LMDBDataset('{text}')")
        raise error
    if (path / CROPS).is_file() and (path / FACES).is_dir():
        path = path / FACES
    if path.is_dir():
        exclude = exclude and Path(exclude).resolve()
        if path.resolve() == exclude:
            raise ValueError(f"'{text}' is both source and output: choose another folder for the output")
        return _of_files(f"folder {path.name}", _walk(path, exclude), limit, path)
    if not path.exists():
        raise FileNotFoundError(f"no such folder or zip: '{text}'; {_EXPECTED}")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"'{text}' is a file but not a (whole) zip archive; {_EXPECTED}")
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise ValueError(f"'{path}' is a damaged zip archive ({error}); download or create it again") from error
    items = (
        (info.filename, f"{info.filename}|{info.file_size}|{info.CRC}", _zip_refusal(info), info)
        for info in archive.infolist()
        if not info.is_dir() and not _hidden(info.filename.replace("\\", "/"))
    )
    return _of_files(f"zip {path.name}", items, limit, path, archive)


def fingerprint_of(parts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


def _hidden(name: str) -> bool:
    """Left out silently. (`..` is no hidden file but leaves the folder, which is reported.)"""
    parts = [part for part in name.split("/") if part not in (".", "..")]
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)


def _of_files(
    title: str, items: Iterable[tuple], limit: int | None, root: Path, archive: zipfile.ZipFile | None = None
) -> FileSource:
    """`items`: (name, text that changes with the contents, reason to refuse or None, entry)."""
    items = sorted(items, key=lambda item: item[0])[:limit]
    if not items:
        raise ValueError(f"'{root}' holds no files; {_EXPECTED}")
    names, contents, reasons, entries = zip(*items, strict=True)
    refused = {k: reason for k, reason in enumerate(reasons) if reason}
    return FileSource(title, names, fingerprint_of(contents), refused, root, entries, archive)


def _walk(root: Path, exclude: Path | None) -> Iterator[tuple[str, str, str | None, Path]]:
    """All visible files below `root`, as `_of_files` wants them."""
    for folder, subfolders, files in os.walk(root):
        here = Path(folder)
        links = [name for name in subfolders if (here / name).is_symlink()]
        subfolders[:] = [n for n in subfolders if not _hidden(n) and (here / n).resolve() != exclude]
        for path in [here / name for name in files + links if not _hidden(name)]:
            name = path.relative_to(root).as_posix()
            try:
                stat = path.stat()
            except OSError as error:
                yield name, name, f"cannot be read ({error.strerror or error})", path
                continue
            regular = path.is_file()  # a named pipe would block for ever
            reason = None if regular else "not a regular file (links to folders are not followed)"
            yield name, f"{name}|{stat.st_size}|{stat.st_mtime_ns}", reason, path


def _zip_refusal(info: zipfile.ZipInfo) -> str | None:
    """Why a zip entry must not be opened, or None. Judged by the directory alone, before a byte is unpacked."""
    name = info.filename.replace("\\", "/")
    if name.startswith("/") or re.match(r"[A-Za-z]:", name) or ".." in name.split("/"):
        return "its path leaves the archive"
    if (info.external_attr >> 16) & 0o170000 == 0o120000:
        return "a symbolic link"
    if info.flag_bits & 1:
        return "encrypted; unpack the archive with its password first"
    if info.file_size > MAX_FILE_BYTES:
        return f"declares {info.file_size / (1 << 20):,.0f} MiB (at most {MAX_FILE_BYTES >> 20}): a decompression bomb?"
    if info.file_size > RATIO_FROM_BYTES and info.file_size > MAX_ZIP_RATIO * max(1, info.compress_size):
        return f"unpacks to {info.file_size // max(1, info.compress_size):,} times its size: a decompression bomb?"
    return None
