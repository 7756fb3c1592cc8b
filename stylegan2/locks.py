"""One writer for a folder at a time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:
    fcntl = None


class InUse(OSError):
    """Another process writes there."""


@contextlib.contextmanager
def only_writer(out: Path) -> Iterator[None]:
    """Hold a lock on the folder `out` (created if missing). The system frees it when the process dies, in any way.

    Raises:
        FileExistsError: a file has that name.
        InUse: another process holds it.
    """
    if out.exists() and not out.is_dir():
        raise FileExistsError(f"'{out}' is a file; choose a folder")
    out.mkdir(parents=True, exist_ok=True)
    if fcntl is None:  # Windows: no lock, so do not write one folder twice at once
        yield
        return
    descriptor = os.open(out, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InUse(f"another process writes to '{out}': wait for it or choose another folder") from None
        except OSError:
            pass  # some network drives have no locks
        yield
    finally:
        os.close(descriptor)
