"""Small files written at once or not at all: whatever goes wrong, the old file stays. And logs that survive a kill."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def counted(number: int, noun: str) -> str:
    """ "1 face", "2 faces", "1,000 faces"."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def write_text(path: str | os.PathLike, text: str) -> Path:
    """Write a text file, its folder too if need be, in one step."""
    return write_bytes(path, text.encode("utf-8"))


def write_bytes(path: str | os.PathLike, data: bytes) -> Path:
    """Write a file, its folder too if need be, in one step."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return path


def write_json(path: str | os.PathLike, content: object) -> Path:
    """Write plain values as indented JSON, in one step. Raises TypeError for others, before anything is touched."""
    return write_text(path, json.dumps(content, indent=2) + "\n")


def append_row(path: str | os.PathLike, row: Mapping[str, Any]) -> None:
    """Add one JSON object as a line of its own; it is on the disk when this returns."""
    with open(path, "ab+") as file:
        if file.tell() and os.pread(file.fileno(), 1, file.tell() - 1) != b"\n":  # a line that a kill cut off
            file.write(b"\n")
        file.write(json.dumps(row).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_rows(path: str | os.PathLike) -> list[dict[str, Any]]:
    """The JSON objects of a file, a line each; [] where there is none. What a kill cut off is left out."""
    path, rows = Path(path), []
    for line in path.read_bytes().split(b"\n") if path.is_file() else ():
        try:
            row = json.loads(line)
        except ValueError:  # no JSON, or not even text
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows
