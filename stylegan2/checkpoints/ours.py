"""Networks to tensors and back, in our own names. The tensors alone say how large the networks are."""

import hashlib
import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from stylegan2.checkpoints.parts import PARTS, blank, entry, is_json, networks, plain
from stylegan2.files import CheckpointError, check_entries, few, need_entries
from stylegan2.networks import Discriminator, Generator, MappingNetwork, SharedMapping

FORMAT = "cartoonize-yourself"
VERSION = 1


def unpack(content: dict, parts: tuple[str, ...]) -> dict[str, Any]:
    """A file's content -> what `Checkpoint` takes. Raises CheckpointError: another version, or entries do not fit."""
    if content["format"] != f"{FORMAT}/{VERSION}":
        newer = str(content["format"]).startswith(f"{FORMAT}/")
        what = "from another version of this package: update it" if newer else "unknown"
        raise CheckpointError(f"format {content['format']!r} is {what}; expected {FORMAT}/{VERSION}")
    loaded = networks(content, parts, to_generator, to_discriminator)
    if not loaded["g_ema"].mapping.w_mean.any():
        loaded["g_ema"].mapping.update_mean()
    unknown = {k: v for k, v in content.items() if k not in ("format", "meta", "training", *PARTS)}
    meta = entry(content, "meta") | unknown
    info = {"format": content["format"]} | {k: v for k, v in meta.items() if is_json(v)}
    return loaded | {"info": info, "meta": meta, "training": content.get("training") if "g" in parts else None}


def pack(parts: Mapping[str, nn.Module | None], half: bool, meta: Mapping[str, Any], training: Mapping | None) -> dict:
    """The other way. Raises TypeError for an object in `meta` or `training` that a safe reader would refuse."""
    states = {part: from_network(network, half) for part, network in parts.items() if network is not None}
    content = {"format": f"{FORMAT}/{VERSION}", **states, "meta": plain(meta, "meta")}
    return content if training is None else content | {"training": plain(training, "training")}


def from_network(network: nn.Module, half: bool = False) -> dict[str, Tensor]:
    """State dict on the CPU, float16 with `half`. Raises ValueError for a number that float16 cannot hold."""
    state = {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}
    if not half:
        return state
    for name, tensor in state.items():
        if tensor.abs().max() > torch.finfo(torch.float16).max:
            raise ValueError(f"{name} holds {tensor.abs().max():.3g}, too large for float16: save with half=False")
    return {name: tensor.half() for name, tensor in state.items()}


def fingerprint(network: nn.Module) -> str:
    """16 hexadecimal digits that tell a network's numbers from those of any other: of names, shapes and values."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def to_generator(state: Mapping[str, Tensor]) -> Generator:
    """State dict -> float32 G on the CPU, `w_mean` included. Raises CheckpointError: which entries do not fit."""
    sizes = _resolutions(state, r"synthesis\.blocks\.(\d+)\.conv1\.bias", "generator")
    needed = {f"synthesis.blocks.{r}.conv1.bias": 1 for r in sizes}
    needed |= {"mapping.layers.0.weight": 2, "synthesis.blocks.4.conv1.affine.weight": 2}
    need_entries("generator", state, needed)
    with blank():
        g = Generator(
            resolution=sizes[-1],
            z_dim=state["mapping.layers.0.weight"].shape[1],
            w_dim=state["synthesis.blocks.4.conv1.affine.weight"].shape[1],
            mapping_layers=sum(re.fullmatch(r"mapping\.layers\.\d+\.weight", k) is not None for k in state),
            channels={r: state[f"synthesis.blocks.{r}.conv1.bias"].shape[0] for r in sizes},
            clamp=_clamp(state, "synthesis.clamp"),
        )
    if "mapping.from_source" in state:
        g.mapping = _shared(g.mapping, state)
    return fill(g, state, "generator")


def _shared(own: MappingNetwork, state: Mapping[str, Tensor]) -> SharedMapping:
    """A mapping that shares k codes with a source, k read off `from_source`, a one for each of them."""
    taken = state["mapping.from_source"].float()
    k = int((taken == 1).sum())
    if k == 0 or not torch.equal(taken, (torch.arange(own.num_ws) < k).float()):
        raise CheckpointError(
            f"mapping.from_source is {few([f'{v:g}' for v in taken.flatten()])}, expected {own.num_ws} ones, then zeros"
        )
    with blank():
        return SharedMapping(own, own, k)


def to_discriminator(state: Mapping[str, Tensor]) -> Discriminator:
    """State dict -> float32 D on the CPU. Raises CheckpointError: which entries do not fit."""
    channels = block_widths(state, "discriminator")
    need_entries("discriminator", state, {"head.out.weight": 2})
    channels[4] = state["head.out.weight"].shape[1]
    with blank():
        d = Discriminator(max(channels), channels, _clamp(state, "clamp"))
    return fill(d, state, "discriminator")


def block_widths(state: Mapping[str, Tensor], name: str) -> dict[int, int]:
    """Width by resolution, from 8 up, of a discriminator's or an encoder's blocks."""
    sizes = _resolutions(state, r"blocks\.(\d+)\.conv0\.bias", name, first=8)
    need_entries(name, state, {f"blocks.{r}.conv0.bias": 1 for r in sizes})
    return {r: state[f"blocks.{r}.conv0.bias"].shape[0] for r in sizes}


def _clamp(state: Mapping[str, Tensor], name: str) -> float | None:
    """The bound of activations, where there is one."""
    if name not in state:
        return None
    need_entries("network", state, {name: 0})
    clamp = float(state[name])
    if not 0 < clamp < math.inf:
        raise CheckpointError(f"{name}, the bound of activations, is {clamp:g}, expected a positive number")
    return clamp


def _resolutions(state: Mapping[str, Tensor], pattern: str, name: str, first: int = 4) -> list[int]:
    """The resolutions that entries are named after: first, 2 * first, ... without a gap."""
    sizes = sorted(int(match[1]) for match in (re.fullmatch(pattern, k) for k in state) if match)
    if (first == 4 and len(sizes) < 2) or not sizes or sizes != [first << k for k in range(len(sizes))]:
        raise CheckpointError(f"the {name} has blocks for the resolutions {sizes}, expected {first}, {2 * first}, ...")
    return sizes


def fill(network: nn.Module, state: Mapping[str, Tensor], name: str) -> nn.Module:
    """The network with a state dict's numbers. Raises CheckpointError: which entries do not fit."""
    check_entries(name, state, {k: tuple(v.shape) for k, v in network.state_dict().items()})
    network.load_state_dict(state)  # copied into the parameters: float32, in the memory layout that the networks chose
    return network
