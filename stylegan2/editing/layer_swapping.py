"""Layer swapping: the low resolutions of one generator, the high ones of another (arXiv 2010.05334, section 2).

A generator and one fine-tuned from it still understand each other's features. Low resolutions decide pose and
structure, high ones rendering: above a photo model, a cartoon model renders a photo's structure as a cartoon (arXiv
2106.12445); exchanged, a cartoon's proportions are rendered as a photo (Toonify). What passes from one model to the
other is all that a block leaves behind: its features *and* the sum of the colours so far.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from stylegan2.editing.latents import finish, in_parts, slices
from stylegan2.networks import Generator, Stage, resolutions
from stylegan2.runtime import images_at_once

cuts = resolutions  # every swap resolution of a model of that size: 4 (all blocks from the target), 8, ..., its own


def target_share(
    sizes: Sequence[int], swap_resolution: int, width: float = 0.0, strength: float = 1.0
) -> dict[int, float]:
    """How much of each resolution's block comes from the target: {resolution: share from 0 to 1}.

    Over x = log2(r / swap_resolution) + 1/2 the share is `strength` times the logistic function 1 / (1 + exp(-x /
    width)), so `width` counts resolutions (octaves): with 0.5 there are 73 % on their own side of the cut, 0 is a hard
    cut. strength: 0 the source, 0.5 halfway between the weights of both, 1 the target.

    Toonify's `blend_width` counts convolutions, of which a resolution has two: b there is b / 2 here. Its `resolution`
    (level 0) is the middle of a soft cut, as here; a hard one keeps all of r of the source: it is our 2 r.

    Raises ValueError for a swap_resolution that is not in `sizes` (4, 8, ..., R), or other numbers that cannot be.
    """
    if swap_resolution not in sizes:
        raise ValueError(
            f"swap_resolution is {swap_resolution}, expected one of {list(sizes)}, the first resolution taken from the "
            f"target; {sizes[0]} takes all of them (for none, use the source itself)"
        )
    if not 0 <= width < math.inf:
        raise ValueError(f"width is {width}, expected 0 (a hard cut) or a positive number of resolutions")
    if not 0 <= strength <= 1:
        raise ValueError(f"strength is {strength}, expected 0 (the source) to 1 (the target)")
    offsets = {r: math.log2(r / swap_resolution) + 0.5 for r in sizes}  # never 0
    if width == 0:
        return {r: strength * (x > 0) for r, x in offsets.items()}
    return {r: strength * ((1 + math.tanh(x / width / 2)) / 2) for r, x in offsets.items()}  # without overflow


@torch.no_grad()
def swap(
    source: Generator, target: Generator, swap_resolution: int, width=0.0, mapping="source", strength=1.0
) -> Generator:
    """A new generator: below `swap_resolution` the source's blocks, from there on the target's, see `target_share`.

    All of a block goes with it: weights, biases, strength and fixed images of the noise, the constant at 4x4. It is in
    eval mode, without gradients, and computes in the models' `compute_dtype`, or in the wider of two. `mapping`:
    "source" or "target", whose makes the codes; with the source's a seed is the same w in both.

    Raises ValueError for impossible dials, or models that do not fit: the one must be fine-tuned from the other, or
    both from a third.
    """
    _check_pair(source, target)
    shares = target_share(source.synthesis.resolutions, swap_resolution, width, strength)
    g = copy.deepcopy(source)
    g.mapping = copy.deepcopy({"source": source, "target": target}[mapping].mapping)
    for r, share in shares.items():
        ours, theirs = (model.synthesis.blocks[str(r)].state_dict() for model in (source, target))
        for name, tensor in g.synthesis.blocks[str(r)].state_dict().items():
            torch.lerp(ours[name], theirs[name], share, out=tensor)  # exact at 0 and 1
    g.synthesis.compute_dtype = torch.promote_types(source.synthesis.compute_dtype, target.synthesis.compute_dtype)
    return g.eval().requires_grad_(False)


def _check_pair(source: Generator, target: Generator, swap_resolution: int = 4) -> None:
    """ValueError with all differences unless the blocks of the two can be exchanged, there."""
    target_share(source.synthesis.resolutions, swap_resolution)

    def sizes(g: Generator) -> dict[str, object]:
        clamp = None if g.synthesis.clamp is None else float(g.synthesis.clamp)
        plain = {"resolution": g.resolution, "w_dim": g.w_dim, "channels": g.synthesis.channels, "clamp": clamp}
        return plain | {"device": str(g.mapping.w_mean.device)}

    pairs = zip(sizes(source).items(), sizes(target).values(), strict=True)
    if differences := [f"{name} {ours} and {theirs}" for (name, ours), theirs in pairs if ours != theirs]:
        raise ValueError(
            f"source and target do not fit each other: {'; '.join(differences)}. Layers can be swapped between a model "
            "and one fine-tuned from it, on one device"
        )


@torch.no_grad()
def swap_images(
    source: Generator, target: Generator, ws: Tensor, swap_resolution: int, target_ws: Tensor | None = None
) -> Tensor:
    """Images of a hard swap [N, 3, R, R], about in [-1, 1]: the source renders up to the cut, the target goes on there.

    The same as `swap(source, target, swap_resolution).synthesis(ws, "const")` where both models compute in one type; no
    generator is copied. `ws` [N, L, w_dim] is as a rule of `source.mapping`; `target_ws` drives the target's layers,
    None: `ws`. (At the cut one code drives two layers: the source's last tRGB and the target's up-convolution.)

    Raises ValueError for models that do not fit each other, a swap resolution they do not have, or wrong shapes.
    """
    _check_pair(source, target, swap_resolution)
    target_ws = ws if target_ws is None else target_ws

    def rendered(part: slice) -> Tensor:
        below = _stage(source, ws[part], swap_resolution // 2) if swap_resolution > 4 else None
        return finish(target, target_ws[part], below)

    return in_parts(target.synthesis, len(ws), rendered)


def _stage(g: Generator, ws: Tensor, resolution: int) -> Stage:
    return next(stage for stage in g.synthesis.stages(ws, "const") if stage.resolution == resolution)


@torch.no_grad()
def compare(
    source: Generator, target: Generator, ws: Tensor, swap_resolution: int, target_ws: Tensor | None = None
) -> Tensor:
    """The same faces by the source, by the target, and swapped, each with its model's fixed noise: [3, N, 3, R, R].

    The target renders above the cut for both at once. Arguments and errors as those of `swap_images`.
    """
    _check_pair(source, target, swap_resolution)
    target_ws = ws if target_ws is None else target_ws
    parts = slices(len(ws), images_at_once(target.synthesis, 2 * len(ws)) // 2)  # the target renders two of each
    if len(parts) > 1:
        each = [compare(source, target, ws[part], swap_resolution, target_ws[part]) for part in parts]
        return torch.cat(each, dim=1)
    stages = {stage.resolution: stage for stage in source.synthesis.stages(ws, "const")}
    of_source, cut = stages[source.resolution].rgb, swap_resolution // 2
    if cut not in stages:
        return torch.stack([of_source, *[finish(target, target_ws)] * 2])
    own = _stage(target, target_ws, cut)
    both = Stage(cut, torch.cat([own.x, stages[cut].x.to(own.x.dtype)]), torch.cat([own.rgb, stages[cut].rgb]))
    return torch.stack([of_source, *finish(target, target_ws.repeat(2, 1, 1), both).chunk(2)])


@torch.no_grad()
def strip(
    source: Generator, target: Generator, ws: Tensor, names: tuple[str, str] = ("source", "target")
) -> dict[str, Tensor]:
    """The same faces at every cut, from all source to all target, for `display.rows`: [N, 3, R, R] each.

    The keys are "source", "from R", ..., "from 8" (8x8 and above come from the target), "target"; `names` are the first
    and the last. The source renders once. Errors as those of `swap_images`.
    """
    _check_pair(source, target)

    def rendered(part: slice) -> Tensor:
        images = [finish(target, ws[part])]
        for stage in source.synthesis.stages(ws[part], "const"):
            whole = stage.resolution == source.resolution
            images.append(stage.rgb if whole else finish(target, ws[part], stage))
        return torch.stack(images[::-1], dim=1)

    titles = [names[0], *(f"from {r}" for r in cuts(source.resolution)[:0:-1]), names[1]]
    return dict(zip(titles, in_parts(source.synthesis, len(ws), rendered).unbind(1), strict=True))
