"""Small files written at once or not at all: whatever goes wrong, the old file stays."""

from __future__ import annotations

import json
import os
from pathlib import Path


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
