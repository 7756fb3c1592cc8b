"""Lists of what was collected: a file of JSON objects, one a line, that survives a kill at any moment."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any


def append_row(path: str | os.PathLike, row: Mapping[str, Any]) -> None:
    """Add one JSON object as a line of its own; it is on the disk when this returns."""
    with open(path, "ab+") as file:
        file.seek(max(0, file.tell() - 1))
        if file.read(1) not in (b"", b"\n"):  # a line that a kill cut off
            file.write(b"\n")
        file.write(json.dumps(row).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_rows(path: str | os.PathLike) -> list[dict[str, Any]]:
    """The JSON objects of a file, one per line; [] where there is no file. What a kill cut off is left out."""
    path, rows = Path(path), []
    for line in path.read_bytes().split(b"\n") if path.is_file() else ():
        with suppress(ValueError):  # no JSON, or not even text
            rows.append(json.loads(line))
    return [row for row in rows if isinstance(row, dict)]
