"""Layer swapping: the low resolutions of one generator, the high ones of another (arXiv 2010.05334, section 2).

A generator and one fine-tuned from it still understand each other's features: the blocks of one can go on where the
blocks of the other stop. Low resolutions decide pose and structure, high ones rendering. With the photo model as source
and the cartoon model as target a photo's structure is rendered as a cartoon (arXiv 2106.12445); exchanged, a cartoon's
proportions are rendered as a photo (Toonify).

`swap_resolution` is the first resolution taken from the target. What passes from one model to the other is all that a
block leaves behind: its features *and* the sum of the colours so far. `swap` makes a new generator, `swap_images`
renders with the two there are, `strip` renders every cut.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from stylegan2.editing.latents import finish, in_parts, slices
from stylegan2.networks import Generator, Stage, resolutions
from stylegan2.runtime import images_at_once


def cuts(resolution: int) -> list[int]:
    """Every swap resolution of a model of that size: 4 (all blocks from the target), 8, ..., `resolution`."""
    return resolutions(resolution)


def target_share(sizes: Sequence[int], swap_resolution: int, width: float = 0.0) -> dict[int, float]:
    """How much of each resolution's block comes from the target: {resolution: share from 0 to 1}.

    Over x = log2(r / swap_resolution) + 1/2 the share is the logistic function 1 / (1 + exp(-x / width)). The cut (x =
    0) lies halfway between `swap_resolution` and the resolution below it; width 0 is 0 below the cut, 1 above.

    Toonify's `blend_width` counts convolutions, of which a resolution has two: b there is b / 2 here. Its `resolution`
    (level 0) is the middle of a soft cut, as here; a hard one keeps all of r of the source: it is our 2 r.

    Args:
        sizes: the model's resolutions, 4, 8, ..., R; swap_resolution is one of them.
        width: softness of the cut, in resolutions (octaves): 0 hard; 0.5: 73 % on its own side of the cut.

    Raises ValueError for a swap resolution that the model does not have, or a width that is negative or not finite.
    """
    if swap_resolution not in sizes:
        raise ValueError(
            f"swap_resolution is {swap_resolution}, expected one of {list(sizes)}, the first resolution taken from the "
            f"target; {sizes[0]} takes all of them (for none, use the source itself)"
        )
    if not 0 <= width < math.inf:
        raise ValueError(f"width is {width}, expected 0 (a hard cut) or a positive number of resolutions")
    offsets = {r: math.log2(r / swap_resolution) + 0.5 for r in sizes}  # never 0
    if width == 0:
        return {r: float(x > 0) for r, x in offsets.items()}
    return {r: (1 + math.tanh(x / width / 2)) / 2 for r, x in offsets.items()}  # the logistic, without overflow


@torch.no_grad()
def swap(
    source: Generator,
    target: Generator,
    swap_resolution: int,
    width: float = 0.0,
    mapping: Literal["source", "target"] = "source",
    strength: float = 1.0,
) -> Generator:
    """A new generator: below `swap_resolution` the source's blocks, from there on the target's.

    All of a block goes with it: weights, biases, strength and fixed images of the noise, the constant at 4x4. It is in
    eval mode, without gradients, and computes in the models' `compute_dtype`, or in the wider of two.

    Args:
        source, target: generators of the same sizes, the one fine-tuned from the other (or both from a third).
        swap_resolution: first resolution taken from the target; see `cuts`.
        width: above 0 blends the blocks around the cut, as in Toonify; see `target_share`.
        mapping: whose mapping makes the codes. The source's by default: then a seed is the same w in both.
        strength: of the target's blocks: 0 the source, 0.5 halfway between the weights of both, 1 the target.

    Raises ValueError for models that do not fit each other, or impossible settings.
    """
    _check_pair(source, target)
    models = {"source": source, "target": target}
    if mapping not in models:
        raise ValueError(f"mapping is {mapping!r}, expected 'source' or 'target'")
    check_dials(source.resolution, swap_resolution, width, strength)
    g = copy.deepcopy(source)
    g.mapping = copy.deepcopy(models[mapping].mapping)
    shares = target_share(source.synthesis.resolutions, swap_resolution, width)
    blend_blocks(g, source, target, {r: share * strength for r, share in shares.items()})
    g.synthesis.compute_dtype = torch.promote_types(source.synthesis.compute_dtype, target.synthesis.compute_dtype)
    return g.eval().requires_grad_(False)


def blend_blocks(mixture: Generator, source: Generator, target: Generator, shares: Mapping[int, float]) -> None:
    """Set the blocks of `mixture` to that blend of two models' weights, {resolution: the target's share}, in place."""
    for r, share in shares.items():
        ours, theirs = (g.synthesis.blocks[str(r)].state_dict() for g in (source, target))
        for name, tensor in mixture.synthesis.blocks[str(r)].state_dict().items():
            torch.lerp(ours[name], theirs[name], share, out=tensor)  # exact at 0 and 1


def check_dials(resolution: int, swap_resolution: int, width: float, strength: float) -> None:
    """Can these be the dials of a swap, in a model of that resolution? See `swap`. Raises ValueError where not."""
    target_share(cuts(resolution), swap_resolution, width)
    if not 0 <= strength <= 1:
        raise ValueError(f"strength is {strength}, expected 0 (the source) to 1 (the target)")


def _check_pair(source: Generator, target: Generator) -> None:
    """ValueError with all differences unless the blocks of the two can be exchanged."""

    def sizes(g: Generator) -> dict[str, object]:
        clamp = None if g.synthesis.clamp is None else float(g.synthesis.clamp)
        plain = {"resolution": g.resolution, "w_dim": g.w_dim, "channels": g.synthesis.channels, "clamp": clamp}
        return plain | {"device": str(g.mapping.w_mean.device)}

    ours, theirs = sizes(source), sizes(target)
    differences = [f"{name} {ours[name]} and {theirs[name]}" for name in ours if ours[name] != theirs[name]]
    if differences:
        raise ValueError(
            f"source and target do not fit each other: {'; '.join(differences)}. Layers can be swapped between a model "
            "and one fine-tuned from it, on one device"
        )


@torch.no_grad()
def swap_images(
    source: Generator,
    target: Generator,
    ws: Tensor,
    swap_resolution: int,
    target_ws: Tensor | None = None,
) -> Tensor:
    """Images of a hard swap [N, 3, R, R], about in [-1, 1]: the source renders up to the cut, the target goes on there.

    The same as `swap(source, target, swap_resolution).synthesis(ws, "const")` where both models compute in one type; no
    generator is copied. Each block takes the fixed noise of its own model.

    Args:
        ws: [N, L, w_dim], as a rule from `source.mapping`.
        swap_resolution: first resolution rendered by the target; see `cuts`.
        target_ws: [N, L, w_dim], codes for the target's layers, e.g. from its own mapping; None: `ws`. (At the cut one
            code drives two layers: the source's last tRGB has it from `ws`, the target's up-convolution from here.)

    Raises ValueError for models that do not fit each other, a swap resolution they do not have, or wrong shapes.
    """
    target_ws = _target_codes(source, target, ws, swap_resolution, target_ws)

    def rendered(part: slice) -> Tensor:
        after = None
        if swap_resolution > 4:
            stages = source.synthesis.stages(ws[part], "const")
            after = next(stage for stage in stages if stage.resolution == swap_resolution // 2)
        return finish(target, target_ws[part], after)

    return in_parts(target.synthesis, len(ws), rendered)


@torch.no_grad()
def compare(
    source: Generator, target: Generator, ws: Tensor, swap_resolution: int, target_ws: Tensor | None = None
) -> Tensor:
    """The same faces by the source, by the target, and swapped, each with its model's fixed noise: [3, N, 3, R, R].

    In little more than the time of two, since the target renders above the cut for both. Arguments and errors as those
    of `swap_images`.
    """
    target_ws = _target_codes(source, target, ws, swap_resolution, target_ws)
    parts = slices(len(ws), images_at_once(target.synthesis, 2 * len(ws)) // 2)  # the target renders two of each
    if len(parts) > 1:
        each = [compare(source, target, ws[part], swap_resolution, target_ws[part]) for part in parts]
        return torch.cat(each, dim=1)
    stages = {stage.resolution: stage for stage in source.synthesis.stages(ws, "const")}
    of_source = stages[source.resolution].rgb
    if swap_resolution == 4:
        of_target = finish(target, target_ws)
        return torch.stack([of_source, of_target, of_target])
    cut = swap_resolution // 2
    own = next(stage for stage in target.synthesis.stages(target_ws, "const") if stage.resolution == cut)
    both = Stage(cut, torch.cat([own.x, stages[cut].x.to(own.x.dtype)]), torch.cat([own.rgb, stages[cut].rgb]))
    images = finish(target, target_ws.repeat(2, 1, 1), both)
    return torch.stack([of_source, *images.chunk(2)])


@torch.no_grad()
def strip(
    source: Generator, target: Generator, ws: Tensor, names: tuple[str, str] = ("source", "target")
) -> dict[str, Tensor]:
    """The same faces at every cut, from all source to all target, for `display.rows`. Errors as those of `swap_images`.

    {"source", "from R", ..., "from 8", "target"}: [N, 3, R, R] each; "from 8": 8x8 and above come from the target;
    `names` are the first and the last. The source renders once, and the target goes on from each of its stages.
    """
    _check_pair(source, target)

    def rendered(part: slice) -> dict[str, Tensor]:
        rows = {names[1]: finish(target, ws[part])}
        for stage in source.synthesis.stages(ws[part], "const"):
            if stage.resolution == source.resolution:
                rows[names[0]] = stage.rgb
            else:
                rows[f"from {2 * stage.resolution}"] = finish(target, ws[part], stage)
        return dict(reversed(rows.items()))

    parts = [rendered(part) for part in slices(len(ws), images_at_once(source.synthesis, len(ws)))]
    return {name: torch.cat([rows[name] for rows in parts]) for name in parts[0]}


def _target_codes(source: Generator, target: Generator, ws: Tensor, cut: int, target_ws: Tensor | None) -> Tensor:
    """The target's codes: `ws` where none are given. Raises ValueError for models, a cut, or codes that do not fit."""
    target_share(source.synthesis.resolutions, cut)
    _check_pair(source, target)
    if target_ws is not None and target_ws.shape != ws.shape:
        raise ValueError(
            f"ws is {list(ws.shape)} and target_ws is {list(target_ws.shape)}: one code of each per image is needed"
        )
    return ws if target_ws is None else target_ws
