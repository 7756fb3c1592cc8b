"""Files of encoders: ours, and those of the in-domain encoder of the original system (`e` beside its optimisers)."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from stylegan2 import files
from stylegan2.checkpoints import ours, rosinality
from stylegan2.checkpoints.parts import plain
from stylegan2.encoder import Encoder
from stylegan2.files import CheckpointError, few
from stylegan2.runtime import pick_device

FORMAT = "cartoonize-yourself encoder/1"
PUBLISHED_PSI = 0.7  # what the original system trains and renders with; its files do not say so


@dataclass
class EncoderFile:
    """What a file holds."""

    encoder: Encoder  # in eval mode, without gradients; `Encoder.around` must be called where its psi is not 1
    meta: dict[str, Any] = field(default_factory=dict)  # "generator": fingerprint of the one whose codes it gives


def save_encoder(path: str | os.PathLike, encoder: Encoder, meta: Mapping[str, Any] | None = None, half=False) -> None:
    """Write an encoder by `files.replacing`; half: as float16, for shipping; meta: plain values, see `EncoderFile`."""
    content = {"format": FORMAT, "num_ws": encoder.num_ws, "psi": float(encoder.psi)}
    files.write(path, content | {"e": ours.from_network(encoder, half), "meta": plain(meta or {}, "meta")})


def export_encoder(path: str | os.PathLike, encoder: Encoder) -> None:
    """Write the original's layout ("e", by its names, kernels included).

    Other tools take it for granted that psi is `PUBLISHED_PSI`; "psi" beside "e" tells `load_encoder` what it is.
    """
    files.write(path, {"e": rosinality.from_encoder(encoder), "psi": float(encoder.psi)})


def is_encoder(path: str | os.PathLike) -> bool:
    """Does the file hold an encoder? False for whatever cannot be read, too."""
    try:
        content = files.read(path, mmap=True)
    except CheckpointError:
        return False
    return _has_encoder(content) and "g_ema" not in content


def load_encoder(path: str | os.PathLike, device: torch.device | str = "auto") -> EncoderFile:
    """Read an encoder, ours or the original's; nothing in the file is executed.

    Raises CheckpointError: one line that names the file, says what it is and what was expected.
    """
    content = files.read(path)
    if not _has_encoder(content):
        what = few([str(k) for k in content]) if isinstance(content, dict) else type(content).__name__
        raise CheckpointError(f"'{path}' is no encoder: it holds {what}, expected a dict with 'e'")
    try:
        encoder = _read(content)
    except CheckpointError as error:
        raise CheckpointError(f"'{path}': {error}") from error
    meta = dict(content.get("meta", {})) if "format" in content else {}
    return EncoderFile(encoder.to(pick_device(device)).eval().requires_grad_(False), meta)


def _has_encoder(content: Any) -> bool:
    return isinstance(content, dict) and isinstance(content.get("e"), Mapping)


def _read(content: dict) -> Encoder:
    if "format" not in content:
        encoder = rosinality.to_encoder(content["e"])
    elif content["format"] == FORMAT and isinstance(content.get("num_ws"), int):
        encoder = ours.to_encoder(content["e"], content["num_ws"])
    else:
        raise CheckpointError(f"format {content['format']!r} is unknown; expected {FORMAT}")
    encoder.psi = psi = content.get("psi", 1.0 if "format" in content else PUBLISHED_PSI)
    if not isinstance(psi, float) or not 0 < psi < math.inf:
        raise CheckpointError(f"psi is {psi!r}, expected a positive number")
    return encoder
