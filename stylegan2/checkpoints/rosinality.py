"""The layout of rosinality's StyleGAN2 `.pt` files, which most published PyTorch checkpoints follow.

Every entry of that layout is one row of a table: their name, ours, their shape. Both directions read the same table,
so a network that goes out and comes back is the same network. The numbers are never transposed; some shapes gain
axes of size 1 (a convolution is [1, O, I, k, k] there, and [O, I, k, k] here).
"""

import argparse
import copy
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from stylegan2.checkpoints.parts import blank, check_low_pass, is_json, low_pass, networks
from stylegan2.discriminator import ResidualBlocks
from stylegan2.files import CheckpointError, check_entries, few, need_entries
from stylegan2.networks import Discriminator, Generator, MappingNetwork, SharedMapping

NOISE_SEED = 0  # for the fixed noise images, where a file has none


class Row(NamedTuple):
    """One entry: its name there, its name in our state dict, its shape there."""

    theirs: str
    ours: str
    shape: tuple[int, ...]


# ---------------------------------------------------------------------------------------------------------------- file
def unpack(content: dict, parts: tuple[str, ...]) -> dict[str, Any]:
    """A file's content -> what `Checkpoint` takes. Raises CheckpointError: another file, or entries do not fit."""
    _check_is_one(content)
    loaded = networks(content, parts, to_generator, to_discriminator)
    _set_w_mean(loaded["g_ema"], content.get("latent_avg"))
    if "g" in loaded:
        loaded["g"].mapping.update_mean()
    if "style_source" in content:
        for g in (loaded[part] for part in ("g_ema", "g") if part in loaded):
            to_shared(g, content)
    return loaded | {"info": {"format": "rosinality"} | _options(content)}


def _check_is_one(content: dict) -> None:
    keys = [str(k) for k in content]
    if "g_ema" in content:
        return
    if {"e", "e_optim"} & set(keys):
        raise CheckpointError("an encoder, which goes from photos to codes; expected a generator, a file with 'g_ema'")
    if content and all(isinstance(v, Tensor) for v in content.values()):
        raise CheckpointError(f"a bare state dict ({few(keys)}); expected one with 'g_ema' around it")
    raise CheckpointError(f"a PyTorch file with the keys {few(keys)}, but without 'g_ema', the averaged generator")


def _set_w_mean(g: Generator, latent_avg: Tensor | None) -> None:
    if latent_avg is None:
        g.mapping.update_mean()
    elif isinstance(latent_avg, Tensor) and latent_avg.numel() == g.w_dim:
        g.mapping.w_mean = latent_avg.float().reshape(-1).clone()
    else:
        shape = list(latent_avg.shape) if isinstance(latent_avg, Tensor) else type(latent_avg).__name__
        raise CheckpointError(f"'latent_avg' must be [{g.w_dim}], is {shape}")


def _options(content: dict) -> dict[str, Any]:
    """`args` and `ada_aug_p` as plain values."""
    options, args = {}, content.get("args")
    if isinstance(args, argparse.Namespace):
        options["args"] = {k: v for k, v in vars(args).items() if is_json(v)}
    if "ada_aug_p" in content:
        options["ada_aug_p"] = float(content["ada_aug_p"])
    return options


def pack(g_ema: Generator, g: Generator | None, d: Discriminator | None) -> dict[str, Any]:
    """The other way; see `checkpoints.export`."""
    content: dict[str, Any] = {"g": from_generator(g or g_ema)}
    if d is not None:
        content["d"] = from_discriminator(d)
    content |= {"g_ema": from_generator(g_ema), "latent_avg": _on_cpu(g_ema.mapping.mean_ws[-1])}
    return content | from_shared(g_ema)


def _on_cpu(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().float().clone()


# ------------------------------------------------------------------------------------------------- tables: theirs, ours
MODULATED = {"conv.weight": "weight", "conv.modulation.weight": "affine.weight", "conv.modulation.bias": "affine.bias"}
STYLED_CONV = MODULATED | {"noise.weight": "noise_strength", "activate.bias": "bias"}
TO_RGB = {"bias": "bias"} | MODULATED
FROM_RGB = {"convs.0.0.weight": "from_rgb.weight", "convs.0.1.bias": "from_rgb.bias"}
RESIDUAL = {
    **{"conv1.0.weight": "conv0.weight", "conv1.1.bias": "conv0.bias"},
    **{"conv2.1.weight": "conv1.weight", "conv2.2.bias": "conv1.bias", "skip.1.weight": "skip.weight"},
}
HEAD = {
    **{"final_conv.0.weight": "head.conv.weight", "final_conv.1.bias": "head.conv.bias"},
    **{"final_linear.0.weight": "head.fc.weight", "final_linear.0.bias": "head.fc.bias"},
    **{"final_linear.1.weight": "head.out.weight", "final_linear.1.bias": "head.out.bias"},
}


def _below(theirs: str, ours: str, names: Mapping[str, str]) -> dict[str, str]:
    return {f"{theirs}.{a}": f"{ours}.{b}" for a, b in names.items()}


def generator_rows(g: Generator) -> list[Row]:
    """All parameters and noise images of G, in the order of rosinality's own state dict (kernels are not in it)."""
    sizes, blocks = g.synthesis.resolutions, "synthesis.blocks"
    convs = ["4.conv1", *[f"{r}.conv{i}" for r in sizes[1:] for i in (0, 1)]]
    names = _mapping_names(len(g.mapping.layers)) | {"input.input": f"{blocks}.4.const"}
    names |= _below("conv1", f"{blocks}.4.conv1", STYLED_CONV) | _below("to_rgb1", f"{blocks}.4.to_rgb", TO_RGB)
    for i, conv in enumerate(convs[1:]):
        names |= _below(f"convs.{i}", f"{blocks}.{conv}", STYLED_CONV)
    for i, r in enumerate(sizes[1:]):
        names |= _below(f"to_rgbs.{i}", f"{blocks}.{r}.to_rgb", TO_RGB)
    names |= {f"noises.noise_{i}": f"{blocks}.{conv}.noise_const" for i, conv in enumerate(convs)}
    ours = g.state_dict()
    return [Row(a, b, _generator_shape(a, ours[b].shape)) for a, b in names.items()]


def _mapping_names(depth: int) -> dict[str, str]:
    """style.0 is the normalisation, which has no parameters."""
    parts = ("weight", "bias")
    return {f"style.{i + 1}.{part}": f"mapping.layers.{i}.{part}" for i in range(depth) for part in parts}


def _generator_shape(name: str, shape: torch.Size) -> tuple[int, ...]:
    if name.endswith(".conv.weight"):
        return (1, *shape)  # [1, O, I, k, k]
    if name.endswith("noise.weight"):
        return (1,)
    if re.fullmatch(r"to_rgb(1|s\.\d+)\.bias", name):
        return (1, *shape, 1, 1)  # [1, 3, 1, 1]
    return tuple(shape)


def generator_kernels(g: Generator) -> dict[str, Tensor]:
    """The low-pass filters that their state dict also holds: gain 4, since each follows an insertion of zeros."""
    blocks = range(len(g.synthesis.resolutions) - 1)
    names = [f"convs.{2 * k}.conv.blur.kernel" for k in blocks] + [f"to_rgbs.{k}.upsample.kernel" for k in blocks]
    return {name: low_pass(gain=4.0) for name in names}


def discriminator_rows(d: Discriminator) -> list[Row]:
    """All parameters of D, in the order of rosinality's own state dict. The shapes are the same there and here."""
    return same_shapes(d, block_names(d.resolutions) | HEAD)


def same_shapes(network: nn.Module, names: Mapping[str, str]) -> list[Row]:
    """Rows of {their name: ours} whose tensors are alike."""
    ours = network.state_dict()
    return [Row(a, b, tuple(ours[b].shape)) for a, b in names.items()]


def block_names(sizes: list[int]) -> dict[str, str]:
    """{their name: ours} of from_rgb and the residual blocks."""
    names = dict(FROM_RGB)
    for k, r in enumerate(sizes[:-1], start=1):
        names |= _below(f"convs.{k}", f"blocks.{r}", RESIDUAL)
    return names


def discriminator_kernels(d: ResidualBlocks) -> dict[str, Tensor]:
    """The low-pass filters that their state dict also holds: gain 1, since each goes before a halving."""
    blocks = range(1, len(d.resolutions))
    return {f"convs.{k}.{part}.0.kernel": low_pass() for k in blocks for part in ("conv2", "skip")}


# -------------------------------------------------------------------------------------------------- there and back
def from_generator(g: Generator) -> dict[str, Tensor]:
    """Our G -> their complete state dict, kernels and noise images included, so that a strict load succeeds there.

    That layout has one mapping. Of two (`SharedMapping`) it gets the one of the last code; see `from_shared`.
    """
    ours = g.state_dict()
    if isinstance(g.mapping, SharedMapping) and g.mapping.k == g.num_ws:  # the source's makes all of them
        ours |= {f"mapping.{name}": tensor for name, tensor in g.mapping.source.state_dict().items()}
    return to_theirs(ours, generator_rows(g), generator_kernels(g))


def from_shared(g: Generator) -> dict[str, Any]:
    """Entries beside "g_ema", which their programs pass over: the mapping that makes the first k codes ("style_source",
    by their names), its mean ("latent_avg_source") and k ("style_codes"). Empty where one mapping makes all codes.

    In their words the model is G([style_source(z), G.style(z)], input_is_latent=True, inject_index=k).
    """
    if not isinstance(g.mapping, SharedMapping) or g.mapping.k == g.num_ws:
        return {}
    source = g.mapping.source
    theirs = to_theirs(source.state_dict(), _mapping_rows(source), kernels={})
    return {"style_source": theirs, "latent_avg_source": _on_cpu(source.w_mean), "style_codes": g.mapping.k}


def _mapping_rows(mapping: MappingNetwork) -> list[Row]:
    names = _mapping_names(len(mapping.layers))
    return same_shapes(mapping, {a: b.removeprefix("mapping.") for a, b in names.items()})


def to_shared(g: Generator, content: Mapping[str, Any]) -> None:
    """Give G the second mapping back that `from_shared` wrote. Raises CheckpointError where it does not fit."""
    k, mean, theirs = (content.get(name) for name in ("style_codes", "latent_avg_source", "style_source"))
    if not isinstance(k, int) or not isinstance(mean, Tensor) or not isinstance(theirs, Mapping):
        raise CheckpointError(
            "'style_source' needs 'style_codes', a number, and 'latent_avg_source', a mean w, beside it"
        )
    source = copy.deepcopy(g.mapping)
    check_entries("source's mapping", {"w_mean": mean}, {"w_mean": tuple(source.w_mean.shape)})
    source.w_mean.copy_(mean)
    filled(source, theirs, _mapping_rows(source), {}, "source's mapping")
    try:
        g.mapping = SharedMapping(g.mapping, source, k)
    except ValueError as error:
        raise CheckpointError(f"'style_codes': {error}") from error


def from_discriminator(d: Discriminator) -> dict[str, Tensor]:
    """Our D -> their complete state dict, kernels included."""
    return to_theirs(d.state_dict(), discriminator_rows(d), discriminator_kernels(d))


def to_theirs(ours: Mapping[str, Tensor], rows: list[Row], kernels: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our state dict -> theirs."""
    return {row.theirs: _on_cpu(ours[row.ours].reshape(row.shape)) for row in rows} | kernels


def to_generator(theirs: Mapping[str, Tensor]) -> Generator:
    """Their state dict -> our G on the CPU, its size, widths and depth read off the tensors; `w_mean` stays zero.

    Missing `noises.*` are sampled from a fixed seed, missing `*.kernel` are what we always use. Raises CheckpointError
    for anything else that is missing, unknown, of another shape, or another kernel.
    """
    with blank():
        g = _empty_generator(theirs)
    return filled(g, _seeded_noise(g) | dict(theirs), generator_rows(g), generator_kernels(g), "generator")


def to_discriminator(theirs: Mapping[str, Tensor]) -> Discriminator:
    """Their state dict -> our D on the CPU; what `to_generator` says about entries and errors holds here too."""
    channels = block_widths(theirs, "discriminator")
    with blank():
        d = Discriminator(max(channels), channels)
    return filled(d, theirs, discriminator_rows(d), discriminator_kernels(d), "discriminator")


def filled(
    network: nn.Module, theirs: Mapping[str, Tensor], rows: list[Row], kernels: Mapping[str, Tensor], name: str
) -> nn.Module:
    """The network with their numbers, copied. Raises CheckpointError: which entries do not fit."""
    shapes = {row.theirs: row.shape for row in rows} | {k: tuple(kernel.shape) for k, kernel in kernels.items()}
    check_entries(name, theirs, shapes, optional=set(kernels))
    for k, kernel in kernels.items():
        if k in theirs:
            check_low_pass(f"the {name}'s {k}", theirs[k], kernel)
    ours = network.state_dict()  # entries that no row names stay
    network.load_state_dict(ours | {row.ours: theirs[row.theirs].reshape(ours[row.ours].shape) for row in rows})
    return network


def _seeded_noise(g: Generator) -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(NOISE_SEED)
    rows = [row for row in generator_rows(g) if row.theirs.startswith("noises.")]
    return {row.theirs: torch.randn(row.shape, generator=rng) for row in rows}


# --------------------------------------------------------------------------------- reading sizes off the tensors
def _empty_generator(theirs: Mapping[str, Tensor]) -> Generator:
    blocks = _count(theirs, r"to_rgbs\.(\d+)\.conv\.weight")
    sizes = {"style.1.weight": 2, "input.input": 4, "conv1.conv.modulation.weight": 2, "to_rgbs.0.conv.weight": 5}
    need_entries("generator", theirs, sizes | {f"convs.{2 * k}.conv.weight": 5 for k in range(blocks)})
    channels = {4: theirs["input.input"].shape[1]}
    channels |= {8 << k: theirs[f"convs.{2 * k}.conv.weight"].shape[1] for k in range(blocks)}
    return Generator(
        resolution=4 << blocks,
        z_dim=theirs["style.1.weight"].shape[1],
        w_dim=theirs["conv1.conv.modulation.weight"].shape[1],
        mapping_layers=_count(theirs, r"style\.(\d+)\.weight"),
        channels=channels,
    )


def block_widths(theirs: Mapping[str, Tensor], name: str) -> dict[int, int]:
    """Width by resolution, from the image down to 4, of a discriminator's or an encoder's blocks."""
    blocks = _count(theirs, r"convs\.(\d+)\.skip\.1\.weight")
    names = [f"convs.{k}.skip.1.weight" for k in range(1, max(blocks, 1) + 1)]  # the image's side first
    need_entries(name, theirs, dict.fromkeys(names, 4))
    skips = [theirs[name] for name in names]  # [out, in, 1, 1]
    resolution = 4 << blocks
    return {resolution >> k: skip.shape[1] for k, skip in enumerate(skips)} | {4: skips[-1].shape[0]}


def _count(theirs: Mapping[str, Tensor], pattern: str) -> int:
    return sum(re.fullmatch(pattern, name) is not None for name in theirs)
