"""The published models of full scale: fetched once, and verified at every use.

    zoo = Zoo(course_root / "checkpoints" / "full")
    path = zoo.fetch("NaverWebtoon_FreezeSG")       # already here, from a mirror, or from Google Drive

Their publishers give no hashes: SHA-256 is recorded at the first download, and a file that changes later is refused. Of
a download only `KEPT` (about a quarter) stays; both hashes are recorded. A file put here by hand is not changed. Their
licences are not stated either: take them as for research only.
"""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from stylegan2 import files
from stylegan2.checkpoints import CheckpointError
from stylegan2.published.fetch import DRIVE, FetchError, check_room, download, silence

KEPT = ("format", "num_ws", "psi", "meta", "g_ema", "latent_avg", "d", "e", "args", "ada_aug_p")  # of a checkpoint
BY_HAND, INCOMING = "put here by hand", ".incoming"
MIRROR = "COURSE_MIRROR"  # variable: a folder, or an address below which the files lie
RECORD = "sha256.json"


class Model(NamedTuple):
    """One published file."""

    drive: str  # its id on Google Drive
    course: str  # what notebooks call it: "photo", "encoder", or DOMAIN_METHOD


MODELS = {
    "ffhq256": Model("1PQutd-JboOCOZqmd95XWxWrO8gGEvRcO", "photo"),
    "encoder_ffhq": Model("1QQuZGtHgD24Dn5E21Z2Ik25EPng58MoU", "encoder"),
    "NaverWebtoon": Model("1yIn_gM3Fk3RrRphTPNBPgJ3c-PuzCjOB", "webtoon_baseline"),
    "NaverWebtoon_FreezeSG": Model("1OysFtj7QTy7rPnxV9TXeEgBfmtgr8575", "webtoon_freeze-sg"),
    "NaverWebtoon_StructureLoss": Model("1Oylfl5j-XGoG_pFHtQwHd2G7yNSHx2Rm", "webtoon_structure-loss-paper"),
    "Romance101": Model("1wWt4dPC9TJfJ6cF3mwg7kQvpuVwPhSN7", "romance101_baseline"),
    "TrueBeauty": Model("1yEky49SnkBqPhdWvSAwgK5Sbrc3ctz1y", "truebeauty_baseline"),
    "Disney": Model("1z51gxECweWXqSYQxZJaHOJ4TtjUDGLxA", "disney_baseline"),
    "Disney_FreezeSG": Model("1PJaNozfJYyQ1ChfZiU2RwJqGlOurgKl7", "disney_freeze-sg"),
    "Disney_StructureLoss": Model("1PILW-H4Q0W8S22TO4auln1Wgz8cyroH6", "disney_structure-loss-paper"),
    "Metface_FreezeSG": Model("1P5T6DL3Cl8T74HqYE0rCBQxcq15cipuw", "metfaces_freeze-sg"),
    "Metface_StructureLoss": Model("1P65UldIHd2QfBu88dYdo1SbGjcDaq1YL", "metfaces_structure-loss-paper"),
}
BY_COURSE = {model.course: name for name, model in MODELS.items()}


class Zoo:
    """A folder of published models, with the `RECORD` of their hashes.

    `mirror`: a folder or an address that has the files, instead of Google Drive; None: the variable `MIRROR`.
    `scratch`: a folder for unfinished downloads; None: `folder`, too.
    """

    def __init__(self, folder: str | os.PathLike, mirror: str | None = None, scratch: str | os.PathLike | None = None):
        self.folder, self.mirror = Path(folder), mirror or os.environ.get(MIRROR, "")
        self.incoming = Path(scratch or folder) / INCOMING

    def path(self, name: str) -> Path:
        """Where a model lies, or would. Raises FetchError for an unknown name."""
        if name not in MODELS:
            raise FetchError(f"no published model {name!r}; there are: {', '.join(MODELS)}")
        return self.folder / f"{name}.pt"

    def has(self, name: str) -> bool:
        """Is it here? (`fetch` says whether it is unchanged.)"""
        return self.path(name).is_file()

    def obstacle(self, name: str) -> str:
        """Why a model cannot be had, so far as is known without fetching it; "": it is here, or can probably be had."""
        if self.has(name):
            return ""
        try:
            place = self._place(name)
        except FetchError as error:
            return str(error)
        no_network = not isinstance(place, Path) and silence(self.mirror or DRIVE)
        return f"no network to fetch its models; {MIRROR} names another place" if no_network else ""

    def fetch(self, name: str, progress: bool = True) -> Path:
        """A model that is here, verified, or is fetched now; an interrupted download is resumed next time.

        Raises FetchError: it cannot be had, or has changed since it was recorded; InUse: another process fetches, too.
        """
        path = self.path(name)
        with files.only_writer(self.folder):
            try:
                return self._fetch(name, path, progress)
            except CheckpointError as error:
                raise FetchError(f"what came as {name} is no checkpoint: {error}") from error

    def _fetch(self, name: str, path: Path, progress: bool) -> Path:
        incoming = self.incoming / path.name
        if path.is_file():
            incoming.unlink(missing_ok=True)  # left by a kill
            return self._verify(name, path, BY_HAND)
        origin, place = self.mirror or "Google Drive", self._place(name)
        if not incoming.is_file():  # else a whole one, left by a kill
            if isinstance(place, Path):
                _copy(name, place, incoming)
            else:
                download(place, incoming, name, self._remedy(name), progress)
        try:
            self._verify(name, incoming, origin)
            kept = self._slimmed(name, incoming, origin)
        except (CheckpointError, FetchError):
            incoming.unlink()  # or it would be taken for a whole download next time
            raise
        try:
            os.replace(kept, path)
        except OSError:  # another file system, such as a mounted Drive
            _copy(name, kept, path)
            kept.unlink()
        incoming.unlink(missing_ok=True)
        return self._verify(name, path, origin)

    def _slimmed(self, name: str, whole: Path, origin: str) -> Path:
        """What is kept of a download, as a file beside it; itself where that is all of it, or there is no room."""
        slim = whole.with_name(f"slim-{whole.name}")
        content = files.read(whole, mmap=True)
        if not isinstance(content, dict) or content.keys() <= set(KEPT) or not {"g_ema", "e"} & content.keys():
            return whole
        try:
            files.write(slim, {key: content[key] for key in KEPT if key in content})
        except (OSError, RuntimeError):  # no room for both
            return whole
        return self._verify(name, slim, origin, ours=True)

    def _place(self, name: str) -> Path | str:
        """Where it comes from: an address, or a file of the mirror's folder. Raises FetchError: that has none."""
        if not self.mirror:
            return f"{DRIVE}/uc?id={MODELS[name].drive}"
        if "://" in self.mirror:
            return f"{self.mirror.rstrip('/')}/{quote(name)}.pt"
        place = Path(self.mirror, f"{name}.pt")
        if not place.is_file():
            raise FetchError(f"the mirror has no '{place}': {self._remedy(name)}")
        return place

    def _remedy(self, name: str) -> str:
        return (
            f"open {DRIVE}/file/d/{MODELS[name].drive}/view in a browser and put the file at '{self.path(name)}', or "
            f"set {MIRROR} to a folder or an address that has {name}.pt"
        )

    def _verify(self, name: str, path: Path, origin: str, ours: bool = False) -> Path:
        """The file, if it is a checkpoint and recorded; recorded now where it is the first of its name, or `ours`."""
        record, stat = self._record(), path.stat()
        first = {"sha256": [], "from": origin, "time": datetime.now(UTC).isoformat(timespec="seconds")}
        known = record.get(f"{name}.pt", first)
        seen = [stat.st_size, stat.st_mtime_ns]  # show a change without reading the file
        if known.get("seen") == seen:
            return path
        files.recognise(path)
        digest, hashes = files.sha256(path), _hashes(known)
        if hashes and digest not in hashes and not ours:
            raise FetchError(
                f"'{path}' is not what {name} was at first (SHA-256 {digest[:16]}... now, {hashes[-1][:16]}... on "
                f"{known['time'][:10]}): if you trust it, delete its entry in '{self.folder / RECORD}'"
            )
        new = {"sha256": list(dict.fromkeys([*hashes, digest])), "bytes": stat.st_size, "seen": seen}
        files.write_json(self.folder / RECORD, record | {f"{name}.pt": known | new})
        return path

    def _record(self) -> dict[str, dict]:
        path = self.folder / RECORD
        try:
            record = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        except ValueError as error:
            raise FetchError(f"'{path}' is damaged ({error}): delete it, and the files are looked at anew") from error
        return record if isinstance(record, dict) else {}


def _hashes(entry: dict) -> list[str]:
    """All hashes of a record's entry, also of an older one: "original" is that of the whole download, if slimmed."""
    known = entry["sha256"]
    return known if isinstance(known, list) else [entry.get("original", entry)["sha256"], known]


def _copy(name: str, file: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    check_room(name, to.parent, file.stat().st_size)
    with files.replacing(to) as part:
        shutil.copyfile(file, part)
