"""The one way in which files of others are fetched: resumed where they broke off, announced with size, checked."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import torch
from tqdm import tqdm

from stylegan2 import files
from stylegan2.bars import bar

Where = str | os.PathLike | None  # a file, a folder with such files, or None: PyTorch's cache
DRIVE = "https://drive.google.com"
PATIENCE, RETRIES = 60, 5  # seconds without an answer; tries after a connection broke
ROOM = 64 << 20  # bytes that stay free on the disk
WORTH_SAYING = 5 << 20  # bytes of a download that is announced


class FetchError(ConnectionError):
    """A file cannot be had, or has changed; the message says what to do, `why` only the reason."""

    def __init__(self, message: str, why: str | None = None):
        super().__init__(message)
        self.why = why or message


def failure(name: str, origin: str, why: str, remedy: str) -> FetchError:
    """The error of a download; `remedy` says what to do."""
    return FetchError(f"{name} cannot be fetched from {origin}: {why}: {remedy}", why)


@dataclass(frozen=True)
class Published:
    """A file, mostly of weights, that somebody published."""

    name: str
    url: str
    megabytes: float  # its size, about; 0: unknown
    sha256: str = ""  # how its SHA-256 begins; empty where the publisher does not say
    option: str = "--weights"  # of our commands, that takes a file or folder instead
    folder: Path | None = None  # where it is kept; None: PyTorch's cache

    @property
    def cached(self) -> Path:
        """Its path once it was fetched."""
        return (self.folder or Path(torch.hub.get_dir()) / "checkpoints") / self.name

    def find(self, where: Where = None) -> Path:
        """The file at `where`, or the one of this name in that folder, or (None) that in the cache, fetched if need be.

        Raises FileNotFoundError or FetchError; both say what to download, and to where.
        """
        if where is None:
            return self.cached if self.cached.is_file() else self.fetch()
        path = Path(where) / self.name if Path(where).is_dir() else Path(where)
        if not path.is_file():
            raise FileNotFoundError(f"no file at '{path}': download {self.url} (about {self.megabytes:g} MB) to there")
        return path

    def fetch(self) -> Path:
        """Fetch it into the cache, checked by its hash. Raises FetchError, which says what to do instead."""
        path, incoming = self.cached, self.cached.with_name(f".{self.name}")
        remedy = (
            f"download it elsewhere (about {self.megabytes:g} MB) and put it at '{path}', or into any folder as "
            f"{self.name} and name that folder ({self.option} FOLDER)"
        )
        download(self.url, incoming, self.name, remedy)
        digest = files.sha256(incoming) if self.sha256 else ""
        if not digest.startswith(self.sha256):
            incoming.unlink()
            why = f'invalid hash value (expected "{self.sha256}", got "{digest}")'
            raise failure(self.name, self.url, why, remedy)
        return incoming.replace(path)


def download(url: str, to: Path, name: str, remedy: str, progress: bool = True) -> None:
    """Fetch an address, also one of Google Drive; a download that broke off is resumed next time.

    `to` has this name only when it is whole; `name` and `remedy`: what messages call it; what to do where it fails.
    Raises FetchError: refused, broken off, or no room for it.
    """
    to.parent.mkdir(parents=True, exist_ok=True)
    origin = "Google Drive" if url.startswith(DRIVE) else url
    if origin == url and (why := silence(url, PATIENCE)):
        raise failure(name, origin, why, remedy)
    shown: list[tqdm] = []

    def show(done: int, total: int | None) -> None:
        if not shown:
            check_room(name, to.parent, (total or 0) - done)
            if progress and (total is None or total > WORTH_SAYING):
                size = f"{total / 1e6:,.0f} MB" if total else "of unknown size"
                print(f"fetching {name}, {size}, from {origin}, once", file=sys.stderr)
            settings = {"total": total, "initial": done, "unit_scale": True}
            shown.append(stack.enter_context(bar(what=name, unit="B", shown=progress, **settings)))
        shown[0].update(done - shown[0].n)

    with ExitStack() as stack:
        settings = {"url": url, "output": str(to), "progress": show, "resume": True, "retries": RETRIES}
        ask("download", name, origin, remedy, **settings)


def check_room(name: str, folder: Path, needed: int) -> None:
    """Raises FetchError where a folder's disk has no room for so many bytes more."""
    free = shutil.disk_usage(folder).free
    if needed + ROOM > free:
        raise FetchError(
            f"{name} needs {needed >> 20} MiB more, and '{folder}' has {free >> 20} MiB free: make room, or choose "
            "another folder"
        )


def ask(verb: str, name: str, origin: str, remedy: str, **settings: Any) -> Any:
    """Call a function of gdown, without output and cookies; a refusal becomes a FetchError."""
    import gdown
    import requests

    try:
        return getattr(gdown, verb)(quiet=True, use_cookies=False, timeout=PATIENCE, **settings)
    except (gdown.exceptions.DownloadError, requests.RequestException, KeyError) as error:
        raise failure(name, origin, _why(error), remedy) from None


def _why(error: Exception) -> str:
    """The reason that a page of Drive, or a server's answer, gives."""
    text, response = " ".join(str(error).split()), getattr(error, "response", None)
    status = getattr(response, "status_code", 0)
    if "Too many users" in text or "quota" in text.lower():
        return "its download quota for today is used up (it will be there again in a day)"
    if "permission" in text or status in (401, 403):
        return "it is gone, or may only be read by some, or not by so many at once"
    return f"HTTP Error {status}: {response.reason}" if status else text[:200] or type(error).__name__


def silence(address: str, seconds: float = 3.0) -> str:
    """Why a server takes no connection within `seconds`; "": it does, or (a folder, a proxy) that cannot be known."""
    url = urlsplit(address)
    if not url.hostname or {"http", "https", "all"} & getproxies().keys():
        return ""
    try:
        socket.create_connection((url.hostname, url.port or {"http": 80}.get(url.scheme, 443)), seconds).close()
    except OSError as error:
        return str(error) or type(error).__name__
    return ""
