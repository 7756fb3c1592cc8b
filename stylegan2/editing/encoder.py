"""The in-domain encoder (arXiv 2004.00049): the discriminator's residual blocks, read out as codes; and its files.

Files are ours, or those of the original system (`e` beside its optimisers).
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from stylegan2 import files
from stylegan2.checkpoints import ours, rosinality
from stylegan2.checkpoints.parts import blank, plain
from stylegan2.discriminator import ResidualBlocks
from stylegan2.files import CheckpointError, few, need_entries
from stylegan2.layers import normal_kernels
from stylegan2.networks import MappingNetwork
from stylegan2.runtime import pick_device

FORMAT = "cartoonize-yourself encoder/1"
PUBLISHED_PSI = 0.7  # what the original system trains and renders with; its files do not say so


class Encoder(ResidualBlocks):
    """Image -> one code per layer, W+: residual blocks (see there for resolution and channels), then one 4x4 filter.

    Its output e stands for mean + psi * (e - mean); with psi other than 1 it needs that mean, see `around`.
    """

    def __init__(
        self, resolution: int, num_ws: int, w_dim: int = 512, channels: Mapping[int, int] | None = None, psi=1.0
    ):
        super().__init__(resolution, channels)
        self.num_ws, self.w_dim, self.psi = num_ws, w_dim, psi
        self.register_buffer("mean_ws", None, persistent=False)
        self.head = normal_kernels(num_ws * w_dim, self.channels[4], 4)

    def around(self, mapping: MappingNetwork) -> Encoder:
        """Take the mean w of the generator whose codes it gives; itself. Raises ValueError for another mapping."""
        if mapping.mean_ws.shape != (self.num_ws, self.w_dim):
            sizes = f"[{self.num_ws}, {self.w_dim}]"
            raise ValueError(f"the mapping's mean is {list(mapping.mean_ws.shape)}, this encoder's codes are {sizes}")
        self.mean_ws = mapping.mean_ws.detach().to(self.head.device, copy=True)
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Codes to be rendered as they are: [N, 3, R, R] in [-1, 1] -> ws [N, num_ws, w_dim] (float32).

        Raises ValueError: images of another size, or psi is not 1 and `around` was not called.
        """
        if self.psi != 1 and self.mean_ws is None:
            raise ValueError(f"this encoder's codes hold for psi {self.psi:g}: call encoder.around(g.mapping) first")
        filters = self.head.flatten(1)  # [num_ws * w_dim, C * 16]
        w = F.linear(self.features(images).flatten(1), filters / math.sqrt(filters.shape[1]))
        ws = w.unflatten(1, (self.num_ws, self.w_dim))
        return ws if self.psi == 1 else torch.lerp(self.mean_ws.expand_as(ws), ws, self.psi)


@dataclass
class EncoderFile:
    """What a file holds."""

    encoder: Encoder  # in eval mode, without gradients; `Encoder.around` must be called where its psi is not 1
    meta: dict[str, Any] = field(default_factory=dict)  # "generator": fingerprint of the one whose codes it gives


def save_encoder(path: str | os.PathLike, encoder: Encoder, meta: Mapping[str, Any] | None = None, half=False) -> None:
    """Write an encoder, atomically; half: as float16, for shipping; meta: plain values, see `EncoderFile`."""
    content = {"format": FORMAT, "num_ws": encoder.num_ws, "psi": float(encoder.psi)}
    files.write(path, content | {"e": ours.from_network(encoder, half), "meta": plain(meta or {}, "meta")})


def export_encoder(path: str | os.PathLike, encoder: Encoder) -> None:
    """Write the original's layout ("e"), and "psi" beside it: other tools take `PUBLISHED_PSI` for granted."""
    files.write(path, {"e": to_original(encoder), "psi": float(encoder.psi)})


def is_encoder(path: str | os.PathLike) -> bool:
    """Does the file hold an encoder? False for whatever cannot be read, too."""
    try:
        content = files.read(path, mmap=True)
    except CheckpointError:
        return False
    return _has_encoder(content) and "g_ema" not in content


def load_encoder(path: str | os.PathLike, device: torch.device | str = "auto") -> EncoderFile:
    """Read an encoder, ours or the original's; nothing in the file is executed.

    Raises CheckpointError, which names the file, says what it is and what was expected.
    """
    content = files.read(path)
    if not _has_encoder(content):
        what = few(list(map(str, content))) if isinstance(content, dict) else type(content).__name__
        raise CheckpointError(f"'{path}' is no encoder: it holds {what}, expected a dict with 'e'")
    try:
        encoder = _from_ours(content) if "format" in content else from_original(content["e"])
        encoder.psi = psi = content.get("psi", 1.0 if "format" in content else PUBLISHED_PSI)
        if not isinstance(psi, float) or not 0 < psi < math.inf:
            raise CheckpointError(f"psi is {psi!r}, expected a positive number")
    except CheckpointError as error:
        raise CheckpointError(f"'{path}': {error}") from error
    meta = dict(content.get("meta", {})) if "format" in content else {}
    return EncoderFile(encoder.to(pick_device(device)).eval().requires_grad_(False), meta)


def _has_encoder(content: Any) -> bool:
    return isinstance(content, dict) and isinstance(content.get("e"), Mapping)


def _from_ours(content: dict) -> Encoder:
    if content["format"] != FORMAT or not isinstance(content.get("num_ws"), int):
        raise CheckpointError(f"format {content['format']!r} is unknown; expected {FORMAT}")
    state, channels = content["e"], ours.block_widths(content["e"], "encoder")
    need_entries("encoder", state, {"head": 4})
    channels[4] = state["head"].shape[1]
    return ours.fill(_empty(channels, content["num_ws"], state["head"]), state, "encoder")


def from_original(theirs: Mapping[str, Tensor]) -> Encoder:
    """The original's state dict -> an encoder on the CPU; what may be missing, errors: `rosinality.to_generator`."""
    channels = rosinality.block_widths(theirs, "encoder")
    head = f"convs.{len(channels)}.weight"
    need_entries("encoder", theirs, {head: 4})
    num_ws = 2 * (max(channels).bit_length() - 1) - 2  # as many codes as a generator of this size takes
    e = _empty(channels, num_ws, theirs[head])
    return rosinality.filled(e, theirs, _rows(e), rosinality.discriminator_kernels(e), "encoder")


def to_original(e: Encoder) -> dict[str, Tensor]:
    """An encoder -> the original's complete state dict, kernels included."""
    return rosinality.to_theirs(e.state_dict(), _rows(e), rosinality.discriminator_kernels(e))


def _rows(e: Encoder) -> list[rosinality.Row]:
    """All parameters, in the order of the original's own state dict."""
    head = {f"convs.{len(e.resolutions)}.weight": "head"}
    return rosinality.same_shapes(e, rosinality.block_names(e.resolutions) | head)


def _empty(channels: dict[int, int], num_ws: int, head: Tensor) -> Encoder:
    """An encoder of these sizes, without numbers. Raises CheckpointError: the rows of `head` are no `num_ws` codes."""
    rows = head.shape[0]
    if num_ws < 1 or rows % num_ws:
        raise CheckpointError(f"the encoder's head has {rows} rows, which are no {num_ws} codes")
    with blank():
        return Encoder(max(channels), num_ws, rows // num_ws, channels)
