"""Files that others published and we use: fetched once into PyTorch's cache, by a known hash."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

import torch

Where = str | os.PathLike | None  # a file, a folder with such files, or None: PyTorch's cache
PATIENCE = 30  # seconds to wait for a server that does not answer


@dataclass(frozen=True)
class Published:
    """A file, mostly of weights, that somebody published.

    Attributes:
        name: what the file is called.
        url: where it is published.
        megabytes: its size, about.
        sha256: how its SHA-256 begins; empty where the publisher does not say.
        option: of our commands, that takes a file or folder instead.
        folder: where it is kept; None: PyTorch's cache.
    """

    name: str
    url: str
    megabytes: float
    sha256: str = ""
    option: str = "--weights"
    folder: Path | None = None

    @property
    def cached(self) -> Path:
        """Where it lies once it was fetched."""
        return (self.folder or Path(torch.hub.get_dir()) / "checkpoints") / self.name

    def find(self, where: Where = None) -> Path:
        """The file that is named, the one of this name in a folder, or that in PyTorch's cache, fetched if need be.

        Raises:
            FileNotFoundError: it is not where it was said to be.
            ConnectionError: it cannot be fetched. Both say what to download, and to where.
        """
        if where is None:
            return self.cached if self.cached.is_file() else self.fetch()
        path = Path(where) / self.name if Path(where).is_dir() else Path(where)
        if not path.is_file():
            raise FileNotFoundError(f"no file at '{path}': download {self.url} (about {self.megabytes:g} MB) to there")
        return path

    def fetch(self) -> Path:
        """Fetch it into the cache, checked by its hash. Raises ConnectionError, which says what to do instead."""
        path = self.cached
        path.parent.mkdir(parents=True, exist_ok=True)
        if not 0 < self.megabytes < 5:
            size = f"about {self.megabytes:g} MB" if self.megabytes else "the bar says how much"
            print(f"fetching {self.name}, {size}, from {urlsplit(self.url).hostname}, once", file=sys.stderr)
        try:
            with _patience():
                torch.hub.download_url_to_file(self.url, str(path), self.sha256 or None)
        except (OSError, RuntimeError) as error:  # no network, or a file of another hash
            raise ConnectionError(
                f"cannot fetch {self.url} ({error}): download it elsewhere (about {self.megabytes:g} MB) and put it at "
                f"'{path}', or into any folder as {self.name} and name that folder ({self.option} FOLDER)"
            ) from error
        return path


def answers(address: str, seconds: float = 3.0) -> bool:
    """Does a server take a connection? (Yes for a folder; also where there is a proxy: who knows.)

    Unlike a download, which is patient, this is soon over where there is no network.
    """
    url = urlsplit(address)
    if not url.hostname or {"http", "https", "all"} & getproxies().keys():
        return True
    try:
        socket.create_connection((url.hostname, url.port or {"http": 80}.get(url.scheme, 443)), seconds).close()
    except OSError:
        return False
    return True


@contextmanager
def _patience() -> Iterator[None]:
    """A server that never answers is an error after a while; by default Python waits for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
