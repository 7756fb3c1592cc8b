"""Files of encoders: ours, and those of the in-domain encoder of the original system (`e` beside its optimisers)."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from stylegan2.checkpoints import files, ours, rosinality
from stylegan2.checkpoints.checkpoint import plain
from stylegan2.checkpoints.errors import CheckpointError, few
from stylegan2.networks import Encoder
from stylegan2.runtime import pick_device

FORMAT = "cartoonize-yourself encoder/1"


@dataclass
class EncoderFile:
    """What a file holds.

    Attributes:
        encoder: in eval mode, without gradients.
        meta: what `save_encoder` was given; "generator": the fingerprint of the one whose codes it gives.
    """

    encoder: Encoder
    meta: dict[str, Any] = field(default_factory=dict)


def save_encoder(path: str | os.PathLike, encoder: Encoder, meta: Mapping[str, Any] | None = None, half=False) -> None:
    """Write an encoder, at once or not at all.

    Args:
        path: the file.
        encoder: its weights.
        meta: plain values worth knowing; "generator" should be the fingerprint of the model whose codes it gives.
        half: as float16, for shipping.
    """
    state = ours.from_network(encoder, half)
    content = {"format": FORMAT, "num_ws": encoder.num_ws, "e": state, "meta": plain(meta or {}, "meta")}
    files.write(Path(path), content)


def export_encoder(path: str | os.PathLike, encoder: Encoder) -> None:
    """Write the original's layout ("e", by its names, kernels included), at once or not at all."""
    files.write(Path(path), {"e": rosinality.from_encoder(encoder)})


def is_encoder(path: str | os.PathLike) -> bool:
    """Does the file hold an encoder? False for whatever cannot be read, too."""
    try:
        content = files.read(Path(path), mmap=True)
    except CheckpointError:
        return False
    return isinstance(content, dict) and isinstance(content.get("e"), Mapping) and "g_ema" not in content


def load_encoder(path: str | os.PathLike, device: torch.device | str = "auto") -> EncoderFile:
    """Read an encoder, ours or the original's; nothing in the file is executed.

    Raises:
        CheckpointError: one line that names the file, says what it is and what was expected.
    """
    content = files.read(Path(path))
    if not isinstance(content, dict) or not isinstance(content.get("e"), Mapping):
        what = few([str(k) for k in content]) if isinstance(content, dict) else type(content).__name__
        raise CheckpointError(f"'{path}' is no encoder: it holds {what}, expected a dict with 'e'")
    try:
        if "format" in content:
            return _settle(_read_ours(content), device)
        return _settle(EncoderFile(rosinality.to_encoder(content["e"])), device)
    except CheckpointError as error:
        raise CheckpointError(f"'{path}': {error}") from error


def _read_ours(content: dict) -> EncoderFile:
    if content["format"] != FORMAT or not isinstance(content.get("num_ws"), int):
        raise CheckpointError(f"format {content['format']!r} is unknown; expected {FORMAT}")
    return EncoderFile(ours.to_encoder(content["e"], content["num_ws"]), dict(content.get("meta", {})))


def _settle(found: EncoderFile, device: torch.device | str) -> EncoderFile:
    found.encoder.to(pick_device(device)).eval().requires_grad_(False)
    return found
