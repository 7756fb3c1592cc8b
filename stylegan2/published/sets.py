"""Sets of pictures that others published, for full scale: fetched once, checked, with their licences.

    folder = fetch("metfaces", "data")           # data/metfaces/*.png; go on with: prepare data/metfaces ...

A picture gets its name only when it is whole; an interrupted run is resumed by the same command. The names come from a
server and are not trusted.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple

from stylegan2.bars import bar
from stylegan2.data.images import Refused, decode
from stylegan2.files import only_writer
from stylegan2.published.fetch import DRIVE, FetchError, ask, download

ENDINGS = (".png", ".jpg", ".jpeg", ".webp")


class PublishedSet(NamedTuple):
    """One set of pictures on Google Drive."""

    drive: str  # id of a folder of pictures, or of one archive
    is_folder: bool  # which of the two
    licence: str  # in short
    description: str
    sums: str = ""  # id of a JSON file with the pictures' MD5 sums


SETS = {
    "metfaces": PublishedSet(
        "1iChdwdW7mZFUyivKtDwL8ehCNhYKQz6D",
        True,
        "CC BY-NC 2.0 (NVIDIA; pictures of works in the Metropolitan Museum of Art)",
        "1,336 faces from paintings, 1024 pixels",
        "1o11-JkkwBbZW61w03O7qGrhkydNALDSH",
    ),
    "ukiyoe": PublishedSet(
        "1zEgVLrKVp8oCZuX0NENcAeh-kdaKJzNG",
        False,
        "CC BY-SA 4.0 (Justin Pinkney)",
        "more than 5,000 aligned faces from Japanese prints, 1024 pixels",
    ),
}


def fetch(name: str, out: str | os.PathLike, progress: bool = True) -> Path:
    """Fetch one of `SETS`, or what is missing of it, to out/NAME; returns a folder or archive for `prepare`.

    Raises FetchError: an unknown name, or it cannot be had; InUse: another process fetches into this folder.
    """
    if name not in SETS:
        raise FetchError(f"no published set {name!r}; there are: {', '.join(SETS)}")
    folder = Path(out) / name
    with only_writer(folder):
        return (_folder if SETS[name].is_folder else _archive)(SETS[name], folder, progress)


def _folder(wanted: PublishedSet, folder: Path, progress: bool) -> Path:
    """Fetch every picture of a folder on Drive."""
    words = f"the list of {folder.name}", "Google Drive", _remedy(wanted, folder)
    listed = ask("download_folder", *words, id=wanted.drive, skip_download=True)
    names = {Path(file.path).name: file.id for file in listed}  # without folders
    pictures = [name for name in names if name.lower().endswith(ENDINGS) and not name.startswith(".")]
    sums = _sums(wanted, folder) if wanted.sums else {}
    left = [name for name in pictures if not (folder / name).is_file()]
    if progress and left:
        print(f"fetching {folder.name}, {len(left):,} pictures, from Google Drive, once", file=sys.stderr)
    for name in bar(left, folder.name, "img", progress):
        incoming = _get(wanted, folder, names[name], name)
        try:
            data = incoming.read_bytes()
            if name in sums and hashlib.md5(data, usedforsecurity=False).hexdigest() != sums[name]:
                raise Refused(f"{name} has not the MD5 sum that was published: fetch it again")
            decode(data)
        except Refused as error:
            incoming.unlink()
            raise FetchError(f"what came as {name} is not it: {error}") from error
        incoming.replace(folder / name)
    return folder


def _get(wanted: PublishedSet, folder: Path, id: str, name: str, progress: bool = False) -> Path:
    """Fetch a file of Drive by its id; until it is checked it is a hidden one."""
    incoming = folder / f".{name}"
    download(f"{DRIVE}/uc?id={id}", incoming, name, _remedy(wanted, folder), progress)
    return incoming


def _remedy(wanted: PublishedSet, folder: Path) -> str:
    kind = "drive/folders" if wanted.is_folder else "file/d"
    return f"open {DRIVE}/{kind}/{wanted.drive} in a browser and put what you get into '{folder}'"


def _sums(wanted: PublishedSet, folder: Path) -> dict[str, str]:
    """MD5 sums by file name."""
    path = _get(wanted, folder, wanted.sums, "sums.json")
    try:
        return find_sums(path.read_bytes())
    except ValueError as error:
        raise FetchError(f"the list of sums of {folder.name} is no JSON ({error}): fetch it again") from error
    finally:
        path.unlink()


def find_sums(text: bytes) -> dict[str, str]:
    """MD5 sums by file name, of JSON objects at any depth with "X_path" and "X_md5". Raises ValueError: no JSON."""
    sums = {}

    def note(entry: dict) -> None:
        for key, md5 in entry.items():
            stem, _, kind = key.rpartition("_")
            path = entry.get(f"{stem}_path")
            if kind == "md5" and isinstance(path, str) and re.fullmatch(r"[0-9a-f]{32}", str(md5)):
                sums[Path(path).name] = md5

    json.loads(text, object_hook=note)
    return sums


def _archive(wanted: PublishedSet, folder: Path, progress: bool) -> Path:
    """Fetch one archive: a zip stays as it is, since `prepare` reads it; a tar is unpacked."""
    done = [*folder.glob("*.zip"), *folder.glob("images")]
    if done:
        return done[0]
    incoming, part = _get(wanted, folder, wanted.drive, folder.name, progress), folder / ".images"
    if zipfile.is_zipfile(incoming):
        return incoming.replace(folder / f"{folder.name}.zip")
    try:
        with tarfile.open(incoming) as archive:
            for entry in archive:
                _unpack(archive, entry, part.resolve())
        if not part.is_dir():
            raise tarfile.ReadError("no file is in it")
        return part.replace(folder / "images")
    except tarfile.TarError as error:
        shutil.rmtree(part, ignore_errors=True)
        raise FetchError(
            f"what came as {folder.name} is neither a zip nor a tar, is damaged, or would write outside ({error}): "
            f"{_remedy(wanted, folder)}"
        ) from error
    finally:
        incoming.unlink()


def _unpack(archive: tarfile.TarFile, entry: tarfile.TarInfo, folder: Path) -> None:
    """Write a plain file of an archive; links and devices are passed over. Raises TarError for a place outside.

    By hand, since Pythons before 3.11.4 do not know `extractall(filter="data")`.
    """
    path = (folder / entry.name).resolve()
    if not path.is_relative_to(folder):
        raise tarfile.TarError(f"{entry.name!r} lies outside")
    if content := archive.extractfile(entry) if entry.isfile() else None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as out:
            shutil.copyfileobj(content, out)
