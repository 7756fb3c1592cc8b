"""Checkpoint files: one `load` for every format, `save` in ours, `export` in rosinality's. (NVIDIA's is only read: it
holds the source code of their classes.)"""

import argparse
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylegan2 import files
from stylegan2.checkpoints import nvidia, ours, rosinality
from stylegan2.files import CheckpointError, few
from stylegan2.networks import Discriminator, Generator
from stylegan2.runtime import pick_device

FORMAT = "cartoonize-yourself"
VERSION = 1
PARTS = ("g_ema", "g", "d")
PLAIN = (type(None), bool, int, float, str, Tensor)


@dataclass
class Checkpoint:
    """What a file holds.

    Attributes:
        g_ema: the averaged generator, which makes the pictures: eval mode, no gradients.
        g: the generator in training, None where absent; its parameters take gradients.
        d: the discriminator, None where absent; its parameters take gradients.
        info: "format", "resolution", "parameters" of g_ema, the plain entries of `meta`, and for a rosinality file
            its "args" and "ada_aug_p". Plain values only, so it can go into JSON.
        meta: what `save` was given, and entries of the file that this version does not know.
        training: the state of a training run, None where absent.
    """

    g_ema: Generator
    g: Generator | None = None
    d: Discriminator | None = None
    info: dict[str, Any] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] | None = None

    @property
    def w_mean(self) -> Tensor:
        """[w_dim], the mean w of g_ema's own mapping, the centre of truncation of the codes it makes."""
        return self.g_ema.mapping.w_mean


# -------------------------------------------------------------------------------------------------------------- load
def load(path: str | os.PathLike, device: torch.device | str = "auto", g_ema_only: bool = False) -> Checkpoint:
    """Read a checkpoint, ours, rosinality's or NVIDIA's; size, widths and mapping depth are read off the tensors.

    Nothing in the file is executed. Where it has no mean w, it is computed from 10,000 seeded codes, always the same.

    Args:
        path: the file.
        device: where the networks go, see `runtime.pick_device`. (Training state stays on the CPU.)
        g_ema_only: leave out all else, also unread: quick for the large snapshots of a training run.

    Raises:
        CheckpointError: one line that names the file, says what it is and what was expected.
    """
    path = Path(path)
    of_nvidia = nvidia.looks_like(path)
    content = nvidia.read(path) if of_nvidia else files.read(path, mmap=g_ema_only)
    if not isinstance(content, dict):
        raise CheckpointError(f"'{path}' holds a {type(content).__name__}; {files.EXPECTED}, a dict with 'g_ema'")
    try:
        read = _read_nvidia if of_nvidia else _read_ours if "format" in content else _read_rosinality
        checkpoint = read(content, PARTS[:1] if g_ema_only else PARTS)
    except CheckpointError as error:
        raise CheckpointError(f"'{path}': {error}") from error
    _warn_if_broken(path, checkpoint)
    return _settle(checkpoint, pick_device(device))


def _read_ours(content: dict, parts: tuple[str, ...]) -> Checkpoint:
    if content["format"] != f"{FORMAT}/{VERSION}":
        newer = str(content["format"]).startswith(f"{FORMAT}/")
        what = "from another version of this package: update it" if newer else "unknown"
        raise CheckpointError(f"format {content['format']!r} is {what}; expected {FORMAT}/{VERSION}")
    networks = _networks(content, parts, ours.to_generator, ours.to_discriminator)
    unknown = {k: v for k, v in content.items() if k not in ("format", "meta", "training", *PARTS)}
    meta = _mapping(content, "meta") | unknown
    training = content.get("training") if "g" in parts else None
    if not networks["g_ema"].mapping.w_mean.any():
        networks["g_ema"].mapping.update_mean()
    info = _info(content["format"], networks["g_ema"]) | {k: v for k, v in meta.items() if _is_json(v)}
    return Checkpoint(**networks, info=info, meta=meta, training=training)


def _read_rosinality(content: dict, parts: tuple[str, ...]) -> Checkpoint:
    _check_is_rosinality(content)
    networks = _networks(content, parts, rosinality.to_generator, rosinality.to_discriminator)
    _set_w_mean(networks["g_ema"], content.get("latent_avg"))
    if networks.get("g") is not None:
        networks["g"].mapping.update_mean()
    for g in (networks["g_ema"], networks.get("g")):
        if g is not None and "style_source" in content:
            rosinality.to_shared(g, content)
    return Checkpoint(**networks, info=_info("rosinality", networks["g_ema"]) | _options(content))


def _read_nvidia(content: dict, parts: tuple[str, ...]) -> Checkpoint:
    names = {part: nvidia.PARTS[part] for part in parts if isinstance(content.get(nvidia.PARTS[part]), nvidia.Record)}
    states = {part: nvidia.state_of(content[name]) for part, name in names.items()}
    networks = _networks(states, parts, nvidia.to_generator, nvidia.to_discriminator)
    said = content.get("training_set_kwargs")
    more = {"training_set": dict(said)} if isinstance(said, dict) and _is_json(said) else {}
    return Checkpoint(**networks, info=_info("nvidia", networks["g_ema"]) | more)


def _check_is_rosinality(content: dict) -> None:
    keys = [str(k) for k in content]
    if "g_ema" in content:
        return
    if {"e", "e_optim"} & set(keys):
        raise CheckpointError("an encoder, which goes from photos to codes; expected a generator, a file with 'g_ema'")
    if content and all(isinstance(v, Tensor) for v in content.values()):
        raise CheckpointError(f"a bare state dict ({few(keys)}); expected one with 'g_ema' around it")
    raise CheckpointError(f"a PyTorch file with the keys {few(keys)}, but without 'g_ema', the averaged generator")


def _networks(content: dict, parts: tuple[str, ...], to_generator: Callable, to_discriminator: Callable) -> dict:
    if "g_ema" not in content:
        raise CheckpointError(f"'g_ema', the averaged generator, is missing; there are {few(list(content))}")
    networks = {}
    for part in parts:
        if content.get(part) is None and part != "g_ema":
            continue
        state = _mapping(content, part)
        if not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()):
            raise CheckpointError(f"{part!r} must map names to tensors")
        try:
            networks[part] = (to_discriminator if part == "d" else to_generator)(state)
        except ValueError as error:
            raise CheckpointError(f"{part!r}: {error}") from error
    return networks


def _mapping(content: dict, key: str) -> dict:
    value = content.get(key, {})
    if not isinstance(value, Mapping):
        raise CheckpointError(f"{key!r} must be a dict, is a {type(value).__name__}")
    return dict(value)


def _set_w_mean(g: Generator, latent_avg: Tensor | None) -> None:
    if latent_avg is None:
        g.mapping.update_mean()
        return
    if not isinstance(latent_avg, Tensor) or latent_avg.numel() != g.w_dim:
        shape = list(latent_avg.shape) if isinstance(latent_avg, Tensor) else type(latent_avg).__name__
        raise CheckpointError(f"'latent_avg' must be [{g.w_dim}], is {shape}")
    g.mapping.w_mean = latent_avg.float().reshape(-1).clone()


def _options(content: dict) -> dict[str, Any]:
    """`args` and `ada_aug_p` as plain values."""
    options = {}
    args = content.get("args")
    if isinstance(args, argparse.Namespace):
        options["args"] = {k: v for k, v in vars(args).items() if _is_json(v)}
    if "ada_aug_p" in content:
        options["ada_aug_p"] = float(content["ada_aug_p"])
    return options


def _info(name: str, g: Generator) -> dict[str, Any]:
    return {"format": name, "resolution": g.resolution, "parameters": sum(p.numel() for p in g.parameters())}


def _is_json(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(k, str) and _is_json(v) for k, v in value.items())
    if isinstance(value, list | tuple):
        return all(_is_json(v) for v in value)
    return isinstance(value, PLAIN) and not isinstance(value, Tensor)


def _warn_if_broken(path: Path, checkpoint: Checkpoint) -> None:
    for part in PARTS:
        network = getattr(checkpoint, part)
        bad = [k for k, v in network.state_dict().items() if not v.isfinite().all()] if network is not None else []
        if bad:
            warnings.warn(f"'{path}': {part} holds NaN or infinite numbers in {few(bad)}", stacklevel=3)


def _settle(checkpoint: Checkpoint, device: torch.device) -> Checkpoint:
    for network in (checkpoint.g, checkpoint.d):
        if network is not None:
            network.to(device).train().requires_grad_(True)
    checkpoint.g_ema.to(device).eval().requires_grad_(False)
    return checkpoint


# -------------------------------------------------------------------------------------------------------------- save
def save(
    path: str | os.PathLike,
    *,
    g_ema: Generator | None = None,
    g: Generator | None = None,
    d: Discriminator | None = None,
    half: bool = False,
    meta: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
) -> None:
    """Write our format, at once or not at all: whatever goes wrong, the old file stays and nothing is left beside it.

    Args:
        path: the file; its folder is made if need be.
        g_ema: the averaged generator; `g` where it is None.
        g, d: the networks in training, to go on with.
        half: store the networks' numbers as float16, for shipping (loaded back as float32).
        meta: plain values worth knowing, e.g. {"images": 48_000}.
        training: what resuming needs: nested dicts and lists of tensors and plain values, stored as they are.

    Raises:
        ValueError: no generator.
        TypeError: an object in `meta` or `training` that a safe reader would refuse.
    """
    networks = {"g_ema": g if g_ema is None else g_ema, "g": g, "d": d}
    if networks["g_ema"] is None:
        raise ValueError("save needs a generator: pass g_ema, or g")
    content: dict[str, Any] = {"format": f"{FORMAT}/{VERSION}"}
    content |= {k: ours.from_network(network, half) for k, network in networks.items() if network is not None}
    content |= {"meta": plain(meta or {}, "meta")}
    if training is not None:
        content["training"] = plain(training, "training")
    files.write(Path(path), content)


def plain(value: Any, where: str) -> Any:
    """`value` with plain containers, or a TypeError that names the first thing which could not be read back safely."""
    if isinstance(value, Mapping):
        return {plain(k, f"a key of {where}"): plain(v, f"{where}[{k!r}]") for k, v in value.items()}
    if type(value) in (list, tuple):
        return type(value)(plain(v, f"{where}[{i}]") for i, v in enumerate(value))
    if type(value) in PLAIN:
        return value
    raise TypeError(f"{where} is a {type(value).__name__}: save plain values, lists, dicts and tensors only")


def export(path: str | os.PathLike, checkpoint: Checkpoint) -> None:
    """Write rosinality's layout ("g", "g_ema", "latent_avg", and "d" where present), for other tools.

    "g" is a copy of g_ema where there is none, since their `train.py` asks for it. A second mapping lies beside it, see
    `rosinality.from_shared`, and comes back with `load`. All other entries are there with their names and shapes,
    kernels and noise images included: a strict `load_state_dict` works. Written at once or not at all, like `save`.
    That layout has no place for a bound of activations (`Generator`'s clamp): it is lost.
    """
    content: dict[str, Any] = {}
    content["g"] = rosinality.from_generator(checkpoint.g or checkpoint.g_ema)
    if checkpoint.d is not None:
        content["d"] = rosinality.from_discriminator(checkpoint.d)
    content["g_ema"] = rosinality.from_generator(checkpoint.g_ema)
    content["latent_avg"] = checkpoint.g_ema.mapping.mean_ws[-1].detach().cpu().float().clone()
    content |= rosinality.from_shared(checkpoint.g_ema)
    files.write(Path(path), content)


def describe(checkpoint: Checkpoint) -> str:
    """A few lines for people: size, parts, widths, depth, images seen."""
    g, info = checkpoint.g_ema, checkpoint.info
    parts = [part for part in PARTS if getattr(checkpoint, part) is not None]
    lines = {
        "format": info.get("format", "in memory"),
        "holds": ", ".join(parts) + (" and training state" if checkpoint.training is not None else ""),
        "image": f"{g.resolution} x {g.resolution}, {g.num_ws} codes of {g.w_dim}, z of {g.z_dim}",
        "generator": f"{sum(p.numel() for p in g.parameters()):,} parameters, {len(g.mapping.layers)} mapping layers",
        "widths": ", ".join(f"{r}: {c}" for r, c in g.synthesis.channels.items()),
    }
    if g.synthesis.clamp is not None:
        lines["clamp"] = f"activations within +-{float(g.synthesis.clamp):g}"
    if "images" in info:
        lines["trained on"] = f"{info['images']:,} images"
    return "\n".join(f"{name:>10}: {text}" for name, text in lines.items())
