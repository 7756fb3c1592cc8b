"""Checkpoint files: one `load` for every format, `save` in ours, `export` in rosinality's. NVIDIA's is only read."""

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from stylegan2 import files
from stylegan2.checkpoints import nvidia, ours, rosinality
from stylegan2.checkpoints.parts import PARTS
from stylegan2.files import CheckpointError, few
from stylegan2.networks import Discriminator, Generator
from stylegan2.runtime import pick_device


@dataclass
class Checkpoint:
    """What a file holds; what is absent is None.

    info: "format", "resolution", "parameters" of g_ema, the plain entries of `meta`, and for a rosinality file its
        "args" and "ada_aug_p". Plain values only, so it can go into JSON.
    """

    g_ema: Generator  # the averaged one, which makes the pictures: eval mode, no gradients
    g: Generator | None = None  # in training; its parameters take gradients, and so do D's
    d: Discriminator | None = None
    info: dict[str, Any] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)  # as given to `save`, with entries this version does not know
    training: dict[str, Any] | None = None  # the state of a run


# -------------------------------------------------------------------------------------------------------------- load
def load(path: str | os.PathLike, device: torch.device | str = "auto", g_ema_only: bool = False) -> Checkpoint:
    """Read a checkpoint, ours, rosinality's or NVIDIA's; size, widths and mapping depth are read off the tensors.

    Nothing in the file is executed. Where it has no mean w, it is computed from 10,000 seeded codes, always the same.

    device: where the networks go, see `runtime.pick_device`. (Training state stays on the CPU.)
    g_ema_only: leave out all else, also unread: quick for the large snapshots of a training run.

    Raises CheckpointError: one line that names the file, says what it is and what was expected.
    """
    path = Path(path)
    of_nvidia = nvidia.looks_like(path)
    content = nvidia.read(path) if of_nvidia else files.read(path, mmap=g_ema_only)
    if not isinstance(content, dict):
        raise CheckpointError(f"'{path}' holds a {type(content).__name__}; {files.EXPECTED}, a dict with 'g_ema'")
    layout = nvidia if of_nvidia else ours if "format" in content else rosinality
    try:
        checkpoint = Checkpoint(**layout.unpack(content, PARTS[:1] if g_ema_only else PARTS))
    except CheckpointError as error:
        raise CheckpointError(f"'{path}': {error}") from error
    g = checkpoint.g_ema
    known = {"format": None, "resolution": g.resolution, "parameters": sum(p.numel() for p in g.parameters())}
    checkpoint.info = known | checkpoint.info
    for part in PARTS:
        if (network := getattr(checkpoint, part)) is not None:
            if bad := [name for name, value in network.state_dict().items() if not value.isfinite().all()]:
                warnings.warn(f"'{path}': {part} holds NaN or infinite numbers in {few(bad)}", stacklevel=2)
            network.to(pick_device(device)).train(part != "g_ema").requires_grad_(part != "g_ema")
    return checkpoint


# -------------------------------------------------------------------------------------------------------------- save
def save(
    path: str | os.PathLike,
    *,
    g_ema: Generator,
    g: Generator | None = None,
    d: Discriminator | None = None,
    half: bool = False,
    meta: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
) -> None:
    """Write our format by `files.replacing`.

    g_ema: the averaged generator. g, d: the networks in training.
    half: store the networks' numbers as float16, for shipping (loaded back as float32).
    meta: plain values worth knowing, e.g. {"images": 48_000}.
    training: what resuming needs: nested dicts and lists of tensors and plain values, stored as they are. Raises
        TypeError for an object that a safe reader would refuse, in `meta` as well.
    """
    if g_ema is None:
        raise ValueError("a checkpoint needs an averaged generator, got g_ema=None")
    files.write(path, ours.pack({"g_ema": g_ema, "g": g, "d": d}, half, meta or {}, training))


def export(path: str | os.PathLike, checkpoint: Checkpoint) -> None:
    """Write rosinality's layout ("g", "g_ema", "latent_avg", and "d" where present), for other tools.

    "g" is a copy of g_ema where there is none, since their `train.py` asks for it. A second mapping lies beside it, see
    `rosinality.from_shared`. Kernels and noise images are included: a strict `load_state_dict` works. A bound of
    activations (`Generator`'s clamp), for which there is no place, is lost.
    """
    files.write(path, rosinality.pack(checkpoint.g_ema, checkpoint.g, checkpoint.d))
