"""Sets of pictures that others published, for full scale: fetched once, checked, licence in hand.

    folder = fetch("metfaces", "data")           # data/metfaces/*.png; go on with: prepare data/metfaces ...

A picture gets its name only when it is whole; Ctrl-C, and the same command again, goes on. The names come from a server
and are not trusted.
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
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stylegan2.bars import bar
from stylegan2.data.images import Refused, decode
from stylegan2.files import only_writer
from stylegan2.published import zoo

ENDINGS = (".png", ".jpg", ".jpeg", ".webp")
INCOMING = ".incoming"


@dataclass(frozen=True)
class PublishedSet:
    """One set.

    Attributes:
        drive: id of a folder of pictures, or of one archive, on Google Drive.
        is_folder: which of the two.
        licence: in short.
        says: what it is.
        sums: id of a JSON file that knows the pictures' MD5 sums, or "".
    """

    drive: str
    is_folder: bool
    licence: str
    says: str
    sums: str = ""


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
    """Fetch a set, or what is missing of it.

    Args:
        name: one of `SETS`.
        out: folder; the set gets a folder of its name there.
        progress: bars.

    Returns:
        what `prepare` takes: a folder of pictures, or an archive.

    Raises:
        zoo.ZooError: an unknown name, or it cannot be had; says what to do.
        RuntimeError: another process fetches into this folder.
    """
    if name not in SETS:
        raise zoo.ZooError(f"no published set {name!r}; there are: {', '.join(SETS)}")
    folder = Path(out) / name
    with only_writer(folder):
        (folder / INCOMING).mkdir(exist_ok=True)
        try:
            return _folder(SETS[name], folder, progress) if SETS[name].is_folder else _archive(name, folder, progress)
        finally:
            if not any((folder / INCOMING).iterdir()):
                (folder / INCOMING).rmdir()


def _folder(wanted: PublishedSet, folder: Path, progress: bool) -> Path:
    """Every picture of a folder on Drive."""
    listed = zoo.ask_drive(_listing, wanted.drive, f"the list of {folder.name}", _advice(wanted, folder))
    sums = _sums(wanted, folder)
    left = [(drive, name) for drive, name in listed if not (folder / name).is_file()]
    if progress and left:
        print(f"fetching {folder.name}, {len(left):,} pictures, from Google Drive, once", file=sys.stderr)
    for drive, name in bar(left, folder.name, "img", progress):
        incoming = folder / INCOMING / name
        zoo.ask_drive(zoo.download, drive, name, _advice(wanted, folder), output=str(incoming))
        _check(incoming, sums.get(name))
        os.replace(incoming, folder / name)
    return folder


def _listing(id: str) -> list[tuple[str, str]]:
    """Ids and names of the pictures of a folder on Drive: names that are nothing but names."""
    import gdown

    found = gdown.download_folder(id=id, skip_download=True, quiet=True, use_cookies=False, timeout=zoo.PATIENCE)
    names = [(file.id, Path(file.path).name) for file in found]
    return [(drive, name) for drive, name in names if name.lower().endswith(ENDINGS) and not name.startswith(".")]


def _check(path: Path, md5: str | None) -> None:
    """A whole picture, and the one that was published. Raises ZooError, and removes it, where not."""
    data = path.read_bytes()
    try:
        if md5 is not None and hashlib.md5(data, usedforsecurity=False).hexdigest() != md5:
            raise zoo.ZooError(f"{path.name} has not the MD5 sum that was published: fetch it again")
        decode(data)
    except (zoo.ZooError, Refused) as error:
        path.unlink()
        raise zoo.ZooError(f"what came as {path.name} is not it: {error}") from error


def _sums(wanted: PublishedSet, folder: Path) -> dict[str, str]:
    """MD5 sums by file name, where they are published."""
    if not wanted.sums:
        return {}
    path = folder / INCOMING / "sums.json"
    zoo.ask_drive(zoo.download, wanted.sums, "the list of sums", _advice(wanted, folder), output=str(path))
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise zoo.ZooError(f"the list of sums of {folder.name} is no JSON ({error}): fetch it again") from error
    finally:
        path.unlink()
    return dict(find_sums(content))


def find_sums(content: Any) -> Iterator[tuple[str, str]]:
    """Pairs of file name and MD5 sum, wherever they stand: as "..._path" (or file) and "..._md5" of one object."""
    if isinstance(content, list):
        for item in content:
            yield from find_sums(item)
    elif isinstance(content, dict):
        for key, value in content.items():
            yield from find_sums(value)
            sum_key = re.sub(r"(path|file|name)$", "md5", key)
            md5 = content.get(sum_key) if sum_key != key else None
            if isinstance(value, str) and isinstance(md5, str) and re.fullmatch(r"[0-9a-f]{32}", md5):
                yield Path(value).name, md5


def _archive(name: str, folder: Path, progress: bool) -> Path:
    """One archive: a zip stays as it is, `prepare` reads it; a tar is unpacked."""
    wanted, done = SETS[name], [*folder.glob("*.zip"), *folder.glob("images")]
    if done:
        return done[0]
    incoming = folder / INCOMING / f"{name}.archive"
    with zoo.Bar(name, folder, progress, "Google Drive") as shown:
        zoo.ask_drive(zoo.download, wanted.drive, name, _advice(wanted, folder), output=str(incoming), progress=shown)
    if zipfile.is_zipfile(incoming):
        return incoming.replace(folder / f"{name}.zip")
    if tarfile.is_tarfile(incoming):
        part = folder / INCOMING / "images"
        try:
            with tarfile.open(incoming) as archive:
                archive.extractall(part, filter="data")  # nothing outside, no devices, no links that lead away
        except tarfile.TarError as error:
            shutil.rmtree(part, ignore_errors=True)
            incoming.unlink()
            raise zoo.ZooError(f"the archive of {name} is damaged, or would write outside ({error})") from error
        part.rename(folder / "images")
        incoming.unlink()
        return folder / "images"
    incoming.unlink()
    raise zoo.ZooError(f"what came as {name} is neither a zip nor a tar: {_advice(wanted, folder)}")


def _advice(wanted: PublishedSet, folder: Path) -> str:
    kind = "drive/folders" if wanted.is_folder else "file/d"
    return f"open https://drive.google.com/{kind}/{wanted.drive} in a browser and put what you get into '{folder}'"
