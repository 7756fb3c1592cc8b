"""The published models of full scale: fetched once, verified ever after.

    zoo = Zoo(course_root / "checkpoints" / "full")
    path = zoo.fetch("NaverWebtoon_FreezeSG")       # there already, from a mirror, or from Google Drive

Their publishers give no hashes: size and SHA-256 are written down at the first download, and a file that changes later
is refused. A download that was cut off goes on; a file takes its name only when it is whole and really is a checkpoint.
Of a download only what draws and judges is kept (`KEPT`, about a quarter), and the hashes of both files are written
down; a file that somebody put here by hand stays as it is. Their licences are not stated either: take them as for
research only.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from stylegan2 import files
from stylegan2.bars import bar
from stylegan2.checkpoints import CheckpointError
from stylegan2.files import only_writer
from stylegan2.published.fetch import answers

KEPT = (
    "format",
    "num_ws",
    "psi",
    "meta",
    "g_ema",
    "latent_avg",
    "d",
    "e",
    "args",
    "ada_aug_p",
)  # entries of a checkpoint
BY_HAND, INCOMING = "put here by hand", ".incoming"
WORTH_SAYING = 5 << 20  # bytes of a download that is announced
MIRROR = "COURSE_MIRROR"  # variable: a folder, or an address below which the files lie
RECORD = "sha256.json"
ROOM = 64 << 20  # bytes that stay free on the disk
PATIENCE, RETRIES = 60, 5  # seconds without an answer; tries after a connection broke


class ZooError(OSError):
    """A file cannot be had, or is not what it was; the message says what to do."""


@dataclass(frozen=True)
class Model:
    """One published file.

    Attributes:
        drive: its id on Google Drive.
        course: what notebooks call it: "photo", "encoder", or DOMAIN_METHOD.
        says: what it is.
    """

    drive: str
    course: str
    says: str


MODELS = {
    "ffhq256": Model("1PQutd-JboOCOZqmd95XWxWrO8gGEvRcO", "photo", "photographs of faces, the source of all"),
    "encoder_ffhq": Model("1QQuZGtHgD24Dn5E21Z2Ik25EPng58MoU", "encoder", "from a photo to codes of ffhq256"),
    "NaverWebtoon": Model("1yIn_gM3Fk3RrRphTPNBPgJ3c-PuzCjOB", "webtoon_baseline", "webtoons, fine-tuned"),
    "NaverWebtoon_FreezeSG": Model("1OysFtj7QTy7rPnxV9TXeEgBfmtgr8575", "webtoon_freeze-sg", "webtoons, FreezeSG"),
    "NaverWebtoon_StructureLoss": Model(
        "1Oylfl5j-XGoG_pFHtQwHd2G7yNSHx2Rm", "webtoon_structure-loss", "webtoons, structure loss"
    ),
    "Romance101": Model("1wWt4dPC9TJfJ6cF3mwg7kQvpuVwPhSN7", "romance101_baseline", "one webtoon, Romance 101"),
    "TrueBeauty": Model("1yEky49SnkBqPhdWvSAwgK5Sbrc3ctz1y", "truebeauty_baseline", "one webtoon, True Beauty"),
    "Disney": Model("1z51gxECweWXqSYQxZJaHOJ4TtjUDGLxA", "disney_baseline", "animated films, fine-tuned"),
    "Disney_FreezeSG": Model("1PJaNozfJYyQ1ChfZiU2RwJqGlOurgKl7", "disney_freeze-sg", "animated films, FreezeSG"),
    "Disney_StructureLoss": Model(
        "1PILW-H4Q0W8S22TO4auln1Wgz8cyroH6", "disney_structure-loss", "animated films, structure loss"
    ),
    "Metface_FreezeSG": Model("1P5T6DL3Cl8T74HqYE0rCBQxcq15cipuw", "metfaces_freeze-sg", "paintings, FreezeSG"),
    "Metface_StructureLoss": Model(
        "1P65UldIHd2QfBu88dYdo1SbGjcDaq1YL", "metfaces_structure-loss", "paintings, structure loss"
    ),
}
BY_COURSE = {model.course: name for name, model in MODELS.items()}


class Zoo:
    """A folder of published models.

    Args:
        folder: where they lie, and what is known of them (`RECORD`).
        mirror: a folder or an address that has the files, asked instead of Google Drive; None: the variable `MIRROR`.
        scratch: a folder for unfinished downloads; None: `folder`, too.
    """

    def __init__(self, folder: str | os.PathLike, mirror: str | None = None, scratch: str | os.PathLike | None = None):
        self.folder, self.mirror = Path(folder), mirror or os.environ.get(MIRROR, "")
        self.incoming = Path(scratch or folder) / INCOMING

    def path(self, name: str) -> Path:
        """Where a model lies, or would. Raises ZooError for an unknown name."""
        if name not in MODELS:
            raise ZooError(f"no published model {name!r}; there are: {', '.join(MODELS)}")
        return self.folder / f"{name}.pt"

    def has(self, name: str) -> bool:
        """Is it here? (Whether it is what it was, `check` says.)"""
        return self.path(name).is_file()

    def obstacle(self, name: str, seconds: float = 3.0) -> str:
        """Why a model cannot be had, so far as is seen at once; "": it is here, or nothing is known to be in the way.

        Nothing is fetched: a mirror's folder has the file or not, a server takes a connection within so many seconds
        or not, see `published.answers`.
        """
        source = self._source(name)
        if self.has(name):
            return ""
        if isinstance(source, _Folder):
            return "" if source.file.is_file() else source.missing
        if answers(self.mirror or "https://drive.google.com", seconds):
            return ""
        return f"no network to fetch its models; {MIRROR} names another place"

    def check(self, name: str) -> Path:
        """A model that is here and is what it was.

        A file that was put here by hand is looked at and written down.

        Raises:
            ZooError: it is not here, is no checkpoint, or is not what it was at first.
        """
        path = self.path(name)
        if not path.is_file():
            raise ZooError(f"{name} is not here: python -m stylegan2 download {name}")
        return self._verify(name, path, BY_HAND)

    def fetch(self, name: str, progress: bool = True) -> Path:
        """A model that is here already, or is fetched now. Interrupted, it goes on next time.

        Raises:
            ZooError: it cannot be had, there is no room for it, or it is not what it was.
            RuntimeError: another process fetches into this folder.
        """
        path = self.path(name)
        with only_writer(self.folder):
            source, incoming = self._source(name), self.incoming / path.name
            if path.is_file():
                incoming.unlink(missing_ok=True)  # a kill may have come just before it was removed
                return self._verify(name, path, BY_HAND)
            incoming.parent.mkdir(parents=True, exist_ok=True)
            if not incoming.is_file():  # else a whole one, which a kill left behind
                source.fetch(incoming, Bar(name, incoming.parent, progress, source.name))
            try:
                self._verify(name, incoming, source.name)
                kept = self._slimmed(name, incoming)
            except ZooError:
                incoming.unlink()  # or it would be taken for a whole one next time
                raise
            try:
                os.replace(kept, path)
            except OSError:  # another file system, such as a mounted Drive
                _Folder(kept, "").fetch(path, Bar(name, self.folder, progress))
                kept.unlink()
            incoming.unlink(missing_ok=True)
            return self._verify(name, path, source.name)

    def _slimmed(self, name: str, whole: Path) -> Path:
        """What is kept of a download, as a file beside it whose hash is written down; itself where that is all of it.

        Raises ZooError for a file that cannot be read.
        """
        slim = whole.with_name(f"slim-{whole.name}")
        try:
            content = files.read(whole, mmap=True)
            if not isinstance(content, dict) or content.keys() <= set(KEPT) or not {"g_ema", "e"} & content.keys():
                return whole
            files.write(slim, {key: content[key] for key in KEPT if key in content})
        except CheckpointError as error:
            raise ZooError(f"what came as {name} is no checkpoint: {error}") from error
        except (OSError, RuntimeError):  # no room for both
            return whole
        record = self._record()
        first = record[f"{name}.pt"]
        first["original"] = first.get("original") or {key: first[key] for key in ("bytes", "sha256")}
        first |= {"sha256": files.sha256(slim), "bytes": slim.stat().st_size, "seen": _seen(slim)}
        files.write_json(self.folder / RECORD, record)
        return slim

    def _source(self, name: str) -> _Folder | _Address:
        file, by_hand = f"{name}.pt", f"https://drive.google.com/file/d/{MODELS[name].drive}/view"
        advice = (
            f"open {by_hand} in a browser and put the file at '{self.path(name)}', or set {MIRROR} to a folder or an "
            f"address that has {file}"
        )
        if not self.mirror:
            return _Address("Google Drive", {"id": MODELS[name].drive}, advice)
        if "://" in self.mirror:
            url = f"{self.mirror.rstrip('/')}/{quote(file)}"
            return _Address(url, {"url": url}, advice)
        return _Folder(Path(self.mirror) / file, advice)

    def _verify(self, name: str, path: Path, origin: str) -> Path:
        """The file, if it is a checkpoint and what was written down; the first time it is written down."""
        record = self._record()
        known, seen = record.get(f"{name}.pt"), _seen(path)
        if known and known.get("seen") == seen:
            return path
        try:
            files.recognise(path)
        except CheckpointError as error:
            raise ZooError(f"what came as {name} is no checkpoint: {error}") from error
        digest = files.sha256(path)
        if known and digest not in (known["sha256"], known.get("original", known)["sha256"]):
            raise ZooError(
                f"'{path}' is not what {name} was at first (SHA-256 {digest[:16]}... now, {known['sha256'][:16]}... on "
                f"{known['time'][:10]}): if you trust it, delete its entry in '{self.folder / RECORD}'"
            )
        time = datetime.now(UTC).isoformat(timespec="seconds")
        first = {"bytes": seen[0], "sha256": digest, "from": origin, "time": time}
        entry = (known or first) | {"seen": seen}
        files.write_json(self.folder / RECORD, record | {f"{name}.pt": entry})
        return path

    def _record(self) -> dict[str, dict]:
        path = self.folder / RECORD
        try:
            record = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        except ValueError as error:
            raise ZooError(f"'{path}' is damaged ({error}): delete it, and the files are looked at anew") from error
        return record if isinstance(record, dict) else {}


def _seen(path: Path) -> list[int]:
    """What shows without reading a file that it changed: its size, and when it was written (ns)."""
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns]


@dataclass(frozen=True)
class _Folder:
    """A file of a folder."""

    file: Path
    advice: str

    @property
    def name(self) -> str:
        return str(self.file)

    @property
    def missing(self) -> str:
        """What to say where it is not there."""
        return f"the mirror has no '{self.file}': {self.advice}"

    def fetch(self, to: Path, shown: Bar) -> None:
        """Copy it. Raises ZooError where it is not there."""
        if not self.file.is_file():
            raise ZooError(self.missing)
        total, done, part = self.file.stat().st_size, 0, to.with_suffix(".copy")
        with shown, open(self.file, "rb") as old, open(part, "wb") as new:
            shown(0, total)
            while chunk := old.read(1 << 22):
                new.write(chunk)
                done += len(chunk)
                shown(done, total)
            new.flush()
            os.fsync(new.fileno())
        os.replace(part, to)


@dataclass(frozen=True)
class _Address:
    """A file on a server; `where` is its address or Drive id, as gdown takes it."""

    name: str
    where: dict[str, str]
    advice: str

    def fetch(self, to: Path, shown: Bar) -> None:
        """Download it, or go on with it. Raises ZooError where that fails, saying why."""
        with shown:
            ask(lambda: download(**self.where, output=str(to), progress=shown), to.stem, self.name, self.advice)


def download(**settings: Any) -> str:
    """`gdown.download` as we want it: resumed, patient, silent, without cookies; arguments as there."""
    import gdown

    fixed = {"quiet": True, "resume": True, "use_cookies": False, "timeout": PATIENCE, "retries": RETRIES}
    return gdown.download(**fixed, **settings)


def ask(what: Callable[[], Any], name: str, whom: str, advice: str) -> Any:
    """Ask a server; its refusals as ZooError, with the reason and what to do."""
    import gdown
    import requests

    try:
        return what()
    except (gdown.exceptions.DownloadError, requests.RequestException, KeyError) as error:
        raise ZooError(f"{name} cannot be fetched from {whom}: {_why(error)}: {advice}") from None


def ask_drive(what: Callable[..., Any], id: str, name: str, advice: str, **settings: Any) -> Any:
    """Ask Google Drive about an id, see `ask`."""
    return ask(lambda: what(id=id, **settings), name, "Google Drive", advice)


def _why(error: Exception) -> str:
    """What Drive's pages, and servers, mean."""
    text = " ".join(str(error).split())
    if "Too many users" in text or "quota" in text.lower():
        return "its download quota for today is used up (it will be there again in a day)"
    if "permission" in text or getattr(getattr(error, "response", None), "status_code", 0) in (401, 403):
        return "it is gone, or may only be read by some, or not by so many at once"
    return text[:200] or type(error).__name__


class Bar:
    """Says how large a download is, and then how long it takes; stops one for which there is no room.

    Args:
        name: of the model.
        folder: where it goes.
        shown: or silent.
        origin: where it comes from; "": a copy that is not worth a word.
    """

    def __init__(self, name: str, folder: Path, shown: bool, origin: str = ""):
        self.name, self.folder, self.shown, self.origin, self._bar = name, folder, shown, origin, None

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, done: int, total: int | None) -> None:
        if self._bar is None:
            self._check_room((total or 0) - done)
            if self.shown and self.origin and (total is None or total > WORTH_SAYING):
                size = f"{total / 1e6:,.0f} MB" if total else "of unknown size"
                print(f"fetching {self.name}, {size}, from {self.origin}, once", file=sys.stderr)
            self._bar = bar(what=self.name, unit="B", shown=self.shown, total=total, initial=done, unit_scale=True)
        self._bar.update(done - self._bar.n)

    def _check_room(self, needed: int) -> None:
        free = shutil.disk_usage(self.folder).free
        if needed + ROOM > free:
            raise ZooError(
                f"{self.name} needs {needed >> 20} MiB more, and '{self.folder}' has {free >> 20} MiB free: make room, "
                "or choose another folder"
            )
